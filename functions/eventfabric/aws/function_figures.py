"""Figures that CloudWatch has of a function of the fabric, for whoever asks why it does not deliver faster."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from eventfabric.aws.clients import CONFIG, named_failures
from eventfabric.model.function_figures import FunctionFigures
from eventfabric.telemetry import FABRIC, NAMESPACE, Metric

if TYPE_CHECKING:
    from boto3 import Session

MINUTES: Final = 5
"""Minutes over which it is asked; the newest minute may be missing."""


def figures_of(
    session: "Session", region: str, *, fabric: str, function: str, subscription: str
) -> FunctionFigures:
    """Return the figures of a subscription's function. PortError: they are not known."""
    client = session.client("cloudwatch", region_name=region, config=CONFIG)
    of_function = [{"Name": "FunctionName", "Value": function}]
    of_subscription = [
        {"Name": FABRIC, "Value": fabric},
        {"Name": Metric.CONCURRENCY_LIMIT.dimension.value, "Value": subscription},
    ]
    queries = [
        _query("invocations", "AWS/Lambda", "ConcurrentExecutions", of_function, "Maximum"),
        _query("throttles", "AWS/Lambda", "Throttles", of_function, "Sum"),
        _query("limit", NAMESPACE, Metric.CONCURRENCY_LIMIT.value, of_subscription, "Average"),
    ]
    now = datetime.now(UTC)
    with named_failures("GetMetricData"):
        answer: Any = client.get_metric_data(
            MetricDataQueries=queries, StartTime=now - timedelta(minutes=MINUTES), EndTime=now
        )
    values = {result["Id"]: result["Values"] for result in answer["MetricDataResults"]}
    limits, throttles = values.get("limit", []), values.get("throttles", [])
    return FunctionFigures(
        invocations=max(values.get("invocations", []), default=None),
        throttles=sum(throttles) if throttles else None,
        limit=limits[0] if limits else None,  # newest first
    )


def _query(id_: str, namespace: str, name: str, dimensions: list[dict[str, str]], stat: str) -> Any:
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": dimensions}
    return {"Id": id_, "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}, "ReturnData": True}
