"""Telemetry that keeps what each log line says, beside what it adds up."""

from dataclasses import dataclass, field

from eventfabric.telemetry import LogEvent
from tests.support.memory_fabric import Counting
from tests.support.subscribed_stream import SubscribedStream


@dataclass
class Telling(Counting):
    """Counts, and remembers log lines with their fields."""

    lines: list[tuple[LogEvent, dict[str, object]]] = field(default_factory=list)

    def tell(self, event: LogEvent, **about: object) -> None:
        super().tell(event, **about)
        self.lines.append((event, about))

    def of(self, event: LogEvent) -> list[dict[str, object]]:
        """Return the fields of all lines of one event."""
        return [about for told, about in self.lines if told is event]


def telling(world: SubscribedStream) -> Telling:
    """Return everything that the world tells from now on."""
    world.telemetry = told = Telling()
    return told
