"""Inherit: find the state with which a Region goes on in a lane that another Region delivered before it.

It is made from as much of the former owner's state as was replicated:

    former owner   cursor 40; it names the parked keys a, b and c; the first event that waits in one: 17
    a, b, c here, as its digest says      go on at 40 with them
    a, b, c here, one of them older       go on at 40 with them, and with what the log has of them after what they list
    c not here                            find its events in the log from 17 to 40, and go on at 40 with them
    c not here, nor in what is searched   go on at the end of that, with those of a, b and c that wait before it
    c not here, and 17 cannot be read     go on at 17, without any of them

Items replicate in no order, so a cursor may be here before the parked keys beside it. Without these keys, the events
that wait in them would be lost. Only events of keys that were not replicated are handled twice, if it can be told which
keys these are. If records have expired in which such a key may have waited, a dead letter without a key stands for
them, so that no other key waits.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from eventfabric import limits
from eventfabric.model import (
    EVERYTHING,
    START,
    UNKNOWN_CHAIN,
    BatchId,
    Cursor,
    Failure,
    Lane,
    LaneKey,
    LaneState,
    Parked,
    ParkedState,
    Place,
    Record,
    Region,
    Rest,
    SequenceNumber,
    SubscriptionFilter,
    digest_of,
    digest_of_id,
    event_parking_id,
    is_alone,
    key_parking_id,
)
from eventfabric.ports import Log
from eventfabric.services.delivery.retry import EXPIRED
from eventfabric.services.delivery.stretch import Stretch
from eventfabric.services.lanes.locate import KeptPart, has_expired, kept_in
from eventfabric.stream_topology import SubscriptionTopology

TAKEN_OVER = "TakenOver"
_NOT_REPLICATED = "it waited in another Region, and why was not replicated from there"
_GONE = "records in which keys may have waited, that another Region had parked, are no longer in the log: discard it"


@dataclass(frozen=True, slots=True)
class Inherited:
    """A cursor, and the parked keys beside it, by their id."""

    cursor: Cursor
    parked: dict[str, Parked]


def inherited(
    key: LaneKey,
    state: LaneState,
    subscription: SubscriptionTopology,
    *,
    region: Region,
    log: Log,
    now_ms: int,
) -> Inherited | None:
    """Find the state to go on with: the latest owner's, as far as it is here.

    None if the log is not here yet, as far as it is needed. LogError.
    """
    latest = state.latest
    if latest is None:
        return Inherited(START, {})
    # At rest: attempts that the former owner had noted are not known to have ended here, and blame nobody.
    cursor = state.cursors[latest].at_rest()
    parked_by_id = state.parked.get(latest, {})
    # No event waits beside the cursor, so no parked key can be missing.
    if cursor.low is None:
        return Inherited(cursor, {})
    if digest_of(parked_by_id) == cursor.parked:
        return Inherited(
            cursor, {parking_id: _due(parked, now_ms) for parking_id, parked in parked_by_id.items()}
        )
    heir = _Heir(key.lane, cursor, cursor.low, subscription, log, state.won, region=region, now_ms=now_ms)
    return heir.with_keys(parked_by_id.values()) or heir.from_the_first_that_waits()


class _Heir:
    """A Region that has a cursor without all the parked keys that it names. `low`: the first event that waits."""

    def __init__(
        self,
        lane: Lane,
        cursor: Cursor,
        low: Place,
        subscription: SubscriptionTopology,
        log: Log,
        stepped_over: Collection[BatchId],
        *,
        region: Region,
        now_ms: int,
    ) -> None:
        self._lane = lane
        self._cursor = cursor
        self._low = low
        self._definition = subscription.definition
        self._log = log
        self._stepped_over = stepped_over
        self._now_ms = now_ms
        self._filter = SubscriptionFilter.of(subscription.definition)
        self._kept_part: KeptPart | None = kept_in(
            lane, region, retention_seconds=subscription.retention_seconds, now_ms=now_ms
        )

    def with_keys(self, parked_keys: Iterable[Parked]) -> Inherited | None:
        """Go on at the cursor. None if the keys that are not here cannot be found in the log."""
        roster = self._cursor.roster
        if not roster.count:
            return None  # another version wrote it, and it does not name its keys
        digests = {digest_of_id(known.id): known for known in parked_keys}
        # A key that is here but is not named was freed.
        present = {digest: digests[digest] for digest in roster.held(digests)}
        last_alone = _last_alone(present.values())
        named = {
            known.id: after
            for digest, known in present.items()
            if (after := self._brought_to_cursor(digest, known, last_alone))
        }
        retrying = roster.retrying.keys() - present.keys()
        dead = frozenset(roster.missing_dead(present))
        if not (retrying or dead):
            return Inherited(self._cursor, named)
        return self._search(retrying, dead, named)

    def _brought_to_cursor(self, digest: bytes, parked: Parked, last_alone: Collection[str]) -> Parked | None:
        """Return the key with all events that may wait in it, and with no others; None if there are none.

        The key may be older or newer than the cursor. `last_alone`: ids of the keys that are each the last event of its
        key parked alone; later events come to wait there.
        """
        low, end = self._low, self._cursor.sequence
        waiting = tuple(place for place in parked.waiting if low.sequence <= place.sequence < end)
        rest = self._rest(parked, waiting, last_alone)
        if not waiting and rest is None:
            return None
        # Its first event is another by now, so attempts and replacement of the former one do not count.
        if not waiting or waiting[0] != parked.waiting[0]:
            failure = replace(parked.failure, attempts=0, crashes=0, event_id="", event_type="", trace_id="")
            parked = replace(parked, failure=failure, replacement=None)
        # The cursor's word counts: the key may be here at another version.
        is_retrying = digest in self._cursor.roster.retrying or not waiting
        state = ParkedState.RETRYING if is_retrying else parked.state
        return _due(replace(parked, waiting=waiting, rest=rest, state=state), self._now_ms)

    def _rest(self, parked: Parked, waiting: Collection[Place], last_alone: Collection[str]) -> Rest | None:
        """Return the rest of a key between the first event that waits in the lane and the cursor; None: it has none."""
        low, end, rest = self._low, self._cursor.sequence, parked.rest
        if rest is None and self._may_be_joined(parked, waiting, last_alone):
            # Events that came to wait there since the key was written are in the log, after the listed ones.
            before = [place for place in parked.waiting if place.sequence < end]
            rest = self._behind(before[-1]) if before else self._marked(Rest(low.base, low.sequence))
        if rest is None:
            return None
        if rest.sequence < low.sequence:
            rest = rest.beginning_at(low.base, low.sequence)
        return rest if rest.sequence < end else None

    def _may_be_joined(self, parked: Parked, waiting: Collection[Place], last_alone: Collection[str]) -> bool:
        """Tell if later events of its key may have come to wait in a parked key.

        Behind an event that was parked alone they do so only if order is kept again, and only behind the last of these.
        """
        if not is_alone(parked.id):
            return True
        return self._definition.order == "key" and (parked.id in last_alone or not waiting)

    def _search(
        self, retrying: Collection[bytes], dead: Collection[bytes], present: Mapping[str, Parked]
    ) -> Inherited | None:
        """Find the first event of each key that is not here. None if the log does not tell.

        If the log is too long to be searched up to the cursor, go on where the search ended: only from there on may
        keys wait that were not found.

        An event waits under its key or alone, by the subscription's order at the time it was parked, and it may be of a
        type that is no longer wanted.
        """
        sought = _Sought(set(retrying), set(dead))
        # First with today's filter, which skips most records. A key may have been parked under another one.
        end = self._cursor
        for subscription_filter in (self._filter, EVERYTHING):
            reached = self._look_for(sought, present, subscription_filter, end)
            if reached is None:
                return None
            end = reached
            if sought.is_over:
                break
        is_whole = end.sequence == self._cursor.sequence
        if is_whole and not (sought.is_over or sought.may_have_expired):
            return None
        last_alone = _last_alone(sought.parked_by_id.values())
        missing = {
            name: replace(parked, rest=None) if is_alone(name) and name not in last_alone else parked
            for name, parked in sought.parked_by_id.items()
        }
        waiting = {**present, **missing}
        return Inherited(self._cursor, waiting) if is_whole else self._back_to(end, waiting)

    def _back_to(self, cursor: Cursor, parked_by_id: Mapping[str, Parked]) -> Inherited | None:
        """Go on at an earlier cursor, with what waits before it. None if the chain that leads there is not known."""
        if cursor.chain == UNKNOWN_CHAIN:
            return None
        before = {name: parked.before(cursor.sequence) for name, parked in parked_by_id.items()}
        return Inherited(self._back(cursor), {name: parked for name, parked in before.items() if parked})

    def _back(self, cursor: Cursor) -> Cursor:
        """Return an earlier place as the cursor to go on with. Events that a replay had marked stay marked."""
        former = self._cursor
        return replace(
            cursor,
            version=former.version,
            epoch=former.epoch,
            began=former.began,
            replay_from=former.replay_from,
            replay_until=former.replay_until,
            credit=former.credit,
        )

    def _look_for(
        self,
        sought: "_Sought",
        present: Collection[str],
        subscription_filter: SubscriptionFilter,
        until: Cursor,
    ) -> Cursor | None:
        """Read the log from the first waiting event on. Return where that ends: at `until`, or after as many records
        as may be searched. None if the log does not tell.
        """
        end, records_left = until.sequence, limits.TAKEOVER_RECORDS_MAX
        cursor = self._cursor_at(self._low.base, self._low.sequence)
        dead = sought.dead.copy()
        while cursor.sequence < end and (sought.retrying or dead):
            # A takeover is to take seconds. Beyond that, going back costs less than the search.
            if records_left <= 0:
                return cursor
            records = self._log.read(self._lane, cursor.base, records_max=limits.PAGE_RECORDS_MAX).records
            records_left -= max(1, len(records))
            stretch = Stretch(cursor, records, subscription_filter, self._stepped_over)
            self._meet(sought, stretch, present, dead)
            if stretch.end > cursor.sequence:
                cursor = stretch.cursor_at(stretch.end)
                continue
            following = self._expired_up_to(cursor.base, records)
            # A record is late here, or cannot be read, and may hold a key that is sought.
            if stretch.stop is not None or following is None:
                return None
            letter = self._letter(cursor.sequence, min(following.sequence, end), present)
            sought.parked_by_id |= {} if letter is None else {letter.id: letter}
            sought.may_have_expired = True
            cursor = self._cursor_at(following.sequence, following.sequence)
        return until

    def _meet(
        self, sought: "_Sought", stretch: Stretch, present: Collection[str], dead: Collection[bytes]
    ) -> None:
        """Take up the sought keys of which the first event stands in a stretch."""
        for index, event in enumerate(stretch.events):
            place = stretch.place(index)
            if place.sequence >= self._cursor.sequence:
                return
            for name in (key_parking_id(event.key), event_parking_id(place.sequence)):
                if name not in present and sought.meets(name, dead):
                    sought.parked_by_id[name] = self._waits(name, event.key, place)

    def from_the_first_that_waits(self) -> Inherited | None:
        """Go back to the first event that waits, before which everything was handled. None if that is not here yet.

        Events that come again are marked as replays only as far as a replay had marked them: of others, some may never
        have been handed out, and nothing tells which.
        """
        low = self._low
        tail = self._log.tail(self._lane, before=low.base)
        chain = tail.chain if tail.sequence == low.base else UNKNOWN_CHAIN
        back = self._back(replace(self._cursor_at(low.base, low.sequence), chain=chain))
        if self._kept_part is None:
            return None if chain == UNKNOWN_CHAIN else Inherited(back, {})
        records = self._log.read(self._lane, low.base, records_max=1).records
        if records and records[0].sequence == low.base:
            # All before it was handled, so it makes no difference if that has expired.
            return Inherited(back, {})
        following = self._expired_up_to(low.base, records)
        if following is None:
            return None if chain == UNKNOWN_CHAIN else Inherited(back, {})
        next_sequence, end = following.sequence, self._cursor.sequence
        letter = self._letter(low.sequence, min(next_sequence, end), ())
        parked = {} if letter is None else {letter.id: letter}
        if next_sequence > self._cursor.base:
            return Inherited(self._cursor, parked)
        return Inherited(
            replace(back, sequence=next_sequence, base=next_sequence, chain=UNKNOWN_CHAIN), parked
        )

    def _cursor_at(self, base: SequenceNumber, sequence: SequenceNumber) -> Cursor:
        """Return a cursor at a place from which the log is read without knowing the chain."""
        return replace(START, sequence=sequence, base=base, chain=UNKNOWN_CHAIN)

    def _expired_up_to(self, base: SequenceNumber, records: Iterable[Record]) -> Record | None:
        """Return the first record after those that expired from `base` on. None if they did not, or may still come."""
        following = next((record for record in records if record.sequence > base), None)
        if following is None:
            return None
        return following if has_expired(self._log, self._lane, base, following, self._kept_part) else None

    def _waits(self, name: str, key: str, place: Place) -> Parked:
        """Make a key that is not here anew, from its first event in the log on."""
        rest = self._behind(place) if self._definition.order == "key" or not is_alone(name) else None
        if rest is not None and rest.sequence >= self._cursor.sequence:
            rest = None
        place, written_ms = replace(place, replay=self._is_replay(place.sequence)), self._cursor.written_ms
        # It is tried again: nobody here knows why it waited, so there is nothing that a person could decide.
        failure = Failure(TAKEN_OVER, _NOT_REPLICATED, "", "", 0, 0, written_ms, written_ms)
        version = self._cursor.version
        return Parked(
            name, key, ParkedState.RETRYING, (place,), self._now_ms, failure, version=version, rest=rest
        )

    def _behind(self, place: Place) -> Rest:
        """Return the rest of a key after a place: its events in the log from there on."""
        return self._marked(Rest(place.base, SequenceNumber(place.sequence + 1)))

    def _marked(self, rest: Rest) -> Rest:
        """Return a rest of which those events are replays that a replay under way had marked."""
        cursor = self._cursor
        return replace(rest, replay_from=cursor.replay_from, replay_until=cursor.replay_until)

    def _is_replay(self, sequence: SequenceNumber) -> bool:
        """Tell if an event was marked by a replay that is under way. Marks of one that has ended are not known."""
        return self._cursor.replay_from <= sequence < self._cursor.replay_until

    def _letter(self, start: SequenceNumber, end: SequenceNumber, present: Collection[str]) -> Parked | None:
        """Make a dead letter that stands for expired records. None if each of their events is already parked alone."""
        candidates = (
            (sequence, event_parking_id(SequenceNumber(sequence))) for sequence in range(start, end)
        )
        free = next((candidate for candidate in candidates if candidate[1] not in present), None)
        if free is None:
            return None
        place, written_ms = Place(SequenceNumber(free[0]), SequenceNumber(free[0])), self._cursor.written_ms
        failure = Failure(EXPIRED, f"of events {start} to {end - 1}", "", _GONE, 0, 0, written_ms, written_ms)
        return Parked(free[1], "", ParkedState.DEAD, (place,), 0, failure, version=self._cursor.version)


@dataclass
class _Sought:
    """The keys that are named and not here, by their digests; dead ones by the beginning of theirs."""

    retrying: set[bytes] = field(repr=False)
    dead: set[bytes] = field(repr=False)
    parked_by_id: dict[str, Parked] = field(default_factory=dict, repr=False)
    may_have_expired: bool = False

    @property
    def is_over(self) -> bool:
        """Tell if no key is sought any more."""
        return not (self.retrying or self.dead)

    def meets(self, name: str, dead: Collection[bytes]) -> bool:
        """Tell if an id is sought and was not found before. It counts as found from now on."""
        if name in self.parked_by_id:
            return False
        digest = digest_of_id(name)
        beginning = digest[: len(next(iter(dead), b""))]
        if digest not in self.retrying and beginning not in dead:
            return False
        self.retrying.discard(digest)
        self.dead.discard(beginning)
        return True


def _last_alone(parked_keys: Iterable[Parked]) -> frozenset[str]:
    """Return, for each key with events that are parked alone, the id of the last of these."""
    alone = sorted(
        (parked for parked in parked_keys if is_alone(parked.id)), key=lambda parked: parked.first.sequence
    )
    return frozenset({parked.key: parked.id for parked in alone}.values())


def _due(parked: Parked, now_ms: int) -> Parked:
    """Return another Region's key as this Region's own. Its timer is in the other Region, so it is due at once."""
    due_ms = now_ms if parked.state is ParkedState.RETRYING else 0
    return replace(parked, due_ms=due_ms, attempting=False)
