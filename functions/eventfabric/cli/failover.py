"""`eventfabric failover` and `failback`: change which Region delivers the lanes of another."""

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

DryRun = Annotated[bool, typer.Option("--dry-run", help="Report how ready the handover is; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
Drain = Annotated[
    bool,
    typer.Option(
        "--drain/--no-drain",
        help="First let the source finish and replicate, so that no event is handled twice. "
        "Skipped if the source does not answer.",
    ),
]
Reason = Annotated[str, typer.Option(help="Reason, kept on record.")]


@grouped
def failover(
    source: Annotated[str, typer.Option("--from", help="Region that must stop delivering.")],
    target: Annotated[str, typer.Option("--to", help="Region that delivers instead.")],
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    drain: Drain = True,
    reason: Reason = "",
    access: Access,
    json: Json = False,
) -> None:
    """Have one Region deliver everything that another one delivers now.

    Shows first, for each subscription, what waits, what is not replicated yet, and what would be handled twice; then
    asks for confirmation.

    Example: eventfabric failover --from us-east-1 --to eu-west-1 --dry-run
    """
    operations = access.to(target).operations()
    _run([operations.failover(source)], dry_run=dry_run, yes=yes, drains=drain, reason=reason, as_json=json)


@grouped
def failback(
    region: Annotated[str, typer.Argument(help="Region that delivers its own lanes again.")],
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    drain: Drain = True,
    reason: Reason = "",
    access: Access,
    json: Json = False,
) -> None:
    """Have a Region deliver everything that the definition assigns to it, whichever Region delivers it now.

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
        complain("nothing to hand over: the source delivers no lanes that the target could deliver")
        raise typer.Exit(1)
    for each in found:
        for unread in each.unreadable:
            complain(unread)
    if not as_json:
        show_table("to be handed over", _COLUMNS, [_row(each) for each in found])
    if dry_run:
        if as_json:
            show_json({"dry_run": True, "readiness": [_json(each) for each in found]})
        return
    if not yes:
        if as_json:
            raise typer.BadParameter("--json needs --dry-run or --yes")
        typer.confirm("Hand these lanes over?", abort=True)
    written = []
    for one, some in ready:
        answers = all(each.behind is not None for each in some)
        if drains and answers:
            with stderr.status("waiting until the source has finished and everything is replicated"):
                one.drain(_sleep())
        written += one.hand_over(reason)
        if drains and answers:
            with stderr.status("waiting until the source sees the handover"):
                one.release(_sleep())
    if as_json:
        handed = [{"origin": o.origin, "owner": o.region, "epoch": o.epoch} for o in written]
        show_json({"dry_run": False, "readiness": [_json(each) for each in found], "handed_over": handed})
    else:
        say(f"{len(written)} handovers written; every lane was rung")


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
