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

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from eventfabric import limits
from eventfabric.model import (
    EVERYTHING,
    START,
    UNKNOWN_CHAIN,
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
    lane_of,
)
from eventfabric.ports import Log
from eventfabric.services.delivery.sought_keys import SoughtKeys, due_at_once, last_of_those_alone, letter
from eventfabric.services.delivery.stretch import SteppedOver, Stretch, place_behind
from eventfabric.services.lanes.locate import KeptPart, has_expired, kept_in
from eventfabric.stream_topology import SubscriptionTopology

TAKEN_OVER = "TakenOver"
_NOT_REPLICATED = "it waited in another Region, and why was not replicated from there"


StateOf = Callable[[LaneKey], LaneState]


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
    state_of: StateOf | None = None,
) -> Inherited | None:
    """Find the state to go on with: the latest owner's, as far as it is here.

    None if the log is not here yet, as far as it is needed. LogError. `state_of`: reads the state of a lane above, for
    a lane in which events wait from above.
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
            cursor, {parking_id: due_at_once(parked, now_ms) for parking_id, parked in parked_by_id.items()}
        )
    stepped_over = SteppedOver(state, lanes=subscription.lanes)
    heir = _Heir(
        key, cursor, cursor.low, subscription, log, stepped_over, state_of, region=region, now_ms=now_ms
    )
    return heir.with_keys(parked_by_id.values()) or heir.from_the_first_that_waits()


class _Heir:
    """A Region that has a cursor without all the parked keys that it names. `low`: the first event that waits."""

    def __init__(
        self,
        key: LaneKey,
        cursor: Cursor,
        low: Place,
        subscription: SubscriptionTopology,
        log: Log,
        stepped_over: SteppedOver,
        state_of: StateOf | None,
        *,
        region: Region,
        now_ms: int,
    ) -> None:
        self._key = key
        self._lane = lane = key.lane
        self._lanes = subscription.lanes
        self._cursor = cursor
        self._low = low
        self._definition = subscription.definition
        self._log = log
        self._stepped_over = {lane: stepped_over}
        self._state_of = state_of
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
        last_alone = last_of_those_alone(present.values())
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
        return due_at_once(replace(parked, waiting=waiting, rest=rest, state=state), self._now_ms)

    def _rest(self, parked: Parked, waiting: Collection[Place], last_alone: Collection[str]) -> Rest | None:
        """Return the rest of a key between the first event that waits in the lane and the cursor; None: it has none."""
        low, end, rest = self._low, self._cursor.sequence, parked.rest
        if rest is None and self._may_be_joined(parked, waiting, last_alone):
            # Events that came to wait there since the key was written are in the log, after the listed ones.
            before = [place for place in parked.waiting if place.sequence < end]
            rest = (
                self._behind(before[-1])
                if before
                else self._marked(Rest(low.base, low.sequence, lane=low.lane))
            )
        if rest is None:
            return None
        if rest.sequence < low.sequence:
            rest = rest.beginning_at(low.base, low.sequence, low.lane)
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
        sought = SoughtKeys(set(retrying), set(dead))
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
        last_alone = last_of_those_alone(sought.parked_by_id.values())
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
            begun=former.begun,
            replay_from=former.replay_from,
            replay_until=former.replay_until,
            credit=former.credit,
        )

    def _look_for(
        self,
        sought: SoughtKeys,
        present: Collection[str],
        subscription_filter: SubscriptionFilter,
        until: Cursor,
    ) -> Cursor | None:
        """Read the log from the first waiting event on. Return where that ends: at `until`, or after as many records
        as may be searched. None if the log does not tell.
        """
        end, records_left = until.sequence, limits.TAKEOVER_RECORDS_MAX
        lane, cursor = self._low.lane or self._lane, self._cursor_at(self._low.base, self._low.sequence)
        dead = sought.dead.copy()
        while cursor.sequence < end and (sought.retrying or dead):
            # A takeover is to take seconds. Beyond that, going back costs less than the search. But no cursor
            # goes back to a lane above.
            if records_left <= 0 and lane == self._lane:
                return cursor
            records = self._log.read(lane, cursor.base, records_max=limits.PAGE_RECORDS_MAX).records
            records_left -= max(1, len(records))
            stretch = Stretch(cursor, records, subscription_filter, self._stepped_over_in(lane))
            self._meet(sought, lane, stretch, present, dead)
            if stretch.seal is not None:
                if lane == self._lane:
                    break  # the lane was delivered to its seal
                lane, cursor = place_behind(stretch.seal, self._lane)
            elif stretch.end > cursor.sequence:
                cursor = stretch.cursor_at(stretch.end)
            else:
                following = self._expired_up_to(lane, cursor.base, records)
                # A record is late here, or cannot be read, and may hold a key that is sought.
                if stretch.stop is not None or following is None:
                    return None
                last = min(following.sequence, end)
                sought.has_expired(self._letter(lane, cursor.sequence, last, present))
                cursor = self._cursor_at(following.sequence, following.sequence)
        return until

    def _stepped_over_in(self, lane: Lane) -> SteppedOver:
        """Return what is stepped over in the lane, or in one above it."""
        if lane not in self._stepped_over:
            assert self._state_of is not None, "whoever takes over a lane of a tree reads those above it"
            state = self._state_of(replace(self._key, lane=lane))
            self._stepped_over[lane] = SteppedOver(state, lanes=self._lanes)
        return self._stepped_over[lane]

    def _meet(
        self,
        sought: SoughtKeys,
        lane: Lane,
        stretch: Stretch,
        present: Collection[str],
        dead: Collection[bytes],
    ) -> None:
        """Take up the sought keys of which the first event stands in a stretch, of the lane or of one above it."""
        for index, event in enumerate(stretch.events):
            place = self._named(lane, stretch.place(index))
            if place.sequence >= self._cursor.sequence:
                return
            if lane != self._lane and not self._holds(event.key):
                continue
            for name in (key_parking_id(event.key), event_parking_id(place.sequence)):
                if name not in present and sought.meets(name, dead):
                    sought.parked_by_id[name] = self._waits(name, event.key, place)

    def _named(self, lane: Lane, place: Place) -> Place:
        """Return a place with its lane, if that is one above."""
        return place if lane == self._lane else replace(place, lane=lane)

    def _holds(self, key: str) -> bool:
        """Tell if a key of a lane above goes on in this one."""
        return lane_of(key, self._lane.origin, self._lanes, self._lane.generation) == self._lane

    def from_the_first_that_waits(self) -> Inherited | None:
        """Go back to the first event that waits, before which everything was handled. None if that is not here yet.

        Events that come again are marked as replays only as far as a replay had marked them: of others, some may never
        have been handed out, and nothing tells which.
        """
        low = self._low
        if low.lane is not None:
            return None  # it stands in the log of a lane above, to which this one's cursor cannot go back
        tail = self._log.tail(self._lane, before=low.base)
        chain = tail.chain if tail.sequence == low.base else UNKNOWN_CHAIN
        back = self._back(replace(self._cursor_at(low.base, low.sequence), chain=chain))
        if self._kept_part is None:
            return None if chain == UNKNOWN_CHAIN else Inherited(back, {})
        records = self._log.read(self._lane, low.base, records_max=1).records
        if records and records[0].sequence == low.base:
            # All before it was handled, so it makes no difference if that has expired.
            return Inherited(back, {})
        following = self._expired_up_to(self._lane, low.base, records)
        if following is None:
            return None if chain == UNKNOWN_CHAIN else Inherited(back, {})
        next_sequence, end = following.sequence, self._cursor.sequence
        letter = self._letter(self._lane, low.sequence, min(next_sequence, end), ())
        parked = {} if letter is None else {letter.id: letter}
        if next_sequence > self._cursor.base:
            return Inherited(self._cursor, parked)
        return Inherited(
            replace(back, sequence=next_sequence, base=next_sequence, chain=UNKNOWN_CHAIN), parked
        )

    def _cursor_at(self, base: SequenceNumber, sequence: SequenceNumber) -> Cursor:
        """Return a cursor at a place from which the log is read without knowing the chain."""
        return replace(START, sequence=sequence, base=base, chain=UNKNOWN_CHAIN)

    def _expired_up_to(self, lane: Lane, base: SequenceNumber, records: Iterable[Record]) -> Record | None:
        """Return the first record after those that expired from `base` on. None if they did not, or may still come."""
        following = next((record for record in records if record.sequence > base), None)
        if following is None:
            return None
        return following if has_expired(self._log, lane, base, following, self._kept_part) else None

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
        return self._marked(Rest(place.base, SequenceNumber(place.sequence + 1), lane=place.lane))

    def _marked(self, rest: Rest) -> Rest:
        """Return a rest of which those events are replays that a replay under way had marked."""
        cursor = self._cursor
        return replace(rest, replay_from=cursor.replay_from, replay_until=cursor.replay_until)

    def _is_replay(self, sequence: SequenceNumber) -> bool:
        """Tell if an event was marked by a replay that is under way. Marks of one that has ended are not known."""
        return self._cursor.replay_from <= sequence < self._cursor.replay_until

    def _letter(self, lane: Lane, start: int, end: int, present: Collection[str]) -> Parked | None:
        """Make a dead letter that stands for expired records. None if each of their events is already parked alone."""
        made = letter(start, end, present, cursor=self._cursor)
        return made and replace(made, waiting=(self._named(lane, made.first),))
