"""The reconcile function: a pass over every stream of its Region, on a schedule or on demand."""

from collections import Counter
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from eventfabric.runtime.wiring import Runtime, current
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.telemetry import LogEvent, Metric


def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Reconcile and repair; `{"full": true}` verifies the whole log again. Return how often each finding was made."""
    runtime = current()
    full = isinstance(event, dict) and event.get("full") is True
    findings: dict[str, Counter[str]] = {}
    for stream in runtime.topology.streams.values():
        if runtime.region in stream.definition.regions:
            findings[stream.name] = _pass(runtime, stream.name, full=full)
            runtime.flush()  # so that an error in the next stream's pass does not hide this one's metrics
    runtime.telemetry.add(Metric.PASSES_COMPLETED)
    runtime.flush()
    return {"findings": {name: dict(counts) for name, counts in findings.items()}}


def _pass(runtime: Runtime, stream: str, *, full: bool) -> Counter[str]:
    reconciler = Reconciler(
        runtime.topology.stream(stream),
        region=runtime.region,
        ports=runtime.ports,
        telemetry=runtime.telemetry,
    )
    counts: Counter[str] = Counter()
    for finding in reconciler.run(repair=True, full=full):
        counts[finding.kind.value] += 1
        runtime.telemetry.tell(
            LogEvent.FINDING,
            kind=finding.kind.value,
            stream=stream,
            lane=str(finding.lane),
            subscription=finding.subscription,
            sequence=finding.sequence,
            detail=finding.detail,
            repaired=finding.is_repaired,
        )
    return counts
