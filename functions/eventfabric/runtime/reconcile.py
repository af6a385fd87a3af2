"""The reconcile function: a pass over every stream of its Region, on a schedule or on demand."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from eventfabric import limits
from eventfabric.errors import UndecodableRecordError
from eventfabric.model.finding import Finding
from eventfabric.runtime.wiring import Runtime, current
from eventfabric.services.reconciliation import pass_bounds
from eventfabric.services.reconciliation.noted_pass import NotedPass
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.stream_topology import StreamTopology
from eventfabric.telemetry import LogEvent, Metric


def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Reconcile and repair; `{"full": true}` verifies the whole log again. Return how often each finding was made.

    What the time does not suffice for is left to the next invocation, and named under `left`, by stream. If the pass
    of a stream fails, its error is raised after the others.
    """
    runtime = current()
    full = isinstance(event, dict) and event.get("full") is True
    now_ms = runtime.ports.clock.now_ms()
    until_ms = now_ms + context.get_remaining_time_in_millis() - 1000 * pass_bounds.PASS_MARGIN_SECONDS
    answer: dict[str, Any] = {"findings": {}}
    come_round, failures = 0, list[Exception]()
    for stream in _in_turn(runtime, now_ms):
        if (answer["findings"] or failures) and runtime.ports.clock.now_ms() >= until_ms:
            break
        noted: NotedPass | None = None
        try:
            noted = _noted(runtime, stream, until_ms=until_ms)
            answer["findings"][stream.name] = dict(_logged(runtime, stream.name, noted.run(full=full)))
        except Exception as error:  # whatever is wrong with one stream, the others have their pass
            runtime.logger.exception("a pass failed", extra={"stream": stream.name})
            failures.append(error)
        if noted is not None and noted.left:
            answer.setdefault("left", {})[stream.name] = noted.left
            about = {"stream": stream.name, "part": noted.left}
            runtime.logger.info("a pass goes on in the next invocation", extra=about)
        come_round += noted is not None and noted.comes_round
        runtime.flush()  # of each by itself, for the case that the function is ended in the next one's pass
    if come_round == len(runtime.topology.streams_in(runtime.region)):
        runtime.telemetry.add(Metric.PASSES_COMPLETED)
        runtime.flush()
    if failures:
        raise failures[0]
    return answer


def _in_turn(runtime: Runtime, now_ms: int) -> list[StreamTopology]:
    """List the streams of the Region. Another one comes first each time, so that none always finds the time used up."""
    streams = runtime.topology.streams_in(runtime.region)
    first = now_ms // (1000 * limits.UNRUNG_SECONDS) % max(1, len(streams))
    return streams[first:] + streams[:first]


def _noted(runtime: Runtime, stream: StreamTopology, *, until_ms: int) -> NotedPass:
    """Return the pass over a stream, with the subscriptions that are declared here. Errors as DeclaredHere.of.

    If nothing that was declared can be read, the pass goes by the definition, and says so.
    """
    declared = unread = None
    if runtime.declared is not None:
        with suppress(UndecodableRecordError):
            stream = replace(stream, subscriptions=tuple(runtime.declared.rung(stream)))
            declared = runtime.declared.of(stream)
            stream = replace(stream, former=declared.stream.former_regions if declared is not None else ())
        unread = runtime.declared.unreadable(stream)
    reconciler = Reconciler(
        stream,
        region=runtime.region,
        ports=runtime.ports,
        telemetry=runtime.telemetry,
        side_by_side=runtime.side_by_side_of(pass_bounds.PASS_THREADS),
        beside=partial(runtime.abandoned.findings, stream, declared, unread),
    )
    ledger, clock = runtime.ports.ledger, runtime.ports.clock
    return NotedPass(stream, reconciler, ledger=ledger, clock=clock, until_ms=until_ms)


def _logged(runtime: Runtime, stream: str, findings: Iterable[Finding]) -> Counter[str]:
    """Write each finding into the log. Return how many there are of each kind."""
    counts: Counter[str] = Counter()
    for finding in findings:
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
