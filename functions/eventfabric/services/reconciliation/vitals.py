"""Vitals: gauges of how a stream and its subscriptions stand in one Region, reported at the end of a pass.

They cost no reads but one: if a lane lags, the first record that waits. They are reported here, where everything else
is at hand, and not by deliveries: a function that delivers nothing reports nothing, and that is when gauges matter.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from eventfabric import limits
from eventfabric.model import CircuitState, Parked, ParkedState, Standing
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.telemetry import Metric, Telemetry
from eventfabric.topology import StreamTopology

_LANES = {
    FindingKind.REPLICATION_DELAY: Metric.LANES_BEHIND,
    FindingKind.REPLICATION_STALL: Metric.LANES_STALLED,
    FindingKind.REPLICATION_SILENT: Metric.LANES_STALLED,
    FindingKind.UNREACHABLE: Metric.LANES_UNREACHABLE,
}
_OF_FINDINGS: Final = tuple(dict.fromkeys([*_LANES.values(), Metric.FINDINGS_ALARMED]))
"""Gauges that count findings."""


@dataclass
class _OfSubscription:
    """The counts of one subscription. `retrying` has the time of the first failure of each key that is tried again."""

    oldest_ms: int | None = None
    retrying: list[int] = field(default_factory=list)
    dead: int = 0


class Vitals:
    """The gauges of one pass, or of one lane in it. They are 0 for a subscription that another Region delivers."""

    def __init__(self, stream: StreamTopology) -> None:
        self._stream = stream
        self._subscriptions = defaultdict[str, _OfSubscription](_OfSubscription)
        self._clock_ahead_ms = 0
        self._verified_ms: int | None = None
        self._findings = Counter[Metric]()

    def add(self, lane: "Vitals") -> None:
        """Add what was seen of one lane. Each lane has gauges of its own, since several are looked at at a time."""
        for name, gauges in lane._subscriptions.items():
            mine = self._subscriptions[name]
            mine.retrying += gauges.retrying
            mine.dead += gauges.dead
            if gauges.oldest_ms is not None:
                self.waits(name, gauges.oldest_ms)
        self.clock_ahead(lane._clock_ahead_ms)
        if lane._verified_ms is not None:
            self.verified(lane._verified_ms)
        self._findings += lane._findings

    def count_finding(self, finding: Finding) -> None:
        """Count a finding. A stall counts even if it was copied: replication did not do that."""
        if finding.kind in _LANES:
            self._findings[_LANES[finding.kind]] += 1
        if finding.is_alarm:
            self._findings[Metric.FINDINGS_ALARMED] += 1

    def parked(self, subscription: str, keys: Iterable[Parked]) -> None:
        """Count a lane's parked keys."""
        gauges = self._subscriptions[subscription]
        for key in keys:
            if key.state is ParkedState.DEAD:
                gauges.dead += 1
            else:
                gauges.retrying.append(key.failure.first_ms)

    def waits(self, subscription: str, since_ms: int) -> None:
        """Note that an event that has been here since then is not delivered yet."""
        gauges = self._subscriptions[subscription]
        gauges.oldest_ms = since_ms if gauges.oldest_ms is None else min(gauges.oldest_ms, since_ms)

    def clock_ahead(self, ahead_ms: int) -> None:
        """Note by how much a lane's time is ahead of this Region's clock. Below 0 it is not ahead."""
        self._clock_ahead_ms = max(self._clock_ahead_ms, ahead_ms)

    def verified(self, whole_ms: int) -> None:
        """Note since when all lanes of an origin have been verified as a whole."""
        self._verified_ms = whole_ms if self._verified_ms is None else min(self._verified_ms, whole_ms)

    def tell(self, telemetry: Telemetry, standings: dict[str, Standing], *, now_ms: int) -> None:
        """Report all gauges to the telemetry, at the end of the pass."""
        for name in (subscription.name for subscription in self._stream.subscriptions):
            gauges = self._subscriptions[name]
            age_ms = 0 if gauges.oldest_ms is None else max(0, now_ms - gauges.oldest_ms)
            is_open = standings.get(name, Standing()).circuit.state is CircuitState.OPEN
            telemetry.gauge(Metric.OLDEST_UNDELIVERED, age_ms / 1000, of=name)
            failing = sum(first_ms <= now_ms - 1000 * limits.FAILING_SECONDS for first_ms in gauges.retrying)
            telemetry.gauge(Metric.KEYS_FAILING, failing, of=name)
            telemetry.gauge(Metric.KEYS_DEAD, gauges.dead, of=name)
            telemetry.gauge(Metric.CIRCUIT_OPEN, int(is_open), of=name)
        # Below these bounds there is nothing to tell, and a metric that is not reported costs nothing.
        if self._clock_ahead_ms > limits.CLOCK_TOLERANCE_MILLISECONDS:
            telemetry.gauge(Metric.CLOCK_AHEAD, self._clock_ahead_ms / 1000, of=self._stream.name)
        unverified_seconds = 0 if self._verified_ms is None else (now_ms - self._verified_ms) / 1000
        if unverified_seconds > limits.ROUND_SECONDS:
            telemetry.gauge(Metric.OLDEST_ROUND, unverified_seconds, of=self._stream.name)
        for metric in _OF_FINDINGS:
            telemetry.gauge(metric, self._findings[metric], of=self._stream.name)
