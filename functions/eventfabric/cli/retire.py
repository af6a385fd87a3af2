"""`eventfabric subscriptions retire`: end a subscription in every Region, drained or with what is left given up."""

from typing import TYPE_CHECKING, Annotated

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.exit_codes import NOT_SO
from eventfabric.cli.options import Subscription, grouped
from eventfabric.cli.output import complain, say, show_json, show_table, stderr
from eventfabric.cli.user import user_name

if TYPE_CHECKING:
    from eventfabric.model import Region
    from eventfabric.services.operations.retire import LaneLeft, RegionLeft, Retirement

_COLUMNS = ("region", "state", "lane", "waiting", "retrying", "dead", "waiting behind")

Drain = Annotated[
    bool,
    typer.Option("--drain", help="Wait until what was published before is delivered, and nothing is parked."),
]
Discard = Annotated[bool, typer.Option("--discard", help="Give up what is left.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what is left; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


@grouped
def retire(
    subscription: Subscription,
    *,
    drain: Drain = False,
    discard: Discard = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """End a subscription in every Region. A subscription that takes its name later begins anew.

    Shows first what is left. Within a minute after, nothing is delivered any more. It may be interrupted, and repeated
    until every Region has answered.

    Example: eventfabric subscriptions retire billing --drain
    """
    if not dry_run and drain == discard:
        raise typer.BadParameter("allowed: one of --drain, --discard and --dry-run")
    from eventfabric.services.operations.retire import Retirement

    retirement = Retirement.of(connection.topology, subscription, connection.ports(), by=user_name())
    left = retirement.look()
    if not json:
        show_table(f"left of {subscription}", _COLUMNS, [*_rows(left)])
    _complain(retirement)
    retired: list[Region] = []
    if not dry_run:
        if not yes:
            _confirm(
                subscription, "once it is drained" if drain else f"and give up {_total(left)}", as_json=json
            )
        if drain:
            _drain(retirement)
        retired = retirement.end()
        _complain(retirement)
    _end(retirement, left, retired, as_json=json)


def _confirm(subscription: str, how: str, *, as_json: bool) -> None:
    if as_json:
        raise typer.BadParameter("--json needs --dry-run or --yes")
    typer.confirm(f"Retire {subscription} in every Region, {how}?", abort=True)


def _total(left: "list[RegionLeft]") -> str:
    """Count all events that would be given up; a plus means that more wait than parked keys list."""
    lanes = [lane for look in left for lane in look.lanes]
    more = "+" if any(lane.is_more_behind for lane in lanes) else ""
    return f"{sum(lane.waiting + lane.retrying + lane.dead + lane.behind for lane in lanes):,}{more} events"


def _drain(retirement: "Retirement") -> None:
    """Wait until nothing is left, and show what is."""
    from time import sleep

    waiting = f"waiting until {retirement.name} has delivered what was published"
    with stderr.status(waiting) as status:

        def advance(looks: "list[RegionLeft]") -> None:
            lanes = [lane for look in looks for lane in look.lanes]
            status.update(f"{waiting}: {len(lanes):,} lanes left")

        try:
            retirement.drain(sleep, advance=advance)
        except KeyboardInterrupt:
            complain(f"{retirement.name} is draining, and not retired: the same command goes on with it")
            raise


def _end(
    retirement: "Retirement", left: "list[RegionLeft]", retired: "list[Region]", *, as_json: bool
) -> None:
    """Report where it is retired, and where that is not known."""
    if as_json:
        show_json(
            {
                "subscription": retirement.name,
                "left": [_as_json(look, lane) for look in left for lane in look.lanes if not lane.is_nothing],
                "retired": retired,
                "unanswered": retirement.unanswered,
            }
        )
    elif retired:
        say(f"{retirement.name} is retired in {', '.join(retired)}")
    if retirement.unanswered:
        raise typer.Exit(NOT_SO)


def _complain(retirement: "Retirement") -> None:
    for region, error in retirement.unanswered.items():
        complain(f"{retirement.name} stays as it is in {region}: {error}")


def _rows(left: "list[RegionLeft]") -> "list[tuple[object, ...]]":
    rows: list[tuple[object, ...]] = []
    for look in left:
        state = look.state.value if look.state else "no answer"
        lanes = [lane for lane in look.lanes if not lane.is_nothing]
        for lane in lanes:
            behind = f"{lane.behind:,}+" if lane.is_more_behind else lane.behind
            rows.append((look.region, state, lane.lane, lane.waiting, lane.retrying, lane.dead, behind))
        if not lanes:
            rows.append((look.region, state, "", "" if look.error else 0, "", "", ""))
    return rows


def _as_json(look: "RegionLeft", lane: "LaneLeft") -> dict[str, object]:
    return {
        "region": look.region,
        "lane": str(lane.lane),
        "waiting": lane.waiting,
        "retrying": lane.retrying,
        "dead": lane.dead,
        "waiting_behind": lane.behind,
        "more_waiting": lane.is_more_behind,
    }
