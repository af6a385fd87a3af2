"""The backfill: what was requested, the slices of lanes into which it is cut, how far each is, and if it goes on."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from eventfabric.model.identity import Chain, Lane, Region, SequenceNumber, StreamName
from eventfabric.model.record import EMPTY_TAIL, Tail

SliceStart: TypeAlias = tuple[Lane, SequenceNumber]
"""Lane and first sequence of a slice, which name it within its backfill."""


@dataclass(frozen=True, slots=True)
class Seam:
    """A place between two records of a lane: the sequence of the later one, the chain of the earlier one.

    `chain` is None where the earlier record is not known: it has expired, or is missing.
    """

    sequence: SequenceNumber
    chain: Chain | None

    @classmethod
    def of(cls, tail: Tail) -> "Seam":
        """Return the seam after the record that a tail describes."""
        return cls(tail.sequence, tail.chain)

    def agrees(self, other: "Seam") -> bool:
        """Tell if both are the same place, as far as is known."""
        chains = (self.chain, other.chain)
        return self.sequence == other.sequence and (None in chains or self.chain == other.chain)


def _is_sequence(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) <= 18


@dataclass(frozen=True, slots=True)
class LaneRange:
    """The records of a lane that begin at `start` or later and before `end`; None: as far as the source has any."""

    lane: Lane
    start: SequenceNumber = EMPTY_TAIL.sequence
    end: SequenceNumber | None = None

    def __str__(self) -> str:
        if self.end is None and not self.start:
            return str(self.lane)
        return f"{self.lane}@{self.start}-{'' if self.end is None else self.end}"

    @classmethod
    def parse(cls, text: str) -> "LaneRange":
        """Parse the text that `str(range)` wrote: LANE, LANE@START-END or LANE@START-. ValueError for anything else."""
        lane, separator, bounds = text.partition("@")
        start, dash, end = bounds.partition("-")
        if separator and not (dash and _is_sequence(start) and (_is_sequence(end) or not end)):
            raise ValueError(
                f"not a range: {text!r}, allowed: <lane>, <lane>@<start>-<end> or <lane>@<start>-"
            )
        return cls(
            Lane.parse(lane), SequenceNumber(int(start or 0)), SequenceNumber(int(end)) if end else None
        )


@dataclass(frozen=True, slots=True)
class Slice:
    """Work of one worker: the records of a lane from one seam to another, as known when it was planned.

    The end of a slice is where the next one starts: a lane whose slices are all copied is verified as a whole.
    """

    stream: StreamName
    lane: Lane
    start: Seam
    end: Seam
    source: Region
    target: Region


@dataclass(frozen=True, slots=True)
class SliceProgress:
    """Progress of a slice. Everything before `at` is in the target and verified; a worker goes on from there.

    `missing`: events that the target lacked when the slice was planned. `failure`: why it cannot go on, if so.
    The names of the fields are those of the stored JSON.
    """

    slice: Slice
    at: Seam
    missing: int
    copied_records: int = 0
    copied_events: int = 0
    failure: str = ""

    @property
    def done(self) -> bool:
        """Tell if all of the slice is in the target."""
        return self.at.sequence >= self.slice.end.sequence and not self.failure


class BackfillState(StrEnum):
    """State of a backfill. Its workers go on only while it is RUNNING."""

    RUNNING = "running"
    CANCELLED = "cancelled"
    INCOMPLETE = "incomplete"
    """Every slice was tried, and some cannot be copied; the slices say why."""
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Planned:
    """Progress of planning: all lanes before `lane` are planned, and `lane` up to `sequence`."""

    lane: Lane
    sequence: SequenceNumber


@dataclass(frozen=True, slots=True)
class Backfill:
    """One backfill of a stream, from one Region into another. `version` counts the writes, 0 for none yet.

    `ranges`: what to copy; empty: every lane. `rate`: events a second that all workers together may write; None: no
    bound. `elsewhere`: set if the source is not this fabric's own Region but, say, another account.
    """

    id: str
    stream: StreamName
    source: Region
    target: Region
    ranges: tuple[LaneRange, ...]
    rate: float | None
    workers: int
    slice_events: int | None
    by: str
    started_ms: int
    state: BackfillState = BackfillState.RUNNING
    planned: Planned | None = None
    is_planned: bool = False
    elsewhere: str = ""
    version: int = 0

    @property
    def worker_rate(self) -> float | None:
        """Events a second that one of its workers may write."""
        return None if self.rate is None else self.rate / self.workers


@dataclass(slots=True)
class LaneReport:
    """Result for a lane: its slices, the events that its target lacked, and those that were copied."""

    slices: int = 0
    slices_done: int = 0
    missing: int = 0
    copied_records: int = 0
    copied_events: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, progress: SliceProgress) -> None:
        """Add the counts of a slice."""
        self.slices += 1
        self.slices_done += progress.done
        self.missing += progress.missing
        self.copied_records += progress.copied_records
        self.copied_events += progress.copied_events
        if progress.failure:
            self.failures.append(progress.failure)


@dataclass(frozen=True, slots=True)
class Report:
    """A backfill and the results for its lanes."""

    backfill: Backfill
    lanes: dict[Lane, LaneReport]
    unreadable: tuple[str, ...] = ()
    """Reasons why some slices cannot be read; those are in no lane's report."""

    @property
    def total(self) -> LaneReport:
        """Sum of all lanes."""
        total = LaneReport()
        for lane in self.lanes.values():
            total.slices += lane.slices
            total.slices_done += lane.slices_done
            total.missing += lane.missing
            total.copied_records += lane.copied_records
            total.copied_events += lane.copied_events
            total.failures += lane.failures
        total.failures += self.unreadable
        return total

    @property
    def is_complete(self) -> bool:
        """Tell if all that was requested is in the target."""
        total = self.total
        return self.backfill.is_planned and total.slices == total.slices_done and not self.unreadable
