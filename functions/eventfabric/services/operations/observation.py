"""Observation: what flows through a stream by the envelopes of its newest events, at a bounded cost. Changes nothing.

The cheapest read of a lane is the log itself, newest first, without consistency: DynamoDB charges for whole items
whichever attributes are asked for, so reading types alone would cost the same and tell neither source nor schema.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from eventfabric.errors import LogError, UndecodableItemError, UndecodableRecordError
from eventfabric.model import Lane, Record, SequenceNumber, to_ms
from eventfabric.ports import Log
from eventfabric.services.lanes.splits import Unreadable
from eventfabric.wire.envelopes import Envelope, envelopes_of
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.record_item import to_item

ENVELOPES_MAX: Final = 10_000
"""Most envelopes that are told apart; events of further ones are only counted."""
PLACES_MAX: Final = 100
"""Newest events of each type and lane whose places are kept, to compare them with cursors."""
_UNIT_BYTES: Final = 4096
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Bounds of an observation: how many records of each lane, back to which time, for how many read units."""

    records_max: int = 1_000
    since_ms: int = 0
    read_units_max: float = float("inf")


@dataclass(slots=True)
class Occurrences:
    """Events that have equal envelopes. Times are those of their records, in milliseconds since 1970."""

    count: int = 0
    first_ms: int = 0
    last_ms: int = 0

    def add(self, time_ms: int) -> None:
        """Count an event."""
        self.count += 1
        self.first_ms = min(self.first_ms or time_ms, time_ms)
        self.last_ms = max(self.last_ms, time_ms)


@dataclass(frozen=True, slots=True)
class SeenPlace:
    """Sequence of an event in its lane, and the time of its record."""

    sequence: SequenceNumber
    time_ms: int


@dataclass
class _LaneProgress:
    """How far back a lane was read."""

    records: int = 0
    before: SequenceNumber | None = None
    """First sequence that was read; None: nothing was."""
    since_ms: int | None = None
    """Time from which on all its records were read; None: nothing was."""
    is_done: bool = False
    """As much of it was read as is to be."""
    is_whole: bool = False
    """It was read to its beginning."""


@dataclass
class Observation:
    """Account of what was seen of a stream by now. `look` and `read` go on with it, and may be ended at any time."""

    log: Log
    lanes: list[Lane]
    extent: Extent
    unreadable: Unreadable
    occurrences: dict[Envelope, Occurrences] = field(default_factory=dict)
    places: dict[tuple[str, Lane], deque[SeenPlace]] = field(default_factory=dict)
    """Newest events of each type and lane, newest first."""
    records: int = 0
    events: int = 0
    events_beyond: int = 0
    """Events whose envelopes were too many to be told apart."""
    read_units: float = 0
    _progress: dict[Lane, _LaneProgress] = field(default_factory=dict)
    _newest_bytes: dict[Lane, int] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Tell if every record was read that the log has."""
        return all(progress.is_whole for progress in self._progress.values()) and self._is_begun

    @property
    def is_done(self) -> bool:
        """Tell if all was read that was to be; else it was interrupted, or the read units were used up."""
        return all(progress.is_done for progress in self._progress.values()) and self._is_begun

    @property
    def _is_begun(self) -> bool:
        return len(self._progress) == len(self.lanes)

    def since_ms(self, *, now_ms: int) -> int:
        """Return the time from which on everything was read in every lane; 0: since the beginning of the log."""
        parts = [progress for progress in self._progress.values() if not progress.is_whole]
        if not self._is_begun or any(progress.since_ms is None for progress in parts):
            return now_ms
        return max((progress.since_ms or 0 for progress in parts), default=0)

    def look(self) -> Iterator[Lane]:
        """Read the newest record of each lane, which says about what the rest costs; yield each lane.

        That is a seal where the lane was split: then its children are lanes to be read, too.
        """
        for lane in self.lanes:  # it grows
            self._progress[lane] = _LaneProgress()
            self._read_page(lane, records_max=1)
            yield lane

    @property
    def read_units_to_come(self) -> float:
        """Read units that the rest takes at most, if all records are as large as the newest of their lane."""
        units = 0.0
        for lane, size in self._newest_bytes.items():
            progress = self._progress[lane]
            left = self.extent.records_max - progress.records
            if not progress.is_done and progress.before:
                # A record has an event or more, so there are no more of them than sequences before.
                units += min(left, progress.before) * size / _UNIT_BYTES / 2
        # Looking at the lanes may have used up more than all of them already.
        return min(units, max(0.0, self.extent.read_units_max - self.read_units))

    def read(self) -> Iterator[Lane]:
        """Read the rest of the extent, page by page; yield the lane of each page."""
        for lane, progress in self._progress.items():
            while not progress.is_done and self.read_units < self.extent.read_units_max:
                left = self.extent.records_max - progress.records
                self._read_page(lane, records_max=left)
                yield lane

    def per_day(self, of: Occurrences) -> float:
        """Return how many such events there are a day, by the time from the first to the last that was seen."""
        days = max(of.last_ms - of.first_ms, _DAY_MS) / _DAY_MS
        return of.count / days

    def _read_page(self, lane: Lane, *, records_max: int) -> None:
        progress = self._progress[lane]
        try:
            page = self.log.recent(lane, records_max=records_max, before=progress.before, consistent=False)
        except (LogError, UndecodableItemError) as error:
            self.unreadable(error)
            progress.is_done = True
            return
        for sequence in page.unreadable:
            self.unreadable(UndecodableRecordError(lane, sequence, "cannot be read, and is left out"))
        self._charge(lane, page.records)
        if progress.before is None and page.records and page.records[0].is_seal:
            self.lanes.extend(lane.children)
        for record in page.records:
            if to_ms(record.time) < self.extent.since_ms:
                progress.since_ms, progress.is_done = self.extent.since_ms, True
                return
            self._add(record)
            progress.records += 1
            progress.since_ms = to_ms(record.time)
        sequences = [*(record.sequence for record in page.records), *page.unreadable]
        progress.before = min(sequences, default=progress.before)
        progress.is_whole = not page.more or not sequences
        progress.is_done = progress.is_whole or progress.records >= self.extent.records_max

    def _charge(self, lane: Lane, records: Sequence[Record]) -> None:
        sizes = [item_bytes(to_item(record)) for record in records]
        # A query pays for all of its items together, half a unit for each 4 KiB, and no less than that.
        self.read_units += max(1, -(-sum(sizes) // _UNIT_BYTES)) / 2
        if sizes:
            self._newest_bytes.setdefault(lane, sizes[0])

    def _add(self, record: Record) -> None:
        try:
            envelopes = envelopes_of(record)
        except UndecodableRecordError as error:
            self.unreadable(error)
            return
        self.records += 1
        self.events += len(envelopes)
        time_ms = to_ms(record.time)
        for sequence in range(record.sequence + len(envelopes) - 1, record.sequence - 1, -1):
            envelope = envelopes[sequence - record.sequence]
            if envelope not in self.occurrences and len(self.occurrences) >= ENVELOPES_MAX:
                self.events_beyond += 1
                continue
            self.occurrences.setdefault(envelope, Occurrences()).add(time_ms)
            places = self.places.setdefault((envelope.type, record.lane), deque())
            if len(places) < PLACES_MAX:
                places.append(SeenPlace(SequenceNumber(sequence), time_ms))
