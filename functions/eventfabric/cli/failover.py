"""`eventfabric failover` and `failback`: who delivers the lanes of a Region."""

from typing import TYPE_CHECKING, Annotated

import typer

from eventfabric.cli.connection import Access, Json
from eventfabric.cli.options import grouped
from eventfabric.cli.output import complain, say, show_json, show_table, stderr

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventfabric.services.operations.failover import Failover, Readiness

_COLUMNS = (
    "subscription",
    "lanes of",
    "epoch",
    "waiting",
    "retrying",
    "dead",
    "not replicated",
    "handled again",
)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Report how ready it is; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Drain = Annotated[
    bool,
    typer.Option(
        "--drain/--no-drain",
        help="Let the source end and replicate first, so that nothing is handled twice; not where it does not answer.",
    ),
]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


@grouped
def failover(
    source: Annotated[str, typer.Option("--from", help="The Region that is to deliver no more.")],
    target: Annotated[str, typer.Option("--to", help="The Region that is to deliver in its place.")],
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    drain: Drain = True,
    reason: Reason = "",
    access: Access,
    json: Json = False,
) -> None:
    """Have another Region deliver what one delivers, and show before how ready it is and what is handled twice.

    Example: eventfabric failover --from us-east-1 --to eu-west-1 --dry-run
    """
    operations = access.to(target).operations()
    _run([operations.failover(source)], dry_run=dry_run, yes=yes, drains=drain, reason=reason, as_json=json)


@grouped
def failback(
    region: Annotated[str, typer.Argument(help="The Region that is to deliver its own lanes again.")],
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    drain: Drain = True,
    reason: Reason = "",
    access: Access,
    json: Json = False,
) -> None:
    """Have a Region deliver again what is its own by the definition, whoever does now.

    Example: eventfabric failback us-east-1
    """
    operations = access.to(region).operations()
    _run(operations.failback(), dry_run=dry_run, yes=yes, drains=drain, reason=reason, as_json=json)


def _run(
    failovers: "list[Failover]", *, dry_run: bool, yes: bool, drains: bool, reason: str, as_json: bool
) -> None:
    ready = [(one, one.readiness()) for one in failovers]
    found = [each for _, some in ready for each in some]
    if not found:
        complain("nothing is to be handed over: the source delivers nothing of what the target could")
        raise typer.Exit(1)
    for each in found:
        for unread in each.unreadable:
            complain(unread)
    if not as_json:
        show_table("what would be handed over", _COLUMNS, [_row(each) for each in found])
    if dry_run:
        if as_json:
            show_json({"dry_run": True, "readiness": [_json(each) for each in found]})
        return
    if not yes:
        if as_json:
            raise typer.BadParameter("--json goes with --dry-run or --yes")
        typer.confirm("Hand over?", abort=True)
    written = []
    for one, some in ready:
        answers = all(each.behind is not None for each in some)
        if drains and answers:
            with stderr.status("waiting for the source to end and to be replicated"):
                one.drain(_sleep())
        written += one.hand_over(reason)
        if drains and answers:
            with stderr.status("waiting for the source to see the handover"):
                one.release(_sleep())
    if as_json:
        handed = [{"origin": o.origin, "owner": o.region, "epoch": o.epoch} for o in written]
        show_json({"dry_run": False, "readiness": [_json(each) for each in found], "handed_over": handed})
    else:
        say(f"{len(written)} handovers written; every lane is rung")


def _sleep() -> "Callable[[float], None]":
    from time import sleep

    return sleep


def _row(ready: "Readiness") -> tuple[object, ...]:
    unknown = "no answer"
    return (
        ready.subscription.name,
        ready.owner.origin,
        ready.owner.epoch,
        ready.waiting,
        ready.retrying,
        ready.dead,
        unknown if ready.behind is None else ready.behind,
        unknown if ready.repeated is None else ready.repeated,
    )


def _json(ready: "Readiness") -> dict[str, object]:
    return {
        "subscription": ready.subscription.name,
        "origin": ready.owner.origin,
        "owner": ready.owner.region,
        "epoch": ready.owner.epoch,
        "unreadable": list(ready.unreadable),
        "waiting": ready.waiting,
        "retrying": ready.retrying,
        "dead": ready.dead,
        "not_replicated": ready.behind,
        "handled_again": ready.repeated,
    }
