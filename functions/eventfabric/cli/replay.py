"""`eventfabric subscriptions replay`: deliver events of the past again, or to another subscription."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import grouped
from eventfabric.cli.output import complain, say, show_json, show_table, stderr
from eventfabric.errors import EventFabricError, SettingError

if TYPE_CHECKING:
    from eventfabric.model.identity import Lane
    from eventfabric.model.start import Start
    from eventfabric.services.operations.replay import Replay
    from eventfabric.services.operations.replay_plan import LanePlan, LaneReplayed

_READERS = 16
_COLUMNS = ("lane", "from", "until", "events", "parked keys")

Subscription = Annotated[str, typer.Argument(help="Name of the subscription.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="SEQUENCE|TIME",
        help="Where to begin: a sequence, in each lane, or a time of publishing such as 2026-11-01T00:00:00Z.",
    ),
]
Key = Annotated[str | None, typer.Option(help="Only events of this key.")]
Into = Annotated[
    str | None,
    typer.Option(
        help="Deliver to this other subscription of the same stream instead; it then goes on with newer events."
    ),
]
LaneName = Annotated[str | None, typer.Option("--lane", help="Only this lane, such as us-east-1/0.17.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be delivered again; change nothing.")
]


@grouped
def replay(
    subscription: Subscription,
    *,
    start: From = None,
    key: Key = None,
    into: Into = None,
    lane: LaneName = None,
    dry_run: DryRun = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Have a subscription handle events again, by moving its cursors in one Region back. Others are not affected.

    Example: eventfabric subscriptions replay billing --from 2026-11-01T00:00:00Z --dry-run

    Example: eventfabric subscriptions replay billing --from 0 --key customer-17

    Example: eventfabric subscriptions replay billing --from 0 --into billing-audit
    """
    place, of = parsed_start(start), parsed_lane(lane)
    operations = connection.operations()
    one = operations.replay(subscription, into=into)
    with ThreadPoolExecutor(_READERS) as readers:
        plans = one.plan(place, key=key, lane=of, counts=dry_run, each=readers.map)
    unread = [plan for plan in plans if plan.unreadable]
    for plan in unread:
        complain(plan.unreadable)
    plans = [plan for plan in plans if plan.changes_anything]
    done, failed = ([], []) if dry_run else _carried_out(one, plans)
    failed += [str(plan.lane) for plan in unread]
    shown = plans if dry_run else [result.plan for result in done]
    events, unrung = sum(plan.events for plan in shown), sum(not result.rung for result in done)
    if json:
        show_json(
            {
                "subscription": one.target.name,
                "region": operations.region,
                "dry_run": dry_run,
                "events": events,
                "lanes": [_as_json(plan) for plan in shown],
                "failed": failed,
                "not_rung": unrung,
            }
        )
    else:
        show_table(one.target.name, _COLUMNS, [_row(plan) for plan in shown])
        verb = "would be delivered" if dry_run else "will be delivered"
        say(f"{events:,} events of {len(shown):,} lanes {verb} again")
        if unrung:
            say(
                f"{unrung:,} lanes could not be rung: they start with their next event, "
                "or now with `eventfabric lanes --ring`"
            )
        circuit = operations.circuit(one.target.name)
        if circuit.state.value != "closed":
            say(f"{one.target.name} is {circuit.state.value}: the events wait until its deliveries go on")
    if failed:
        raise typer.Exit(1)


def parsed_start(text: str | None) -> "Start | None":
    """Parse the value of --from. Raises SettingError."""
    from eventfabric.model.start import parse_start

    if text is None:
        return None
    place = parse_start(text)
    if place is None:
        raise SettingError("--from", text, "a sequence, or an RFC 3339 time such as 2026-11-01T00:00:00Z")
    return place


def parsed_lane(text: str | None) -> "Lane | None":
    """Parse the value of --lane. Raises SettingError."""
    from eventfabric.model.identity import Lane

    try:
        return None if text is None else Lane.parse(text)
    except ValueError:
        raise SettingError("--lane", text, "<origin>/<generation>.<index>, such as us-east-1/0.17") from None


def _carried_out(one: "Replay", plans: "list[LanePlan]") -> "tuple[list[LaneReplayed], list[str]]":
    """Carry out the plans lane by lane, with progress. Lanes that fail are reported, and the others are done."""
    from rich.progress import track

    done: list[LaneReplayed] = []
    failed: list[str] = []
    for plan in track(plans, "replaying", console=stderr, transient=True, disable=not stderr.is_terminal):
        try:
            done.append(one.carry_out(plan))
        except EventFabricError as error:
            complain(str(error))
            failed.append(str(plan.lane))
    return done, failed


def _row(plan: "LanePlan") -> tuple[object, ...]:
    told = _as_json(plan)
    return tuple(told[name] for name in ("lane", "from", "until", "events", "parked_keys"))


def _as_json(plan: "LanePlan") -> dict[str, Any]:
    """Describe a plan. `parked_keys` counts keys that it parks, and parked keys whose events it delivers again."""
    of_key = [change.after.first.sequence for change in plan.changes if change.after and not change.before]
    return {
        "lane": str(plan.lane),
        "from": min(of_key, default=plan.to.sequence),
        "until": plan.read.sequence if of_key else max(plan.to.replay_until, plan.to.sequence),
        "events": plan.events,
        "parked_keys": len(plan.changes),
    }
