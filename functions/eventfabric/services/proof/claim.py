"""Claim: compare what one subscription's cursor says of a lane with the lane's trail, and name the exceptions.

A cursor carries the chain of the record before its `base`. That chain was computed over all records before it. So if
the log has the same chain at the same place, the log up to there is what was handled, record by record.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from eventfabric.errors import LogError, MissingRecordError
from eventfabric.model import (
    EMPTY_TAIL,
    EVERYTHING,
    REPLAYED,
    UNKNOWN_CHAIN,
    Cursor,
    Dropped,
    Event,
    LaneKey,
    Parked,
    ParkedState,
    Place,
    Record,
    Region,
    SequenceNumber,
    Settled,
    SkippedBy,
    SubscriptionFilter,
    SubscriptionName,
    is_pin,
)
from eventfabric.model.backfill import Seam
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.model.proof import ExceptionKind, Exempt, ExemptRange, LaneProof
from eventfabric.services.proof.trail import Trail
from eventfabric.stream_topology import name_of_state
from eventfabric.wire.payload_codec import unpack

_KINDS = {"discarded": ExceptionKind.DISCARDED, "edited": ExceptionKind.EDITED}


class Claim:
    """The claim of one cursor. `end`: how far it needs the log; `wrong`: what contradicts it, once that is found.

    The caller that walks the trail tells it of the trail's start, of every record, of an error that ends the walk, and
    of the trail's end.
    """

    def __init__(
        self,
        key: LaneKey,
        region: Region,
        cursor: Cursor,
        *,
        sees_from: Region,
        exceptions: Iterable[Exempt | ExemptRange] = (),
        subscription_filter: SubscriptionFilter = EVERYTHING,
        elsewhere: Callable[[Record], str] = lambda record: "",
    ) -> None:
        """`elsewhere`: returns where a record's batch is delivered, if that is not here."""
        self.end = SequenceNumber(max(cursor.sequence, cursor.replay_until))
        self.wrong: Finding | None = None
        self._key, self._region, self._cursor = key, region, cursor
        self._sees_from = sees_from
        # Events that a replay has gone back over will come again, whatever was decided about them before.
        decided, self._ranges = list[Exempt](), list[ExemptRange]()
        for exception in exceptions:
            if isinstance(exception, ExemptRange):
                self._ranges.append(exception)
            elif exception.sequence < cursor.sequence:
                decided.append(exception)
        self._due = deque(sorted(decided, key=lambda exception: exception.sequence))
        self._exempts: list[Exempt] = []
        self._filter = subscription_filter
        self._elsewhere = elsewhere
        self._first: SequenceNumber | None = None
        self._begins = EMPTY_TAIL.sequence
        self._is_partial = cursor.sequence > cursor.base
        self._holder_end: SequenceNumber | None = None

    @property
    def wants_successor(self) -> bool:
        """Tell if a record after `end` says more: it binds the record that the cursor stands in."""
        return self._is_partial and self._holder_end is not None

    def start(self, trail: Trail) -> None:
        """Compare the cursor with the trail's start, before any record is walked."""
        self._begins = trail.position.sequence
        # Of a key that is parked in a lane that was split off, some events stand in the logs of lanes above.
        self._due = deque(exempt for exempt in self._due if exempt.sequence >= self._begins)
        self._compare(trail.position, trail.first)

    def meet(self, trail: Trail, record: Record) -> None:
        """Take in a record that was verified."""
        cursor = self._cursor
        self._meet_first(trail, record)
        if self._is_partial and record.sequence == cursor.base:
            self._met_holder(trail.position.sequence)
        if record.is_skip and record.sequence < cursor.base < trail.position.sequence:
            self._first = trail.first  # the cursor had come to one of the lost records
        self._compare(trail.position, trail.first)
        if self._first is None and cursor.base < trail.position.sequence:
            self._broken(f"its record begins at {cursor.base}, where the log has none")
        if record.sequence < cursor.sequence:
            self._except(record)

    def stop(self, error: LogError) -> None:
        """Take in the error at which the trail ended."""
        # The record in the middle of which a cursor stands is bound only by the one after it.
        bound = max(self.end, SequenceNumber((self._holder_end or 0) + 1) if self._is_partial else self.end)
        if self._first is None or error.sequence < bound:
            missing = isinstance(error, MissingRecordError)
            self._contradict(
                FindingKind.HOLE if missing else FindingKind.DIVERGENCE,
                SequenceNumber(error.sequence),
                error.reason,
            )

    def finish(self, trail: Trail, tail: SequenceNumber) -> None:
        """Take in the end of the trail. The lane's end is at `tail`."""
        reached = trail.position.sequence
        if self._first is None and reached == self._cursor.base and is_pin(trail.position.chain):
            # It ends in a skip: the record after that is compared with the cursor once it is read.
            self._first = trail.first
        if reached >= self.end:
            return
        if tail > reached and trail.may_have_expired:
            self._lost_holder()
        elif tail > reached:
            self._contradict(FindingKind.HOLE, reached, f"missing; others stand behind it, up to {tail}")
        else:
            self._contradict(
                FindingKind.CURSOR_AHEAD,
                self._cursor.sequence,
                f"the lane ends at {reached} in {self._sees_from}: the rest is lost, or not replicated yet",
            )

    def proof(self) -> LaneProof:
        """Return the proof, with everything that was found."""
        cursor = self._cursor
        first = cursor.sequence if self._first is None else min(self._first, cursor.sequence)
        return LaneProof(
            self._key.stream,
            SubscriptionName(name_of_state(self._key.subscription)),
            self._key.lane,
            self._region,
            cursor,
            first,
            tuple(sorted((*self._exempts, *self._due), key=lambda exempt: exempt.sequence)),
            self.wrong,
            begins=self._begins,
        )

    def contradict_back(self, stood_at: int) -> None:
        """Note that a reconciliation saw the cursor further on, although no replay moved it back."""
        self._contradict(
            FindingKind.CURSOR_BACK, self._cursor.sequence, f"it stood at {stood_at} when it was reconciled"
        )

    def _meet_first(self, trail: Trail, record: Record) -> None:
        """Take in the record if it is the oldest that is kept, or comes after a skip at which the cursor stands."""
        if trail.before.chain is None:
            self._met_oldest(trail.before.sequence, record)
        elif self._first is None and self._cursor.base == trail.before.sequence:
            self._met_behind_skip(trail.first, record)

    def _met_oldest(self, oldest: SequenceNumber, record: Record) -> None:
        """Take in the oldest record that is kept. A cursor that stands there is bound to nothing before it."""
        cursor = self._cursor
        if cursor.base < oldest:
            if cursor.sequence > oldest:
                self._broken(f"its record begins at {cursor.base} and another at {oldest}")
            self._lost_holder()
        elif cursor.base == oldest and cursor.chain == UNKNOWN_CHAIN:
            self._first = cursor.sequence
        elif cursor.base == oldest:
            self._first = cursor.base
            if not record.extends(cursor.chain):
                self._broken(f"the record at {cursor.base} does not follow on what was handled")

    def _met_behind_skip(self, first: SequenceNumber, record: Record) -> None:
        """Take in the record after a skip, at which the cursor stood before the records were lost.

        The cursor's chain is that of the lost records, or of the skip.
        """
        self._first = first
        if not record.extends(self._cursor.chain):
            self._broken(f"the record at {self._cursor.base} does not follow on what was handled")

    def _met_holder(self, end: SequenceNumber) -> None:
        """Take in the record in the middle of which the cursor stands."""
        self._holder_end = end
        if self._cursor.sequence >= end:
            self._broken(f"it stands at {self._cursor.sequence}, in a record that ends at {end}")

    def _lost_holder(self) -> None:
        """Take it that the record in which or after which the cursor stands has expired, unless it was met."""
        cursor = self._cursor
        if self._first is None or (self._is_partial and self._holder_end is None):
            self._first = cursor.sequence

    def _compare(self, seam: Seam, first: SequenceNumber) -> None:
        """Compare the cursor's chain with the log's, if the trail has come to the cursor's base."""
        cursor = self._cursor
        if self._first is not None or seam.sequence != cursor.base:
            return
        if is_pin(seam.chain) and seam.chain != cursor.chain:
            return  # the record after the skip decides
        self._first = first
        # A cursor without a chain, too: there may be one only after an expired record.
        if seam.chain != cursor.chain:
            self._broken(f"what was handled up to {cursor.base} is not what the log has: other chains")

    def _except(self, record: Record) -> None:
        """Name the exceptions that stand in a record, by what the record holds."""
        if record.is_skip:
            self._except_skip(record)
        other_copy, end = self._elsewhere(record), record.tail.sequence
        ranges = [range_ for range_ in self._ranges if range_.meets(record.sequence, end)]
        # Most records hold no exception, and need not be unpacked: their chain is enough.
        is_named = bool(other_copy or ranges or self._is_due_before(end))
        events = _events_of(record) if is_named else []
        if other_copy:
            self._exempts += self._due_in(record, events, ())
            self._exempts += self._delivered_elsewhere(record, events, other_copy)
        else:
            in_ranges = self._in_ranges(record, events, ranges)
            self._exempts += self._due_in(record, events, in_ranges)
            self._exempts += in_ranges.values()

    def _due_in(
        self, record: Record, events: list[Event], in_ranges: Collection[SequenceNumber]
    ) -> Iterator[Exempt]:
        """Yield the exceptions that a record holds; an edited event also if it is excepted with others of its key."""
        while self._is_due_before(record.tail.sequence):
            named = _named(self._due.popleft(), record, events)
            if named.kind is ExceptionKind.EDITED or named.sequence not in in_ranges:
                yield named

    def _is_due_before(self, end: SequenceNumber) -> bool:
        """Tell if an exception before a sequence is not named yet."""
        return bool(self._due) and self._due[0].sequence < end

    def _delivered_elsewhere(self, record: Record, events: list[Event], other_copy: str) -> Iterator[Exempt]:
        """Yield the exceptions for a batch whose other copy is delivered."""
        for index, event in enumerate(events):
            sequence = SequenceNumber(record.sequence + index)
            if sequence < self._cursor.sequence and self._filter.wants(event):
                exempt = Exempt(ExceptionKind.ELSEWHERE, sequence, f"delivered from {other_copy}", 0)
                yield _named(exempt, record, events)

    def _except_skip(self, record: Record) -> None:
        """Name the lost events that this subscription was to handle, as one exception."""
        start = max(record.sequence, self._cursor.began)
        events = min(record.tail.sequence, self._cursor.sequence) - start
        if events > 0:
            by = record.skipped or SkippedBy("?", "nobody says why", 0)
            exempt = Exempt(
                ExceptionKind.SKIPPED, SequenceNumber(start), by.reason, by.at_ms, by=by.by, events=events
            )
            self._exempts.append(exempt)

    def _in_ranges(
        self, record: Record, events: list[Event], ranges: list[ExemptRange]
    ) -> dict[SequenceNumber, Exempt]:
        """Find a record's events that are excepted with others of their key. One that waits again counts as waiting."""
        exempts: dict[SequenceNumber, Exempt] = {}
        for index, event in enumerate(events if ranges else ()):
            sequence = SequenceNumber(record.sequence + index)
            if sequence >= self._cursor.sequence or not self._filter.wants(event):
                continue
            for range_ in ranges:
                if range_.holds(event.key, sequence):
                    # What was dropped once may have come again by a replay, and
                    # wait anew: the later word counts.
                    is_over = range_.of.kind is ExceptionKind.DISCARDED
                    if not (is_over and sequence in exempts):
                        exempts[sequence] = _named(replace(range_.of, sequence=sequence), record, events)
        return exempts

    def _broken(self, detail: str) -> None:
        """Note that the cursor contradicts the log."""
        self._contradict(FindingKind.CURSOR_BROKEN, self._cursor.sequence, detail)

    def _contradict(self, kind: FindingKind, sequence: SequenceNumber, detail: str) -> None:
        """Keep the first contradiction: later ones may follow from it."""
        if self.wrong is None:
            key, name = self._key, SubscriptionName(name_of_state(self._key.subscription))
            self.wrong = Finding(kind, key.stream, key.lane, self._sees_from, sequence, detail, name)


