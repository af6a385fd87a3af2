"""Telemetry that keeps the fields of each log line, beside its sums."""

from dataclasses import dataclass, field

from eventfabric.telemetry import LogEvent
from tests.support.memory_fabric import Counting
from tests.support.subscribed_stream import SubscribedStream


@dataclass
class RecordingTelemetry(Counting):
    """Counts, and remembers log lines with their fields."""

    lines: list[tuple[LogEvent, dict[str, object]]] = field(default_factory=list)

    def tell(self, event: LogEvent, **about: object) -> None:
        super().tell(event, **about)
        self.lines.append((event, about))

    def lines_of(self, event: LogEvent) -> list[dict[str, object]]:
        """Return the fields of all lines of one event."""
        return [about for logged, about in self.lines if logged is event]


def record_telemetry(fabric: SubscribedStream) -> RecordingTelemetry:
    """Replace the fabric's telemetry by one that records log lines from now on."""
    fabric.telemetry = telemetry = RecordingTelemetry()
    return telemetry
