"""Stretch: the part of a page of the log that can be delivered from a cursor on."""

import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from eventfabric import limits
from eventfabric.errors import DivergenceError, LogError
from eventfabric.model import (
    START,
    BatchId,
    Cursor,
    Event,
    HybridTime,
    Lane,
    LaneState,
    Place,
    Record,
    Region,
    SequenceNumber,
    SubscriptionFilter,
    lane_of,
    sequences_from,
    to_ms,
)
from eventfabric.wire.payload_codec import measured, unpack, unpack_measured

_FOREVER: Final = SequenceNumber(sys.maxsize)


class SteppedOver:
    """Copies of batches that a lane's readers step over, because the others are delivered.

    A first copy is known by its batch's id. The noted copy may have been cut in two, and each part is decided about by
    itself: then the events of the first copy are stepped over whose keys are in lanes of parts that win.
    """

    def __init__(
        self, state: LaneState | None = None, *, alone: Region | None = None, lanes: int = 1
    ) -> None:
        """`alone`: the only Region whose decisions count; None: all. `lanes`: lanes with which the stream began."""
        self.first: set[BatchId] = set()
        self.noted: set[tuple[BatchId, Lane, Lane]] = set()
        """Noted copies: their batches, their lanes, and those of the first copies."""
        self._parts: dict[BatchId, list[Lane]] = {}
        self._lanes = lanes
        for batch_id, part in state.parts_won_by(alone) if state else ():
            if part is None:
                self.first.add(batch_id)
            else:
                self._parts.setdefault(batch_id, []).append(part)

    def add_noted(self, records: Iterable[Record]) -> None:
        """Step over noted copies, too."""
        self.noted |= {
            (record.batch_id, record.lane, record.note.lane) for record in records if record.note is not None
        }

    def has(self, record: Record) -> bool:
        """Tell if all of a record is stepped over."""
        if record.batch_id in self.first:
            return True
        note = record.note
        return note is not None and (record.batch_id, record.lane, note.lane) in self.noted

    def has_parts(self, record: Record) -> bool:
        """Tell if events of a record may be stepped over, by their keys."""
        return record.batch_id in self._parts

    def takes(self, record: Record, key: str) -> bool:
        """Tell if a record's events of a key are stepped over."""
        return any(
            lane_of(key, part.origin, self._lanes, part.generation) == part
            for part in self._parts.get(record.batch_id, ())
        )

    def in_lane(self, state: LaneState, alone: Region | None) -> "SteppedOver":
        """Return what is stepped over in another lane, by its state. Noted copies go on to be kept here."""
        other = SteppedOver(state, alone=alone, lanes=self._lanes)
        other.noted = self.noted
        return other


_NOTHING: Final = SteppedOver()


