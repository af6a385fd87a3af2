"""Says when a local fabric has settled: when all that would still move is the probes of circuits that stay open."""

from collections.abc import Callable
from typing import Final

from eventfabric.model.circuit import CircuitState
from eventfabric.telemetry import Metric
from eventfabric.testing.local.clock import MovableClock
from eventfabric.testing.local.subscription import CountingTelemetry

PROBED_IN_VAIN_SECONDS: Final = 600
"""How long an open circuit is probed before `settle(timers=True)` takes what is downstream to stay down: 20 probes."""
_PROGRESS: Final = (
    Metric.EVENTS_HANDLED,
    Metric.EVENTS_CRASHED,
    Metric.DEAD_LETTERS,
    Metric.KEYS_PARKED,
    Metric.KEYS_FREED,
)
"""A failed probe adds to none of these: it uses up no attempt."""

Deliveries = tuple[str, str]
"""A subscription and a Region that delivers for it."""


class Settling:
    """One `settle(timers=True)`: which subscriptions are probed in vain, in which Regions."""

    def __init__(
        self,
        telemetry: dict[Deliveries, CountingTelemetry],
        clock: MovableClock,
        circuit_state: Callable[[Deliveries], CircuitState],
    ) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._circuit_state = circuit_state
        self._progress: dict[Deliveries, tuple[tuple[float, ...], int]] = {}

    def is_in_vain(self, deliveries: Deliveries) -> bool:
        """Tell if its circuit is open, and nothing has come of its probes for as long as anybody waits here."""
        sums, now_ms = self._telemetry[deliveries].sums, self._clock.now_ms()
        progress = tuple(sums[metric] for metric in _PROGRESS)
        before, since_ms = self._progress.get(deliveries, ((), now_ms))
        if progress != before:
            self._progress[deliveries] = progress, now_ms
            return False
        if now_ms - since_ms < 1000 * PROBED_IN_VAIN_SECONDS:
            return False
        return self._circuit_state(deliveries) is CircuitState.OPEN
