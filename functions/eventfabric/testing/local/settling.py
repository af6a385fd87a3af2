"""Decides when a local fabric has settled: when nothing would move but the probes of circuits that stay open."""

from collections.abc import Callable
from typing import Final

from eventfabric.model import CircuitState
from eventfabric.telemetry import Metric
from eventfabric.testing.local.clock import MovableClock
from eventfabric.testing.local.subscription import CountingTelemetry

PROBED_IN_VAIN_SECONDS: Final = 600
"""Time after which `settle(timers=True)` stops waiting for an open circuit: about 20 probes without progress."""
_PROGRESS: Final = (
    Metric.EVENTS_HANDLED,
    Metric.EVENTS_CRASHED,
    Metric.DEAD_LETTERS,
    Metric.KEYS_PARKED,
    Metric.KEYS_FREED,
)
"""Counters that show progress. A failed probe adds to none of them, since it uses up no attempt."""

Deliveries = tuple[str, str]
"""A subscription and a Region that delivers for it."""


class Settling:
    """One `settle(timers=True)`: finds out which subscriptions are probed in vain, and in which Regions."""

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
        """Tell if the circuit is open, and its probes made no progress for PROBED_IN_VAIN_SECONDS."""
        sums, now_ms = self._telemetry[deliveries].sums, self._clock.now_ms()
        progress = tuple(sums[metric] for metric in _PROGRESS)
        before, since_ms = self._progress.get(deliveries, ((), now_ms))
        if progress != before:
            self._progress[deliveries] = progress, now_ms
            return False
        if now_ms - since_ms < 1000 * PROBED_IN_VAIN_SECONDS:
            return False
        return self._circuit_state(deliveries) is CircuitState.OPEN
