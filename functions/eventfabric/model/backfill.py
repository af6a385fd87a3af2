"""Owns the backfill as a whole: what was asked for, how far its planning is, and whether it is to go on."""

from dataclasses import dataclass, field
from enum import StrEnum

from eventfabric.model.identity import Lane, Region, Sequence, StreamName
from eventfabric.model.slice import LaneRange, SliceProgress


class BackfillState(StrEnum):
    """What becomes of a backfill's workers: only of a running one do they go on."""

    RUNNING = "running"
    CANCELLED = "cancelled"
    INCOMPLETE = "incomplete"
    """Every slice was tried, and some cannot be copied; the slices say why."""
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Planned:
    """How far a backfill's lanes are planned: all lanes before `lane`, and `lane` up to `sequence`."""

    lane: Lane
    sequence: Sequence


@dataclass(frozen=True, slots=True)
class Backfill:
    """One backfill of a stream, from one Region into another. `version` counts the writes, 0 for none yet.

    `ranges`: what to copy; nothing: every lane. `rate`: events a second that all workers together may write; None: as
    many as they can. `elsewhere`: the source is not this fabric's own Region but, say, another account.
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
    """What became of a lane: its slices, the events that its target lacked, and those that were copied."""

    slices: int = 0
    slices_done: int = 0
    missing: int = 0
    copied_records: int = 0
    copied_events: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, progress: SliceProgress) -> None:
        """Count a slice in."""
        self.slices += 1
        self.slices_done += progress.done
        self.missing += progress.missing
        self.copied_records += progress.copied_records
        self.copied_events += progress.copied_events
        if progress.failure:
            self.failures.append(progress.failure)


@dataclass(frozen=True, slots=True)
class Report:
    """A backfill and what became of its lanes."""

    backfill: Backfill
    lanes: dict[Lane, LaneReport]
    unreadable: tuple[str, ...] = ()
    """Why slices cannot be read; they are in no lane's report."""

    @property
    def total(self) -> LaneReport:
        """All lanes together."""
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
        """Whether all that was asked for is in the target."""
        total = self.total
        return self.backfill.is_planned and total.slices == total.slices_done and not self.unreadable