def exceptions_of(
    parked_keys: Iterable[Parked], settled: Iterable[Settled], *, end: SequenceNumber
) -> Iterator[Exempt | ExemptRange]:
    """Yield the exceptions that a lane's parked keys make, and people's decisions about its dead letters.

    `end`: the end of the cursor.
    """
    current: set[SequenceNumber] = set()
    for parked_key in parked_keys:
        for exempt in _waiting(parked_key):
            current.add(exempt.sequence)
            yield exempt
        if parked_key.rest is not None:
            yield ExemptRange(
                parked_key.key, parked_key.rest.sequence, end, _behind(parked_key, parked_key.rest.place)
            )
    for decided in settled:
        kind = _KINDS[decided.action]
        # Else it was dropped, then replayed, and waits again.
        if kind is ExceptionKind.EDITED or decided.sequence not in current:
            failure = decided.failure
            yield Exempt(
                kind, decided.sequence, failure.error_type, decided.at_ms, failure.event_id, by=decided.by
            )
        if decided.dropped is not None:
            yield from _dropped(decided, decided.dropped, current)


def _dropped(
    decided: Settled, dropped: Dropped, current: set[SequenceNumber]
) -> Iterator[Exempt | ExemptRange]:
    """Yield the exceptions for events that were dropped with a dead letter."""
    why = f"with {decided.sequence}, behind which it waited"
    for sequence in dropped.sequences:
        if sequence not in current:
            yield Exempt(
                ExceptionKind.DISCARDED, sequence, why, decided.at_ms, key=dropped.key, by=decided.by
            )
    if dropped.since < dropped.until:
        exempt = Exempt(ExceptionKind.DISCARDED, dropped.since, why, decided.at_ms, by=decided.by)
        yield ExemptRange(dropped.key, dropped.since, dropped.until, exempt)


