"""The dashboard of a fabric, as data: one page for all Regions, from the latency of deliveries down to their cost."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Final

from eventfabric.deployment.alarms import RUNBOOK
from eventfabric.deployment.series import (
    Series,
    of_fabric,
    of_function,
    of_metric,
    of_queue,
    of_replication,
    of_table,
)
from eventfabric.telemetry import FABRIC, NAMESPACE, Metric
from eventfabric.topology import Topology

METRICS_MAX: Final = 2_500
"""Most metrics of all graphs of a dashboard together, which CloudWatch raises for nobody."""
_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 6
_PERIOD_SECONDS = 300
Line = list[Any]


def body_of(topology: Topology) -> dict[str, Any]:
    """Make the dashboard's body in CloudWatch's form: rows of widgets, each below a heading."""
    widgets, y = list[dict[str, Any]](), 0
    for heading, row in _Page(topology).rows():
        widgets.append(
            {**_box(0, y, _COLUMNS, 1), "type": "text", "properties": {"markdown": f"## {heading}"}}
        )
        y += 1
        for number, graph in enumerate(row):
            x = number * _WIDTH % _COLUMNS
            y += _HEIGHT if number and not x else 0
            widgets.append({**_box(x, y, _WIDTH, _HEIGHT), "type": "metric", "properties": graph})
        y += _HEIGHT
    return {"widgets": widgets}


def metrics_of(topology: Topology, body: dict[str, Any]) -> list[int]:
    """Count the metrics of each widget of a body. A search finds one for each subscription of its Region at most."""
    return [
        sum(
            len(topology.subscriptions_in(line[0]["region"])) if isinstance(line[0], dict) else 1
            for line in widget["properties"].get("metrics", ())
        )
        for widget in body["widgets"]
    ]


def too_many_metrics(topology: Topology) -> str | None:
    """Say how many metrics the dashboard has, if they are too many."""
    count = sum(metrics_of(topology, body_of(topology)))
    if count <= METRICS_MAX:
        return None
    return (
        f"{count:,} metrics on the dashboard {topology.fabric}: CloudWatch shows at most {METRICS_MAX:,}, and raises "
        "that for nobody. Everything else works; for a whole dashboard, make two fabrics"
    )


def _box(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "width": width, "height": height}


def _line(series: Series, region: str, stat: str, label: str, **more: Any) -> Line:
    dimensions = [part for pair in series.dimensions for part in pair]
    options = {"stat": stat, "region": region, "label": label, **more}
    return [series.namespace, series.name, *dimensions, options]


@dataclass(frozen=True)
class _Page:
    """The content of the page."""

    topology: Topology

    def rows(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        lanes = [Metric.LANES_BEHIND, Metric.LANES_STALLED, Metric.LANES_UNREACHABLE, Metric.LANES_HOT]
        rung = [Metric.DOORBELLS_RUNG, Metric.DOORBELLS_FAILED]
        if self.topology.subscriptions:
            yield f"All subscriptions ({RUNBOOK})", list(self._of_all())
            yield "Each subscription", list(self._of_each())
        if gated := [
            stream.name
            for stream in self.topology.streams.values()
            if any(own.definition.backpressure is not None for own in stream.subscriptions)
        ]:
            yield "Producers that wait for subscriptions", list(self._of_gates(gated))
        yield (
            "Doorbells",
            [
                self._graph("Rung by the relay, refused", self._of_streams(rung, "Sum")),
                self._graph("Relay behind the stream (ms)", self._relay()),
            ],
        )
        yield (
            "Replication and reconciliation",
            [
                self._graph("Lanes behind, stalled, unreachable, hot", self._of_streams(lanes, "Maximum")),
                self._graph("ReplicationLatency (ms)", self._replication()),
                self._graph(
                    "Findings that need a person", self._summed([Metric.FINDINGS_ALARMED], "Maximum")
                ),
            ],
        )
        yield (
            "Cost",
            [
                self._graph("DynamoDB write units", self._units("ConsumedWriteCapacityUnits")),
                self._graph("DynamoDB read units", self._units("ConsumedReadCapacityUnits")),
            ],
        )

    def _of_all(self) -> Iterator[dict[str, Any]]:
        """Make the graphs of all subscriptions of each Region together."""
        waiting = [Metric.KEYS_FAILING, Metric.KEYS_DEAD, Metric.CIRCUIT_OPEN]
        latency = [
            line for stat in ("p50", "p90", "p99") for line in self._summed([Metric.DELIVERY_LATENCY], stat)
        ]
        yield self._graph("Latency: append to commit (ms)", latency)
        oldest = self._summed([Metric.OLDEST_UNDELIVERED], "Maximum")
        yield self._graph("Oldest undelivered event (s)", oldest)
        yield self._graph("Events handled", self._summed([Metric.EVENTS_HANDLED], "Sum"))
        yield self._graph("Failed attempts", self._summed([Metric.EVENTS_FAILED], "Sum"))
        yield self._graph(
            "Parked keys, open circuits (most of a subscription)", self._summed(waiting, "Maximum")
        )

    def _of_each(self) -> Iterator[dict[str, Any]]:
        """Make the graphs in which each subscription of a Region has a line; a graph holds 500 lines."""
        for region in self.topology.regions:
            yield self._graph(
                f"p99 latency in {region} (ms)", self._search(Metric.DELIVERY_LATENCY, "p99", region)
            )
            oldest = self._search(Metric.OLDEST_UNDELIVERED, "Maximum", region)
            yield self._graph(f"Oldest undelivered event in {region} (s)", oldest)
            definitions = [own.definition for own in self.topology.subscriptions_in(region)]
            if any(definition.slo for definition in definitions):
                used = self._search(Metric.LATENCY_BUDGET_USED, "Maximum", region)
                yield self._graph(f"Latency budget used in {region} (%)", used)
            if any(definition.concurrency == "auto" for definition in definitions):
                limit = self._search(Metric.CONCURRENCY_LIMIT, "Average", region)
                yield self._graph(f"Attempts at the same time, by the functions, in {region}", limit)
            handled = self._search(Metric.EVENTS_HANDLED, "Sum", region)
            yield self._graph(f"Events handled in {region}", handled)
        for region in self.topology.regions:
            yield self._graph(f"Dead-letter queues in {region}", self._dead(region))

    def _of_gates(self, streams: list[str]) -> Iterator[dict[str, Any]]:
        """Make the graphs of streams whose producers are held back."""
        short = self._of_streams([Metric.CREDIT_SHORT], "Maximum", streams)
        yield self._graph("Lanes to which nothing may be appended", short)
        longest = self._summed([Metric.CREDIT_SHORT_SECONDS], "Maximum")
        yield self._graph("Longest wait for a subscription (s)", longest)

    def _graph(self, title: str, lines: Iterable[Line]) -> dict[str, Any]:
        return {
            "title": title,
            "view": "timeSeries",
            "region": self.topology.home,
            "period": _PERIOD_SECONDS,
            "metrics": list(lines),
        }

    def _search(self, metric: Metric, stat: str, region: str) -> list[Line]:
        """Make the line that finds a metric of each subscription of a Region, if it had a value within two weeks."""
        terms = f'MetricName="{metric}" {FABRIC}="{self.topology.fabric}"'
        schema = f"{{{NAMESPACE},{FABRIC},{metric.dimension}}}"
        expression = f"SEARCH('{schema} {terms}', '{stat}', {_PERIOD_SECONDS})"
        label = f"${{PROP('Dim.{metric.dimension}')}}"
        return [[{"expression": expression, "label": label, "region": region}]]

    def _summed(self, metrics: Iterable[Metric], stat: str) -> Iterator[Line]:
        """Make lines for metrics of the fabric as a whole, for each Region."""
        for metric in metrics:
            for region in self.topology.regions:
                series = of_fabric(self.topology.fabric, metric)
                yield _line(series, region, stat, f"{metric} {stat} {region}")

    def _of_streams(
        self, metrics: Iterable[Metric], stat: str, only: Collection[str] | None = None
    ) -> Iterator[Line]:
        """Make lines for metrics of streams, for each stream and each of its Regions. `only`: those of these names."""
        for metric in metrics:
            for stream in self.topology.streams.values():
                if only is not None and stream.name not in only:
                    continue
                for region in stream.definition.regions:
                    series = of_metric(self.topology.fabric, metric, stream.name)
                    yield _line(series, region, stat, f"{metric} {stream.name} {region}")

    def _dead(self, region: str) -> Iterator[Line]:
        subscriptions = self.topology.subscriptions_in(region)
        dead = [own.queue.dead_letter_name for own in subscriptions]
        for name in [self.topology.relay_dead_name, self.topology.timers.dead_letter_name, *dead]:
            series = of_queue(name, "ApproximateNumberOfMessagesVisible")
            yield _line(series, region, "Maximum", name)

    def _relay(self) -> Iterator[Line]:
        for region in self.topology.regions:
            series = of_function(self.topology.relay_function(region), "IteratorAge")
            yield _line(series, region, "Maximum", region)

    def _replication(self) -> Iterator[Line]:
        for table in self.topology.tables:
            for here, there in permutations(table.regions, 2):
                series = of_replication(table.name, there)
                yield _line(series, here, "Average", f"{table.name} {here} to {there}")

    def _units(self, name: str) -> Iterator[Line]:
        for table in self.topology.tables:
            for region in table.regions:
                yield _line(of_table(table.name, name), region, "Sum", f"{table.name} {region}")