class Stretch:
    """The unbroken, verified records of a page and their wanted events, with the events' places in the log.

    `hole`: the page has a record beyond the unbroken run. `stop`: the error because of which the run cannot go past
    `end`. `seal`: the record right after `end` that ends the lane.

    A stretch is all `replay` or all new, has a limited number of `noted` records, and its events fit into memory. With
    `cut`, more may stand after its end.
    """

    def __init__(
        self,
        cursor: Cursor,
        records: Sequence[Record],
        subscription_filter: SubscriptionFilter,
        stepped_over: SteppedOver = _NOTHING,
        *,
        memory_bytes: int = limits.RECORD_MEMORY_BYTES_MAX,
    ) -> None:
        """`stepped_over`: copies of batches that are delivered in another lane.

        `memory_bytes`: once the events take so much, no further record is unpacked. The last one may exceed it.
        """
        self.start = cursor
        self.records: list[Record] = []
        self.noted: list[Record] = []
        self.events: list[Event] = []
        # Kept apart from the events, because a handler may change those that it was handed.
        self.sequences: list[SequenceNumber] = []
        self.keys: list[str] = []
        self._spare: dict[SequenceNumber, Event] = {}
        self.late = False
        self.hole = False
        self.seal: Record | None = None
        self.stop: LogError | None = None
        self.end: SequenceNumber = cursor.sequence
        self.replay = cursor.is_replay
        self._until = _end_of_marks(cursor)
        self.cut = False
        self._memory_left = memory_bytes
        try:
            self._cover(records, subscription_filter, stepped_over)
        except LogError as error:
            self.stop = error
        # The record in which the marks end is verified as a whole, and handed out up to there only.
        if self.end > self._until:
            self.end, self.cut = self._until, True
        assert cursor.sequence <= self.end, "a stretch ends not before it begins"
        assert len(self.events) == len(self.sequences) == len(self.keys), (
            "each event has its place and its key"
        )

    def _cover(
        self,
        records: Sequence[Record],
        subscription_filter: SubscriptionFilter,
        stepped_over: SteppedOver,
    ) -> None:
        """Take in records for as long as each continues the one before it, and there is room. LogError."""
        cursor = self.start
        expected, chain = cursor.base, cursor.chain
        for record in records:
            # A batch that a handler gets is all replays or none.
            if expected >= self._until:
                self.cut = True
                break
            if record.sequence != expected:
                self._misplaced(record, expected)
                break
            if not record.extends(chain):
                self.stop = DivergenceError(
                    record.lane, record.sequence, "does not extend the chain verified before it"
                )
                break
            # Before any filter: it holds nothing that is wanted, and must not be passed like that.
            if record.is_seal:
                self.seal = record
                break
            # A record without a wanted event is verified, but need not be unpacked.
            if subscription_filter.may_want(record):
                if self._memory_left <= 0 or (record.note is not None and not self._add_noted(record)):
                    self.cut = True
                    break
                if not stepped_over.has(record):
                    self._take(record, subscription_filter, stepped_over)
            self.records.append(record)
            expected, chain = record.tail.sequence, record.chain
            self.end = max(expected, cursor.sequence)

    def _add_noted(self, record: Record) -> bool:
        """Add a noted record. Return False if there are as many of these as one stretch may have."""
        # Each noted batch costs up to two reads, and all are decided in one commit.
        if len(self.noted) == limits.NOTED_RECORDS_MAX:
            return False
        self.noted.append(record)
        return True

    def _take(
        self, record: Record, subscription_filter: SubscriptionFilter, stepped_over: SteppedOver
    ) -> None:
        """Add the wanted events of a record, without those before the start or after the end of a replay."""
        events, memory_bytes = unpack_measured(record)
        base = record.sequence
        skipped = max(0, self.start.sequence - base)
        end = min(len(events), self._until - base)
        is_cut = stepped_over.has_parts(record)
        if subscription_filter.wants_all and not skipped and end == len(events) and not is_cut:
            self.events += events
            self.sequences += sequences_from(base, len(events))
            self.keys += [event.key for event in events]
            self._memory_left -= memory_bytes
            return
        wanted = subscription_filter.wanted(events, skipped, end)
        if is_cut:
            wanted = [index for index in wanted if not stepped_over.takes(record, events[index].key)]
        taken = [events[index] for index in wanted]
        self.events += taken
        self.sequences += [SequenceNumber(base + index) for index in wanted]
        self.keys += [event.key for event in taken]
        self._memory_left -= measured(taken)

    def _misplaced(self, record: Record, expected: SequenceNumber) -> None:
        """Note a record that does not begin where the last one ended."""
        if record.sequence > expected:
            self.hole = True
        else:
            self.stop = DivergenceError(
                record.lane, record.sequence, f"overlaps the record before sequence {expected}"
            )

    def place(self, index: int) -> Place:
        """Return the place of an event by its index."""
        sequence = self.sequences[index]
        return Place(self._holder(sequence).sequence, sequence, self.replay)

    def _holder(self, sequence: SequenceNumber) -> Record:
        """Return the record that holds a sequence."""
        return self.records[bisect_right(self.records, sequence, key=lambda record: record.sequence) - 1]

    def handed(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return events as a handler gets them. They are copies if any is late: no record could restore that."""
        return [event.copy() for event in events] if self.late else events

    def restore(self, start: int, end: int) -> None:
        """Undo what a handler may have done to the events from one index up to another, after it failed.

        To copy each event before its attempt instead would be a cost for every event that succeeds.
        """
        if not self.late:
            for index in range(start, end):
                self.events[index] = self._anew(self.sequences[index])

    def again(self, index: int) -> Sequence[Event]:
        """Return the event of an index by itself, for another try."""
        self.restore(index, index + 1)
        return self.handed([self.events[index]])

    def _anew(self, sequence: SequenceNumber) -> Event:
        """Return the event as its record has it. Attempts made at the same time may call this at the same time."""
        # Events fail in the order of the log, so the next one to be made anew is likely of the same record.
        event = self._spare.pop(sequence, None)
        if event is None:
            holder = self._holder(sequence)
            unpacked = enumerate(unpack(holder), holder.sequence)
            spare = {SequenceNumber(number): event for number, event in unpacked}
            event = spare.pop(sequence)
            self._spare = spare
        return event

    def before(self, index: int) -> SequenceNumber:
        """Return the sequence up to which everything is done once all events before an index are."""
        return self.sequences[index] if index < len(self.sequences) else self.end

    def cursor_at(self, sequence: SequenceNumber) -> Cursor:
        """Return the cursor whose next sequence is `sequence`, between start and end of the stretch."""
        base, chain = self.start.base, self.start.chain
        for record in self.records:
            if record.tail.sequence > sequence:
                break
            base, chain = record.tail.sequence, record.chain
        # Crashes are those of the event at the cursor: behind it they blame nobody.
        crashes = self.start.crashes if sequence == self.start.sequence else 0
        replay_from, replay_until = self.start.replay_left(sequence)
        return replace(
            self.start,
            sequence=sequence,
            base=base,
            chain=chain,
            attempting=False,
            running=False,
            crashes=crashes,
            replay_until=replay_until,
            replay_from=replay_from,
        )

    @property
    def oldest(self) -> HybridTime | None:
        """Time at which the first wanted event was appended; None if there is none.

        What nobody wants may stand before it for long, and makes it neither late nor slow.
        """
        return self._holder(self.sequences[0]).time if self.sequences else None

    @property
    def oldest_ms(self) -> int | None:
        """That time in milliseconds since 1970; None if latency means nothing."""
        oldest = self.oldest
        return None if oldest is None or self.start.is_replaying else to_ms(oldest)


def _end_of_marks(cursor: Cursor) -> SequenceNumber:
    """Return the sequence up to which all events are marked as replays, or none is."""
    if cursor.is_replay:
        return cursor.replay_until
    return cursor.replay_from if cursor.sequence < cursor.replay_from else _FOREVER


def place_behind(seal: Record, lane: Lane) -> tuple[Lane, Cursor]:
    """Return where a key of a lane goes on behind a seal above it: the lane there, and a cursor at its beginning."""
    assert seal.lane.generation < lane.generation, "behind a seal, keys go on in the children of its lane"
    tail = seal.tail
    behind = replace(START, sequence=tail.sequence, base=tail.sequence, chain=tail.chain)
    return lane.above(seal.lane.generation + 1), behind
