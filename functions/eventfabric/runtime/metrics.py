"""Metrics in CloudWatch's embedded metric format, written to the log once an invocation."""

import json
from collections import defaultdict
from threading import Lock

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics.functions import is_metrics_disabled
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.constants import MAX_METRICS

from eventfabric.copies import when_forked
from eventfabric.runtime.output import Output
from eventfabric.telemetry import NAMESPACE, LogEvent, Metric, Unit

_FABRIC = "fabric"
_VALUES_MAX = MAX_METRICS - 1
"""Most values of one metric in one line. At one more, Powertools prints the line itself to the current `sys.stdout`."""
assert len(Metric) < MAX_METRICS


class EmfTelemetry:
    """telemetry.Telemetry on Powertools. Metrics wait for `flush` (sums; of a duration every value), logs do not."""

    def __init__(
        self, *, fabric: str, subscription: str | None = None, logger: Logger, output: Output | None = None
    ) -> None:
        """`subscription`: the one that the function's metrics are about, unless they say otherwise."""
        self._logger = logger
        # Powertools would add a dimension, named by the environment, but alarms ask for exactly two.
        self._provider = _Provider(output or Output())
        self._fabric = fabric
        self._subscription = subscription
        self._values: defaultdict[tuple[str, str], dict[Metric, list[float]]] = defaultdict(dict)
        self._begin()
        when_forked(self._begin)

    def _begin(self) -> None:
        self._lock = Lock()

    def add(self, metric: Metric, value: float = 1, *, of: str | None = None) -> None:
        """See telemetry.Telemetry."""
        with self._lock:  # attempts of different keys may fail at the same time
            values = self._values_of(metric, of)
            if metric.unit is Unit.MILLISECONDS:
                values.setdefault(metric, []).append(value)
            elif value:
                values[metric] = [sum(values.get(metric, ())) + value]

    def gauge(self, metric: Metric, value: float, *, of: str | None = None) -> None:
        """See telemetry.Telemetry."""
        self._values_of(metric, of)[metric] = [value]

    def _values_of(self, metric: Metric, of: str | None) -> dict[Metric, list[float]]:
        name = of or self._subscription
        assert name is not None, f"nobody said of which {metric.dimension} {metric} is"
        return self._values[metric.dimension, name]

    def tell(self, event: LogEvent, **about: object) -> None:
        """See telemetry.Telemetry."""
        self._logger.warning(event.value, extra=about)

    def flush(self) -> None:
        """Write what was added, one line for each stream and subscription; nothing if nothing was."""
        # What cannot be written is not tried again.
        values_by_name, self._values = self._values, defaultdict(dict)
        for (dimension, name), metrics in values_by_name.items():
            while metrics:
                self._write(
                    dimension, name, {metric: values[:_VALUES_MAX] for metric, values in metrics.items()}
                )
                metrics = {
                    metric: values[_VALUES_MAX:]
                    for metric, values in metrics.items()
                    if len(values) > _VALUES_MAX
                }

    def _write(self, dimension: str, name: str, metrics: dict[Metric, list[float]]) -> None:
        self._provider.add_dimension(name=_FABRIC, value=self._fabric)
        self._provider.add_dimension(name=dimension, value=name)
        for metric, values in metrics.items():
            for value in values:
                self._provider.add_metric(name=metric, unit=metric.unit, value=value)
        self._provider.flush_metrics()
        self._provider.clear_metrics()


class _Provider(AmazonCloudWatchEMFProvider):
    """Powertools' format, written to an output that never fails; Powertools itself prints to `sys.stdout`."""

    def __init__(self, output: Output) -> None:
        super().__init__(namespace=NAMESPACE, service="")
        self._output = output

    def flush_metrics(self, raise_on_empty_metrics: bool = False) -> None:
        """See AmazonCloudWatchEMFProvider."""
        if not is_metrics_disabled():
            self._output.write(json.dumps(self.serialize_metric_set(), separators=(",", ":")))
            self.clear_metrics()
