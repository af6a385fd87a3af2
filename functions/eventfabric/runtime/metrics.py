"""Metrics as CloudWatch's embedded metric format, written to the log once an invocation."""

from collections import defaultdict

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from eventfabric.telemetry import LogEvent, Metric

_NAMESPACE = "eventfabric"


class EmfTelemetry:
    """telemetry.Telemetry on Powertools: metrics wait for `flush` (sums; of a duration every value), logs do not."""

    def __init__(self, *, fabric: str, service: str, logger: Logger) -> None:
        self._logger = logger
        self._provider = AmazonCloudWatchEMFProvider(namespace=_NAMESPACE, service=service)
        self._fabric = fabric
        self._sums: defaultdict[Metric, float] = defaultdict(float)
        self._milliseconds: list[float] = []

    def add(self, metric: Metric, value: float = 1) -> None:
        """See telemetry.Telemetry."""
        if metric is Metric.DELIVERY_LATENCY:
            self._milliseconds.append(value)
        elif value:
            self._sums[metric] += value

    def tell(self, event: LogEvent, **about: object) -> None:
        """See telemetry.Telemetry."""
        self._logger.warning(event.value, extra=about)

    def flush(self) -> None:
        """Write what was added; nothing where nothing was."""
        if not self._sums and not self._milliseconds:
            return
        self._provider.add_dimension(name="fabric", value=self._fabric)
        for metric, total in self._sums.items():
            self._provider.add_metric(name=metric, unit=MetricUnit.Count, value=total)
        for value in self._milliseconds:
            self._provider.add_metric(name=Metric.DELIVERY_LATENCY, unit=MetricUnit.Milliseconds, value=value)
        self._provider.flush_metrics()
        self._sums.clear()
        self._milliseconds.clear()
