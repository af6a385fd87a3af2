"""The backfill as a whole: what was requested, how far it is planned, and if it is to go on."""

from dataclasses import dataclass, field
from enum import StrEnum

from eventfabric.model.identity import Lane, Region, SequenceNumber, StreamName
from eventfabric.model.slice import LaneRange, SliceProgress


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
