"""Metrics as CloudWatch keeps them: those of the fabric, which `telemetry` lists, and those of AWS itself."""

from dataclasses import dataclass

from eventfabric.resources import FunctionTopology
from eventfabric.telemetry import FABRIC, NAMESPACE, Dimension, Metric


@dataclass(frozen=True, slots=True)
class Series:
    """One metric as CloudWatch keeps it in a Region."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


def of_metric(fabric: str, metric: Metric, of: str) -> Series:
    """One of the fabric's own metrics, for the stream or subscription named `of`."""
    return Series(NAMESPACE, metric, ((FABRIC, fabric), (metric.dimension, of)))


def of_fabric(fabric: str, metric: Metric) -> Series:
    """One of the fabric's own metrics, for all streams or subscriptions together."""
    assert metric.is_summed or metric.dimension is Dimension.NONE, f"nothing reports {metric} as a whole"
    return Series(NAMESPACE, metric, ((FABRIC, fabric),))


def of_function(function: FunctionTopology, name: str) -> Series:
    """A metric that Lambda keeps of a function."""
    return Series("AWS/Lambda", name, (("FunctionName", function.name),))


def of_queue(queue: str, name: str) -> Series:
    """A metric that SQS keeps of a queue."""
    return Series("AWS/SQS", name, (("QueueName", queue),))


def of_table(table: str, name: str) -> Series:
    """A metric that DynamoDB keeps of a table."""
    return Series("AWS/DynamoDB", name, (("TableName", table),))


def of_replication(table: str, to: str) -> Series:
    """The time that changes of a table take to another Region."""
    return Series("AWS/DynamoDB", "ReplicationLatency", (("TableName", table), ("ReceivingRegion", to)))
