"""Owns the circuit of a subscription in one Region: whether its deliveries run, and since when they do not."""

from dataclasses import dataclass
from enum import StrEnum


class CircuitState(StrEnum):
    """As of a circuit breaker: CLOSED delivers, OPEN does not."""

    CLOSED = "closed"
    OPEN = "open"
    """What is downstream seems to be down: one lane probes, the others wait."""
    PAUSED = "paused"
    """Somebody said so; only they end it."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """The circuit as it was read. Times are milliseconds since 1970.

    Failures from `suspect_from_ms` to `suspect_to_ms` were the outage's and use up no attempts. `rings_owed`: it was
    closed, and whether every lane was rung since is not known. `version` counts the writes, 0 for none yet.
    """

    state: CircuitState = CircuitState.CLOSED
    reason: str = ""
    since_ms: int = 0
    probe_ms: int = 0
    suspect_from_ms: int = 0
    suspect_to_ms: int = 0
    rings_owed: bool = False
    by: str = ""
    """Who paused it, where somebody did."""
    version: int = 0

    def excuses(self, failed_ms: int) -> bool:
        """Whether a failure at that time was the outage's."""
        began = self.suspect_from_ms
        ended = self.suspect_to_ms if self.state is CircuitState.CLOSED else failed_ms
        return 0 < began <= failed_ms <= ended
