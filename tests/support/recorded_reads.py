"""A log that records how it is read, and telemetry that counts by subject."""

from typing import NamedTuple

from eventfabric.model import Intervention, Lane, Recent, Record, SequenceNumber, Tail
from eventfabric.ports import Log, Page
from eventfabric.telemetry import Metric
from tests.support.memory_fabric import Counting


class Read(NamedTuple):
    """A page that was read."""

    lane: Lane
    start: int
    records_max: int
    before: int | None = None


class RecordingLog:
    """A log, and in order the reads that were asked of it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.reads: list[Read] = []
        self.tails: list[tuple[Lane, int | None]] = []

    def tail(self, lane: Lane, *, before: SequenceNumber | None = None) -> Tail:
        self.tails.append((lane, before))
        return self._log.tail(lane, before=before)

    def append(self, record: Record) -> Record | None:
        return self._log.append(record)

    def recent(
        self, lane: Lane, *, records_max: int, before: SequenceNumber | None = None, consistent: bool = True
    ) -> Recent:
        return self._log.recent(lane, records_max=records_max, before=before, consistent=consistent)

    def place(self, lane: Lane) -> Tail | None:
        return self._log.place(lane)

    def note(self, intervention: Intervention) -> None:
        self._log.note(intervention)

    def set_aside(self, intervention: Intervention) -> None:
        self._log.set_aside(intervention)

    def interventions(self, lane: Lane) -> tuple[Intervention, ...]:
        return self._log.interventions(lane)

    def hold_place(self, lane: Lane, tail: Tail) -> None:
        self._log.hold_place(lane, tail)

    def read(
        self, lane: Lane, start: SequenceNumber, *, records_max: int, before: SequenceNumber | None = None
    ) -> Page:
        self.reads.append(Read(lane, start, records_max, before))
        return self._log.read(lane, start, records_max=records_max, before=before)


class CountingBySubject(Counting):
    """Telemetry that also adds up by what each value is about."""

    def __init__(self) -> None:
        super().__init__()
        self.added: dict[tuple[Metric, str | None], float] = {}

    def add(self, metric: Metric, value: float = 1, *, of: str | None = None) -> None:
        super().add(metric, value, of=of)
        self.added[metric, of] = self.added.get((metric, of), 0) + value
