"""The slice: a stretch of a lane that one worker of a backfill copies, and its progress."""

from dataclasses import dataclass

from eventfabric.model.identity import Chain, Lane, Region, SequenceNumber, StreamName
from eventfabric.model.record import EMPTY_TAIL, Tail


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
