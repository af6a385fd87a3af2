"""Metrics in CloudWatch's embedded metric format, written to the log once an invocation.

A line is about one stream or one subscription. CloudWatch reads from its directives which of its fields are metrics,
and with which dimensions; the other fields are only logged.
"""

import json
import time
from collections import defaultdict
from threading import Lock
from typing import Any, Final

from aws_lambda_powertools import Logger

from eventfabric.copies import when_forked
from eventfabric.runtime.output import Output
from eventfabric.telemetry import FABRIC, NAMESPACE, Dimension, LogEvent, Metric, Unit

_VALUES_MAX: Final = 100
"""Most values of a metric in a line, and most metrics in a directive."""
assert len(Metric) <= _VALUES_MAX


class EmfTelemetry:
    """telemetry.Telemetry as lines of a log. Metrics wait for `flush` (sums; of a duration every value), logs do not.

    Nothing is written of a gauge that is 0: CloudWatch charges for each hour in which a metric has a value.
    """

    def __init__(
        self, *, fabric: str, subscription: str | None = None, logger: Logger, output: Output | None = None
    ) -> None:
        """`subscription`: the one that the function's metrics are about, unless they say otherwise."""
        self._logger = logger
        self._output = output or Output()
        self._fabric = fabric
        self._subscription = subscription
        self._values: defaultdict[tuple[Dimension, str], dict[Metric, list[float]]] = defaultdict(dict)
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
        if value:
            self._values_of(metric, of)[metric] = [value]

    def _values_of(self, metric: Metric, of: str | None) -> dict[Metric, list[float]]:
        if metric.dimension is Dimension.NONE:
            return self._values[Dimension.NONE, ""]
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
                part = {metric: values[:_VALUES_MAX] for metric, values in metrics.items()}
                line = self._line(dimension, name, part)
                self._output.write(json.dumps(line, separators=(",", ":")))
                metrics = {
                    metric: values[_VALUES_MAX:]
                    for metric, values in metrics.items()
                    if len(values) > _VALUES_MAX
                }

    def _line(self, dimension: Dimension, name: str, metrics: dict[Metric, list[float]]) -> dict[str, Any]:
        kept = [metric for metric in metrics if not metric.is_only_logged]
        own = [FABRIC] if dimension is Dimension.NONE else [FABRIC, dimension.value]
        directives = [
            _directive(own, kept),
            _directive([FABRIC], [metric for metric in kept if metric.is_summed]),
        ]
        about = {
            "Timestamp": time.time_ns() // 1_000_000,
            "CloudWatchMetrics": [directive for directive in directives if directive["Metrics"]],
        }
        return {
            **({"_aws": about} if about["CloudWatchMetrics"] else {}),
            FABRIC: self._fabric,
            **({} if dimension is Dimension.NONE else {dimension.value: name}),
            **{metric.value: values for metric, values in metrics.items()},
        }


def _directive(dimensions: list[str], metrics: list[Metric]) -> dict[str, Any]:
    return {
        "Namespace": NAMESPACE,
        "Dimensions": [dimensions],
        "Metrics": [{"Name": metric.value, "Unit": metric.unit.value} for metric in metrics],
    }
