"""The dashboard of a fabric: one page for all Regions, from the latency of deliveries down to their cost."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from aws_cdk import Annotations
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from eventfabric.deployment.alarms import RUNBOOK, Series, of_function, of_metric, of_queue
from eventfabric.resources import TableTopology
from eventfabric.telemetry import Metric
from eventfabric.topology import SubscriptionTopology, Topology

METRICS_MAX = 2_500
_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 6
_SQS_REQUESTS = (
    "NumberOfMessagesSent",
    "NumberOfMessagesReceived",
    "NumberOfEmptyReceives",
    "NumberOfMessagesDeleted",
)
Line = list[Any]


class FabricDashboard(Construct):
    """The dashboard of a fabric, which has the fabric's name."""

    def __init__(self, scope: Construct, id: str, topology: Topology) -> None:
        super().__init__(scope, id)
        body = body_of(topology)
        cloudwatch.CfnDashboard(
            self,
            "Dashboard",
            dashboard_name=topology.fabric,
            dashboard_body=json.dumps(body, separators=(",", ":")),
        )
        metrics = sum(len(widget["properties"].get("metrics", ())) for widget in body["widgets"])
        if metrics > METRICS_MAX:
            warning = f"the dashboard has {metrics} metrics, but CloudWatch allows at most {METRICS_MAX:,}"
            Annotations.of(self).add_warning_v2("eventfabric:dashboard", warning)


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
        handled = [Metric.EVENTS_HANDLED]
        failed = [Metric.EVENTS_FAILED, Metric.EVENTS_CRASHED]
        waiting = [Metric.KEYS_RETRYING, Metric.KEYS_DEAD, Metric.CIRCUIT_OPEN]
        rung = [Metric.DOORBELLS_RUNG, Metric.DOORBELLS_FAILED]
        lanes = [Metric.LANES_BEHIND, Metric.LANES_STALLED, Metric.LANES_UNREACHABLE]
        latency = [self._latency(subscription) for subscription in self.topology.subscriptions.values()]
        if latency:
            yield "Latency: append to commit", latency
            oldest = self._own([Metric.OLDEST_UNDELIVERED], "Maximum")
            yield (
                f"Lag and failures ({RUNBOOK})",
                [
                    self._graph("Oldest undelivered event (s)", oldest),
                    self._graph("Events handled", self._own(handled, "Sum")),
                    self._graph("Failed attempts", self._own(failed, "Sum")),
                    self._graph("Parked keys, open circuits", self._own(waiting, "Maximum")),
                    self._graph("Dead-letter queues", self._dead()),
                ],
            )
        duplicate = self._own([Metric.DOORBELLS_DUPLICATE], "Sum")
        yield (
            "Doorbells",
            [
                self._graph("Rung by the relay", self._own(rung, "Sum")),
                self._graph("Already delivered (duplicates)", duplicate),
                self._graph("Relay behind the stream (ms)", self._relay()),
            ],
        )
        yield (
            "Replication and reconciliation",
            [
                self._graph("Lanes behind, stalled, unreachable", self._own(lanes, "Maximum")),
                self._graph("ReplicationLatency (ms)", self._replication()),
                self._graph("Findings that need a person", self._own([Metric.FINDINGS_ALARMED], "Maximum")),
            ],
        )
        yield (
            "Cost",
            [
                self._graph("DynamoDB write units", self._units("ConsumedWriteCapacityUnits")),
                self._graph("DynamoDB read units", self._units("ConsumedReadCapacityUnits")),
                *(self._requests(region) for region in self.topology.regions),
                self._graph("Lambda GB-seconds", self._sums(self._functions())),
            ],
        )

    def _graph(self, title: str, lines: Iterable[Line]) -> dict[str, Any]:
        return {
            "title": title,
            "view": "timeSeries",
            "region": self.topology.home,
            "period": 300,
            "metrics": list(lines),
        }

    def _latency(self, subscription: SubscriptionTopology) -> dict[str, Any]:
        series = of_metric(subscription.fabric, Metric.DELIVERY_LATENCY, subscription.name)
        lines = [
            _line(series, region, stat, f"{stat} {region}")
            for region in subscription.regions
            for stat in ("p50", "p90", "p99")
        ]
        return self._graph(f"{subscription.name} (ms)", lines)

    def _own(self, metrics: Iterable[Metric], stat: str) -> Iterator[Line]:
        """Make lines for the fabric's own metrics, for each stream or subscription and each of its Regions."""
        streams = [(stream.name, stream.definition.regions) for stream in self.topology.streams.values()]
        subscriptions = [
            (subscription.name, subscription.regions) for subscription in self.topology.subscriptions.values()
        ]
        for metric in metrics:
            for name, regions in streams if metric.dimension == "stream" else subscriptions:
                for region in regions:
                    series = of_metric(self.topology.fabric, metric, name)
                    yield _line(series, region, stat, f"{metric} {name} {region}")

    def _dead(self) -> Iterator[Line]:
        for region in self.topology.regions:
            subscriptions = self.topology.subscriptions_in(region)
            queues = [
                queue for subscription in subscriptions for queue in (subscription.queue, subscription.timers)
            ]
            for name in [self.topology.relay_dead_name, *(queue.dead_letter_name for queue in queues)]:
                series = of_queue(name, "ApproximateNumberOfMessagesVisible")
                yield _line(series, region, "Maximum", f"{name} {region}")

    def _relay(self) -> Iterator[Line]:
        for region in self.topology.regions:
            series = of_function(self.topology.relay_function(region), "IteratorAge")
            yield _line(series, region, "Maximum", region)

    def _replication(self) -> Iterator[Line]:
        for table in self.topology.tables:
            for here in table.regions:
                for there in table.regions:
                    if here != there:
                        dimensions = (("TableName", table.name), ("ReceivingRegion", there))
                        series = Series("AWS/DynamoDB", "ReplicationLatency", dimensions)
                        yield _line(series, here, "Average", f"{table.name} {here} to {there}")

    def _units(self, name: str) -> Iterator[Line]:
        def of(table: TableTopology) -> Series:
            return Series("AWS/DynamoDB", name, (("TableName", table.name),))

        for table in self.topology.tables:
            for region in table.regions:
                yield _line(of(table), region, "Sum", f"{table.name} {region}")

    def _requests(self, region: str) -> dict[str, Any]:
        """Make the graph of a Region. Each Region has its own, because a graph can have at most 500 metrics."""
        return self._graph(f"SQS requests in {region} (approximate)", self._sums(self._queues(region)))

    def _queues(self, region: str) -> Iterator[tuple[str, str, list[Series], str]]:
        for subscription in self.topology.subscriptions_in(region):
            for queue in (subscription.queue.name, subscription.timers.name):
                series = [of_queue(queue, name) for name in _SQS_REQUESTS]
                yield queue, region, series, "+".join("{}" for _ in series)

    def _functions(self) -> Iterator[tuple[str, str, list[Series], str]]:
        for region in self.topology.regions:
            for function in self.topology.functions(region):
                gigabytes = function.memory_megabytes / 1024
                series = [of_function(function, "Duration")]
                yield f"{function.name} {region}", region, series, f"{{}}*{gigabytes:g}/1000"

    def _sums(self, parts: Iterable[tuple[str, str, list[Series], str]]) -> Iterator[Line]:
        """Make lines that are computed from hidden ones.

        Each part is a label, a Region, the hidden series, and a formula into which their ids are filled in.
        """
        count = 0
        name: Callable[[int], str] = "m{}".format
        for label, region, series, formula in parts:
            ids = [name(count + number) for number in range(len(series))]
            count += len(series)
            for source, id_ in zip(series, ids, strict=True):
                yield _line(source, region, "Sum", label, id=id_, visible=False)
            yield [{"expression": formula.format(*ids), "label": label, "region": region}]
