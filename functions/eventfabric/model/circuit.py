"""The circuit of a subscription in one Region: if its deliveries run, and since when they do not."""

from dataclasses import dataclass
from enum import StrEnum


class CircuitState(StrEnum):
    """State of a circuit breaker: CLOSED delivers, OPEN does not."""

    CLOSED = "closed"
    OPEN = "open"
    """A downstream system seems to be down: one lane probes, the others wait."""
    PAUSED = "paused"
    """An operator paused it, and only an operator ends that."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """The circuit as it was read. Times are milliseconds since 1970.

    Failures from `suspect_from_ms` to `suspect_to_ms` are the outage's fault and use up no attempts. `rings_owed`: the
    circuit was closed, and it is not known if every lane was rung since. `version` counts the writes, 0 for none yet.
    """

    state: CircuitState = CircuitState.CLOSED
    reason: str = ""
    since_ms: int = 0
    probe_ms: int = 0
    suspect_from_ms: int = 0
    suspect_to_ms: int = 0
    rings_owed: bool = False
    by: str = ""
    """Name of whoever paused it, if somebody did."""
    version: int = 0

    def excuses(self, failed_ms: int) -> bool:
        """Tell if a failure at that time was the outage's fault."""
        began = self.suspect_from_ms
        ended = self.suspect_to_ms if self.state is CircuitState.CLOSED else failed_ms
        return 0 < began <= failed_ms <= ended
