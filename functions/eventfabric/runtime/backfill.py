"""The backfill function of a Region that is copied into: takes one step of a state machine, returns what to do next."""

from typing import Annotated, Any

import msgspec
from aws_lambda_powertools.utilities.typing import LambdaContext
from msgspec import Meta

from eventfabric import limits
from eventfabric.errors import BackfillError, Problem
from eventfabric.model import SequenceNumber, parse_log_lane
from eventfabric.runtime.wiring import current
from eventfabric.services.backfill.copy_slice import Ending
from eventfabric.services.backfill.lifecycle import Backfiller
from eventfabric.services.backfill.request import BackfillRequest, ranges_of
from eventfabric.services.catalogue.formats import format_checked


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    """A backfill to go on with, or the request of a new one."""

    backfill: str | None = None
    stream: str = ""
    source: str = ""
    lanes: list[str] = []
    rate: float | None = None
    workers: int = limits.BACKFILL_WORKERS
    slice_events: int | None = None


class _Begin(msgspec.Struct, tag_field="action", tag="begin"):
    name: str
    asked: _Asked


class _Plan(msgspec.Struct, tag_field="action", tag="plan"):
    backfill: str
    more: str | None = None


class _Copy(msgspec.Struct, tag_field="action", tag="copy"):
    backfill: str
    lane: str
    start: Annotated[int, Meta(ge=0, le=limits.SEQUENCE_MAX)]


class _Finish(msgspec.Struct, tag_field="action", tag="finish"):
    backfill: str


def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Begin, plan, copy or finish, as eventfabric.deployment.state_machine asks; BackfillError for any other request.

    A repeated request does no harm. A copy ends in time, and says if it must be requested again.
    """
    runtime = current()
    ports = runtime.ports if runtime.declared is None else format_checked(runtime.ports)
    backfiller = Backfiller(runtime.topology, ports)
    margin_ms = limits.TIME_MARGIN_SECONDS * 1000
    deadline_ms = int(runtime.ports.clock.now_ms() + context.get_remaining_time_in_millis() - margin_ms)
    try:
        step = _step_of(event)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BackfillError(
            [Problem("event", str(error), "see eventfabric.deployment.state_machine")]
        ) from error
    match step:
        case _Begin():
            return _begin(backfiller, step)
        case _Plan():
            return _plan(backfiller, step, deadline_ms)
        case _Copy():
            return _copy(backfiller, step, deadline_ms)
        case _:
            return _finish(backfiller, step)


def _step_of(event: dict[str, Any]) -> _Begin | _Plan | _Copy | _Finish:
    kinds: Any = _Begin | _Plan | _Copy | _Finish
    step: _Begin | _Plan | _Copy | _Finish = msgspec.convert(event, kinds)
    return step


def _begin(backfiller: Backfiller, step: _Begin) -> dict[str, Any]:
    asked = step.asked
    if asked.backfill is not None:
        backfill = backfiller.resume(asked.backfill)
    else:
        wanted = BackfillRequest(
            asked.stream, asked.source, ranges_of(asked.lanes), asked.rate, asked.workers, asked.slice_events
        )
        backfill = backfiller.begin(wanted, by=f"execution {step.name}", id=step.name)
    return {"backfill": backfill.id, "workers": backfill.workers, "more": None}


def _plan(backfiller: Backfiller, step: _Plan, deadline_ms: int) -> dict[str, Any]:
    handed = backfiller.hand_out(step.backfill, step.more, deadline_ms=deadline_ms)
    slices = [
        {"lane": str(progress.slice.lane), "start": progress.slice.start.sequence}
        for progress in handed.slices
    ]
    workers = backfiller.find(step.backfill).workers
    return {"backfill": step.backfill, "workers": workers, "more": handed.more, "slices": slices}


def _copy(backfiller: Backfiller, step: _Copy, deadline_ms: int) -> dict[str, Any]:
    try:
        lane = parse_log_lane(step.lane)
    except ValueError as error:
        raise BackfillError(
            [Problem("event.lane", repr(step.lane)[:80], "<origin>/<generation>.<index>")]
        ) from error
    progress = backfiller.slice(step.backfill, lane, SequenceNumber(step.start))
    copied = backfiller.copier(step.backfill).copy(progress, deadline_ms=deadline_ms)
    # Cancelled or failed, there is nothing more to do in this run; the slice itself says which of the two.
    return {"done": copied.ending is not Ending.STOPPED, "ending": copied.ending.value}


def _finish(backfiller: Backfiller, step: _Finish) -> dict[str, Any]:
    report = backfiller.finish(step.backfill)
    total = report.total
    return {
        "backfill": step.backfill,
        "state": report.backfill.state.value,
        "slices": total.slices,
        "slices_done": total.slices_done,
        "copied_events": total.copied_events,
    }