def _waiting(parked: Parked) -> Iterator[Exempt]:
    """Yield the exceptions for the events that a parked key lists."""
    failure, first = parked.failure, parked.first
    is_dead = parked.state is ParkedState.DEAD
    for place in parked.waiting:
        if place is first and not (place.replay and failure.error_type == REPLAYED):
            why = f"{failure.error_type}, {failure.attempts} attempts"
            why += f", {failure.crashes} crashes" if failure.crashes else ""
            kind = ExceptionKind.DEAD if is_dead else ExceptionKind.PARKED
            yield Exempt(kind, place.sequence, why, failure.last_ms, failure.event_id, parked.key)
        else:
            yield _behind(parked, place)


def _behind(parked: Parked, place: Place) -> Exempt:
    """Make the exception for an event that waits after the first of its key, or is to be handed out again."""
    failure = parked.failure
    if place.replay and failure.error_type == REPLAYED:
        return Exempt(ExceptionKind.REPLAYING, place.sequence, failure.hint, failure.first_ms, key=parked.key)
    state = "dead" if parked.state is ParkedState.DEAD else "parked"
    why = f"behind {parked.first.sequence}, which is {state}"
    return Exempt(ExceptionKind.WAITING, place.sequence, why, failure.first_ms, key=parked.key)


def _events_of(record: Record) -> list[Event]:
    """Return a record's events; none if this version cannot read them, which the chain does not need."""
    try:
        return unpack(record)
    except LogError:
        return []


def _named(exempt: Exempt, record: Record, events: list[Event]) -> Exempt:
    """Return the exception with id and key of its event, if the record has that."""
    index = exempt.sequence - record.sequence
    if not 0 <= index < len(events):
        return exempt
    event = events[index]
    return Exempt(exempt.kind, exempt.sequence, exempt.why, exempt.at_ms, str(event.id), event.key, exempt.by)
