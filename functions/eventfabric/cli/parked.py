"""`eventfabric parked`: list the keys that a subscription has set aside, because an event of theirs failed."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.dead_letters import Filter
from eventfabric.cli.options import grouped
from eventfabric.cli.output import left_out, say, show_json, show_table
from eventfabric.model.parked import ParkedState

if TYPE_CHECKING:
    from eventfabric.services.operations.parked_keys import ParkedKey

app = typer.Typer(
    no_args_is_help=True, help="Parked keys: an event failed, and later events of its key wait."
)

Subscription = Annotated[str, typer.Argument(help="Name of the subscription.")]
State = Annotated[
    ParkedState | None, typer.Option(help="Only keys that are being retried, or only dead ones.")
]
_COLUMNS = ("event", "key", "state", "type", "error", "attempts", "crashes", "waiting behind", "last", "due")


@app.callback()
def parked() -> None:
    """Parked keys: an event failed, and later events of its key wait."""


@app.command("list")
@grouped
def list_(
    subscription: Subscription,
    *,
    state: State = None,
    filter: Filter,
    connection: Connection,
    json: Json = False,
) -> None:
    """List parked keys, lane by lane: the place of the event that failed, why it failed, and when it is retried.

    Reads only the state of each lane, not the log.

    Example: eventfabric parked list billing --state retrying

    Example: eventfabric parked list billing --error TimeoutError --json
    """
    now_ms = connection.ports().clock.now_ms()
    found = [
        one
        for one in connection.operations().parked(subscription, unreadable=left_out)
        if state in (None, one.parked.state) and filter.wanted.matches(one.parked, now_ms)
    ]
    if json:
        show_json([_as_json(one) for one in found])
        return
    show_table(subscription, _COLUMNS, [_row(one, now_ms) for one in found])
    dead = sum(one.parked.state is ParkedState.DEAD for one in found)
    more = any(one.parked.rest for one in found)
    behind = f"{sum(one.parked.behind for one in found):,}{'+' if more else ''}"
    say(
        f"{len(found) - dead:,} keys are being retried, {dead:,} are dead, {behind} events waiting behind them, "
        f"in {connection.region}"
    )


def _row(one: "ParkedKey", now_ms: int) -> tuple[object, ...]:
    parked, failure = one.parked, one.parked.failure
    return (
        one.place,
        parked.key,
        parked.state.value,
        failure.event_type,
        failure.error_type.rpartition(":")[2],
        failure.attempts,
        failure.crashes,
        f"{parked.behind:,}+" if parked.rest else parked.behind,
        _time(failure.last_ms),
        _due(one, now_ms),
    )


def _due(one: "ParkedKey", now_ms: int) -> str:
    """Say when the key is retried, and how long that is overdue."""
    if one.parked.state is ParkedState.DEAD:
        return ""
    if one.parked.attempting:
        return "being attempted now"
    late_seconds = (now_ms - one.parked.due_ms) // 1000
    return _time(one.parked.due_ms) + (f", {late_seconds:,} s ago" if late_seconds > 0 else "")


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")


def _as_json(one: "ParkedKey") -> dict[str, Any]:
    parked, failure = one.parked, one.parked.failure
    is_dead = parked.state is ParkedState.DEAD
    return {
        "place": one.place,
        "lane": str(one.lane),
        "sequence": parked.first.sequence,
        "key": parked.key,
        "state": parked.state.value,
        "due_ms": None if is_dead else parked.due_ms,
        "attempting": parked.attempting,
        "waiting_behind": parked.behind,
        "more_waiting": parked.rest is not None,
        "edited": parked.replacement is not None,
        "event": failure.event_id,
        "type": failure.event_type,
        "error_type": failure.error_type,
        "message": failure.message,
        "attempts": failure.attempts,
        "crashes": failure.crashes,
        "first_ms": failure.first_ms,
        "last_ms": failure.last_ms,
    }
