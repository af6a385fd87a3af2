"""`eventfabric parked`: list the keys that a subscription has set aside, because an event of theirs failed."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.dead_letters import Filter
from eventfabric.cli.options import Subscription, grouped
from eventfabric.cli.output import left_out, say, show_json, show_table

if TYPE_CHECKING:
    from eventfabric.model import Parked
    from eventfabric.services.operations.parked_keys import ParkedKey

app = typer.Typer(
    no_args_is_help=True, help="Parked keys: an event failed, and later events of its key wait."
)


class StateName(StrEnum):
    """Name of a `ParkedState`, which itself would bring the whole model to every start of the command line."""

    RETRYING = "retrying"
    DEAD = "dead"


State = Annotated[StateName | None, typer.Option(help="Only keys that are being retried, or only dead ones.")]
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

    def is_wanted(parked: "Parked") -> bool:
        return (state is None or parked.state.value == state.value) and filter.wanted.matches(parked, now_ms)

    every = connection.operations().parked(subscription, unreadable=left_out)
    keys = [key for key in every if is_wanted(key.parked)]
    if json:
        show_json([_as_json(key) for key in keys])
        return
    show_table(subscription, _COLUMNS, [_row(key, now_ms) for key in keys])
    say(f"{_summary([key.parked for key in keys])}, in {connection.region}")


def _summary(keys: "list[Parked]") -> str:
    dead = sum(parked.state.value == "dead" for parked in keys)
    more = "+" if any(parked.rest for parked in keys) else ""
    behind = f"{sum(parked.behind for parked in keys):,}{more}"
    return (
        f"{len(keys) - dead:,} keys are being retried, {dead:,} are dead, {behind} events waiting behind them"
    )


def _row(key: "ParkedKey", now_ms: int) -> tuple[object, ...]:
    parked, failure = key.parked, key.parked.failure
    return (
        key.place,
        parked.key,
        parked.state.value,
        failure.event_type,
        failure.error_type.rpartition(":")[2],
        failure.attempts,
        failure.crashes,
        f"{parked.behind:,}+" if parked.rest else parked.behind,
        _time(failure.last_ms),
        _due(key, now_ms),
    )


def _due(key: "ParkedKey", now_ms: int) -> str:
    """Say when the key is retried, and how long that is overdue."""
    if key.parked.state.value == "dead":
        return ""
    if key.parked.attempting:
        return "being attempted now"
    late_seconds = (now_ms - key.parked.due_ms) // 1000
    return _time(key.parked.due_ms) + (f", {late_seconds:,} s ago" if late_seconds > 0 else "")


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")


def _as_json(key: "ParkedKey") -> dict[str, Any]:
    parked, failure = key.parked, key.parked.failure
    is_dead = parked.state.value == "dead"
    return {
        "place": key.place,
        "lane": str(key.lane),
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
