"""Vitals: gauges of how a stream and its subscriptions stand in one Region, reported at the end of a pass.

They cost no reads but one: if a lane lags, the first record that waits. They are reported here, where everything else
is at hand, and not by deliveries: a function that delivers nothing reports nothing, and that is when gauges matter.
"""

from collections.abc import Collection, Iterable
from typing import Final

from eventfabric import limits
from eventfabric.model import CircuitState, Parked, ParkedState, Standing
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.model.pass_progress import PassTally
from eventfabric.stream_topology import StreamTopology
from eventfabric.telemetry import Metric, Telemetry

_LANES = {
    FindingKind.REPLICATION_DELAY: Metric.LANES_BEHIND,
    FindingKind.REPLICATION_STALL: Metric.LANES_STALLED,
    FindingKind.REPLICATION_SILENT: Metric.LANES_STALLED,
    FindingKind.UNREACHABLE: Metric.LANES_UNREACHABLE,
    FindingKind.HOT_LANE: Metric.LANES_HOT,
    FindingKind.HOT_KEY: Metric.LANES_HOT,
}
_OF_FINDINGS: Final = tuple(dict.fromkeys([*_LANES.values(), Metric.FINDINGS_ALARMED]))
"""Gauges that count findings."""


class Vitals:
    """The gauges of one pass, or of one lane in it. They are 0 for a subscription that another Region delivers."""

    def __init__(self, stream: StreamTopology, tally: PassTally | None = None) -> None:
        """`tally`: what was counted before, by an earlier part of the pass."""
        self._stream = stream
        self.tally = PassTally()
        if tally is not None:
            self.tally.add(tally)

    def add(self, lane: "Vitals") -> None:
        """Add what was seen of one lane. Each lane has gauges of its own, since several are looked at at a time."""
        self.tally.add(lane.tally)

    def count_finding(self, finding: Finding) -> None:
        """Count a finding. A stall counts even if it was copied: replication did not do that."""
        counts = self.tally.findings
        if finding.kind in _LANES:
            metric = _LANES[finding.kind].value
            counts[metric] = counts.get(metric, 0) + 1
        if finding.is_alarm:
            metric = Metric.FINDINGS_ALARMED.value
            counts[metric] = counts.get(metric, 0) + 1

    def parked(self, subscription: str, keys: Iterable[Parked], *, now_ms: int) -> None:
        """Count a lane's parked keys: dead ones, and those that have failed for long."""
        failing_ms = now_ms - 1000 * limits.FAILING_SECONDS
        counts = self.tally.of(subscription)
        for key in keys:
            if key.state is ParkedState.DEAD:
                counts.dead += 1
            elif key.failure.first_ms <= failing_ms:
                counts.failing += 1

    def waits(self, subscription: str, since_ms: int) -> None:
        """Note that an event that has been here since then is not delivered yet."""
        self.tally.of(subscription).wait(since_ms)

    def short(self, subscriptions: Collection[str], since_ms: int) -> None:
        """Count a lane to which nothing may be appended since then, for these subscriptions; none: more may be."""
        self.tally.short += bool(subscriptions)
        for name in subscriptions:
            self.tally.of(name).run_short(since_ms)

    def clock_ahead(self, ahead_ms: int) -> None:
        """Note by how much a lane's time is ahead of this Region's clock. Below 0 it is not ahead."""
        self.tally.clock_ahead_ms = max(self.tally.clock_ahead_ms, ahead_ms)

    def verified(self, whole_ms: int) -> None:
        """Note since when all of some lanes have been verified as a whole."""
        self.tally.verify(whole_ms)

    def tell(self, telemetry: Telemetry, standings: dict[str, Standing], *, now_ms: int) -> None:
        """Report all gauges to the telemetry, at the end of the pass."""
        for subscription in self._stream.subscriptions:
            name = subscription.name
            gauges = self.tally.of(name)
            age_ms = 0 if gauges.oldest_ms is None else max(0, now_ms - gauges.oldest_ms)
            state = standings.get(name, Standing()).circuit.state
            telemetry.gauge(Metric.OLDEST_UNDELIVERED, age_ms / 1000, of=name)
            slo = subscription.definition.slo
            # A pause is what somebody wants. An outage is not, and events of one are as late as any.
            if slo is not None and state is not CircuitState.PAUSED:
                telemetry.gauge(Metric.LATENCY_BUDGET_USED, 100 * age_ms / slo.latency_ms, of=name)
            telemetry.gauge(Metric.KEYS_FAILING, gauges.failing, of=name)
            telemetry.gauge(Metric.KEYS_DEAD, gauges.dead, of=name)
            telemetry.gauge(Metric.CIRCUIT_OPEN, int(state is CircuitState.OPEN), of=name)
            short_ms = 0 if gauges.short_ms is None else max(0, now_ms - gauges.short_ms)
            telemetry.gauge(Metric.CREDIT_SHORT_SECONDS, short_ms / 1000, of=name)
        telemetry.gauge(Metric.CREDIT_SHORT, self.tally.short, of=self._stream.name)
        # Below these bounds there is nothing to tell, and a metric that is not reported costs nothing.
        if self.tally.clock_ahead_ms > limits.CLOCK_TOLERANCE_MILLISECONDS:
            telemetry.gauge(Metric.CLOCK_AHEAD, self.tally.clock_ahead_ms / 1000, of=self._stream.name)
        verified_ms = self.tally.verified_ms
        unverified_seconds = 0 if verified_ms is None else (now_ms - verified_ms) / 1000
        if unverified_seconds > limits.ROUND_SECONDS:
            telemetry.gauge(Metric.OLDEST_ROUND, unverified_seconds, of=self._stream.name)
        for metric in _OF_FINDINGS:
            telemetry.gauge(metric, self.tally.findings.get(metric.value, 0), of=self._stream.name)
