"""`eventfabric subscriptions replay`: deliver events of the past again, or to another subscription."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import OnlyLane, Subscription, grouped
from eventfabric.cli.output import complain, say, show_json, show_table, stderr
from eventfabric.errors import EventFabricError, SettingError

if TYPE_CHECKING:
    from eventfabric.model import Circuit, Lane, Start
    from eventfabric.services.operations.replay import Replay
    from eventfabric.services.operations.replay_plan import LanePlan

_READERS = 16
_COLUMNS = ("lane", "from", "until", "events", "parked keys")

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
Publish = Annotated[
    bool,
    typer.Option(
        "--publish",
        help="Have the handler publish for these events, even if it did so before. Names whom that reaches, and asks.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="With --publish: do not ask for confirmation.")]
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
    lane: OnlyLane = None,
    publish: Publish = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Have a subscription handle events again, by moving its cursors in one Region back. Others are not affected.

    Example: eventfabric subscriptions replay billing --from 2026-11-01T00:00:00Z --dry-run

    Example: eventfabric subscriptions replay billing --from 0 --key customer-17

    Example: eventfabric subscriptions replay billing --from 0 --into billing-audit

    Example: eventfabric subscriptions replay billing --from 0 --publish --dry-run
    """
    begin, only_lane = parsed_start(start), parsed_lane(lane)
    operations = connection.operations()
    replaying = _Replaying(operations.replay(subscription, into=into, publish=publish))
    replaying.plan(begin, key=key, lane=only_lane, counts=dry_run)
    reached = operations.topology.reached_by(replaying.target)
    if not json:
        _say_who_is_reached(reached, publish=publish)
    if not dry_run:
        if publish and not yes:
            _confirm(as_json=json)
        replaying.carry_out()
    if json:
        replayed = {"subscription": replaying.target, "region": operations.region, **replaying.as_json()}
        show_json({**replayed, "publish": publish, "publishes": reached})
    else:
        _show(replaying, circuit=operations.circuit(replaying.target))
    if replaying.failed:
        raise typer.Exit(1)


def _say_who_is_reached(reached: dict[str, list[str]], *, publish: bool) -> None:
    """Name whom what is published again reaches, or say which streams are not published into again."""
    if publish:
        for stream, subscriptions in reached.items():
            readers = ", ".join(subscriptions) or "nobody"
            say(f"events are published into {stream} again, and reach the subscriptions of it: {readers}")
    elif reached:
        say(
            f"{len(reached):,} streams are not published into again ({', '.join(reached)}). Events that were never "
            "handled, such as discarded ones and those that `types` left out before, need --publish"
        )


def _confirm(*, as_json: bool) -> None:
    if as_json:
        raise typer.BadParameter("--json with --publish needs --dry-run or --yes")
    typer.confirm("Replay, and publish again?", abort=True)


class _Replaying:
    """A replay from its plans to what became of them. Lanes that fail are reported as they are met."""

    def __init__(self, replay: "Replay") -> None:
        self._replay = replay
        self.target = replay.target.name
        self.plans: list[LanePlan] = []
        """Plans that change anything and, once they are carried out, those of them that did not fail."""
        self._unreadable: list[LanePlan] = []
        self._not_done: list[LanePlan] = []
        self.not_rung = 0
        self.is_dry_run = True

    def plan(self, start: "Start | None", *, key: str | None, lane: "Lane | None", counts: bool) -> None:
        """Plan each lane."""
        with ThreadPoolExecutor(_READERS) as readers:
            plans = self._replay.plan(start, key=key, lane=lane, counts=counts, map_lanes=readers.map)
        self._unreadable = [plan for plan in plans if plan.unreadable]
        for plan in self._unreadable:
            complain(plan.unreadable)
        self.plans = [plan for plan in plans if plan.changes_anything]

    def carry_out(self) -> None:
        """Carry out the plans lane by lane, with progress. The other lanes are done if some fail."""
        from rich.progress import track

        planned, self.plans, self.is_dry_run = self.plans, [], False
        quiet = not stderr.is_terminal
        for plan in track(planned, "replaying", console=stderr, transient=True, disable=quiet):
            try:
                result = self._replay.carry_out(plan)
            except EventFabricError as error:
                complain(str(error))
                self._not_done.append(plan)
                continue
            self.plans.append(result.plan)
            self.not_rung += not result.rung

    @property
    def failed(self) -> list[str]:
        """Lanes that were not done."""
        return [str(plan.lane) for plan in self._not_done + self._unreadable]

    @property
    def events(self) -> int:
        """Number of events that are delivered again."""
        return sum(plan.events for plan in self.plans)

    def as_json(self) -> dict[str, Any]:
        return {
            "dry_run": self.is_dry_run,
            "events": self.events,
            "lanes": [_as_json(plan) for plan in self.plans],
            "failed": self.failed,
            "not_rung": self.not_rung,
        }


def _show(replaying: _Replaying, *, circuit: "Circuit") -> None:
    """Show the plans, and why their events may have to wait."""
    show_table(replaying.target, _COLUMNS, [_row(plan) for plan in replaying.plans])
    verb = "would be delivered" if replaying.is_dry_run else "will be delivered"
    say(f"{replaying.events:,} events of {len(replaying.plans):,} lanes {verb} again")
    if replaying.not_rung:
        say(
            f"{replaying.not_rung:,} lanes could not be rung: they start with their next event, "
            "or now with `eventfabric lanes --ring`"
        )
    if circuit.state.value != "closed":
        say(f"{replaying.target} is {circuit.state.value}: the events wait until its deliveries go on")


def parsed_start(text: str | None) -> "Start | None":
    """Parse the value of --from. Raises SettingError."""
    from eventfabric.model import parse_start

    if text is None:
        return None
    place = parse_start(text)
    if place is None:
        raise SettingError("--from", text, "a sequence, or an RFC 3339 time such as 2026-11-01T00:00:00Z")
    return place


def parsed_lane(text: str | None) -> "Lane | None":
    """Parse the value of --lane. Raises SettingError."""
    from eventfabric.model import Lane

    try:
        return None if text is None else Lane.parse(text)
    except ValueError:
        raise SettingError("--lane", text, "<origin>/<generation>.<index>, such as us-east-1/0.17") from None


def _row(plan: "LanePlan") -> tuple[object, ...]:
    described = _as_json(plan)
    return tuple(described[name] for name in ("lane", "from", "until", "events", "parked_keys"))


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
