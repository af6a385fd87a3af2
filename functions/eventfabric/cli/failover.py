"""`eventfabric failover` and `failback`: change which Region delivers the lanes of another."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from eventfabric.cli.connection import Access, Json
from eventfabric.cli.exit_codes import NOT_SO
from eventfabric.cli.options import Reason, grouped
from eventfabric.cli.output import complain, say, show_json, show_table, stderr
from eventfabric.errors import EventFabricError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.status import Status

    from eventfabric.model import Owner
    from eventfabric.services.operations.failover import Failover
from eventfabric.services.operations.readiness import Readiness

_COLUMNS = (
    "subscription",
    "lanes of",
    "epoch",
    "waiting",
    "retrying",
    "dead",
    "not replicated",
    "handled again",
    "published, not replicated",
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


@dataclass(frozen=True)
class _Handover:
    """A failover from one source, and how ready the target is for each subscription and origin in it."""

    failover: "Failover"
    readiness: "list[Readiness]"

    def carry_out(self, reason: str, *, drains: bool) -> None:
        """Hand the lanes over. `drains`: wait before that and after it for the source, if it answers."""
        if not drains or not self._source_answers:
            self.failover.hand_over(reason)
            return
        waiting = "waiting until the source has finished and everything is replicated"
        with stderr.status(waiting) as status:
            self.failover.drain(_sleep(), advance=_shown(status, waiting, "lanes"))
        self.failover.hand_over(reason)
        with stderr.status("waiting until the source sees the handover"):
            self.failover.release(_sleep())

    def warnings(self) -> "Iterator[str]":
        """Yield why lanes of a subscription would stop in the target, though nothing else is wrong."""
        for ready in self.readiness:
            for stream in self.failover.closed_to(ready.subscription):
                yield (
                    f"{ready.subscription.name} publishes into {stream}, for which the target is closing: its "
                    "lanes stop there until a deployment without that in `[fabric] closing`"
                )

    @property
    def _source_answers(self) -> bool:
        return all(ready.behind is not None for ready in self.readiness)


def _run(
    failovers: "list[Failover]", *, dry_run: bool, yes: bool, drains: bool, reason: str, as_json: bool
) -> None:
    """Report how ready the handovers are; unless `dry_run`, ask for confirmation, carry them out and report that."""
    reading = "reading how ready the target is"
    with stderr.status(reading) as status:
        advance = _shown(status, reading, "subscriptions and origins")
        handovers = [_Handover(failover, failover.readiness(advance)) for failover in failovers]
    readiness = [ready for handover in handovers for ready in handover.readiness]
    _complain(handovers)
    _show_readiness(readiness, as_json=as_json)
    if dry_run:
        if as_json:
            show_json(_as_json(readiness))
        return
    if not yes:
        _confirm(as_json=as_json)
    _carry_out(handovers, reason, drains=drains, as_json=as_json)
    if any(failover.unreadable for failover in failovers):
        raise typer.Exit(NOT_SO)


def _complain(handovers: "list[_Handover]") -> None:
    """Name the subscriptions that are left out, and those whose lanes would stop in the target."""
    for handover in handovers:
        for name, error in handover.failover.unreadable.items():
            complain(f"{name} is left out, because its state cannot be read: {error}")
        for sentence in dict.fromkeys(handover.warnings()):
            complain(sentence)


def _carry_out(handovers: "list[_Handover]", reason: str, *, drains: bool, as_json: bool) -> None:
    """Hand over, and report what was handed over, also if an error or an interruption ends it early."""
    try:
        for handover in handovers:
            handover.carry_out(reason, drains=drains)
    except (EventFabricError, KeyboardInterrupt) as error:
        _end_early(handovers, error, as_json=as_json)
    written = _show_written(handovers, as_json=as_json)
    if not as_json:
        say(f"{written} handovers written; every lane was rung")


def _end_early(handovers: "list[_Handover]", error: BaseException, *, as_json: bool) -> NoReturn:
    """Report what was handed over before an error, if anything was, and end the command."""
    if not any(handover.failover.written for handover in handovers):
        raise error
    written = _show_written(handovers, as_json=as_json)
    complain(f"{written} of {sum(len(handover.readiness) for handover in handovers)} handovers were written")
    if isinstance(error, KeyboardInterrupt):
        raise error
    complain(str(error))
    raise typer.Exit(NOT_SO)


def _show_written(handovers: "list[_Handover]", *, as_json: bool) -> int:
    """Print as JSON, if that is wanted, what was handed over. Return how many handovers that is."""
    written = [owner for handover in handovers for owner in handover.failover.written]
    if as_json:
        show_json(_as_json([ready for handover in handovers for ready in handover.readiness], written))
    return len(written)


def _show_readiness(readiness: "list[Readiness]", *, as_json: bool) -> None:
    """Report lanes that cannot be read and, for people, how ready each handover is. Exit if there is none."""
    if not readiness:
        complain("nothing to hand over: the source delivers no lanes that the target could deliver")
        raise typer.Exit(1)
    for ready in readiness:
        for reason in ready.unreadable:
            complain(reason)
    if not as_json:
        show_table("to be handed over", _COLUMNS, [_row(ready) for ready in readiness])


def _confirm(*, as_json: bool) -> None:
    if as_json:
        raise typer.BadParameter("--json needs --dry-run or --yes")
    typer.confirm("Hand these lanes over?", abort=True)


def _shown(status: "Status", doing: str, what: str) -> "Callable[[int, int], None]":
    """Return what shows in a status line how much is done."""
    return lambda done, total: status.update(f"{doing}: {done:,} of {total:,} {what}")


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
        unknown if ready.published is None else ready.published,
    )


def _as_json(readiness: "list[Readiness]", written: "list[Owner] | None" = None) -> dict[str, object]:
    """Describe a failover. `written`: the handovers that were written; None: a dry run."""
    report: dict[str, object] = {
        "dry_run": written is None,
        "readiness": [_readiness_json(ready) for ready in readiness],
    }
    if written is not None:
        report["handed_over"] = [
            {"origin": owner.origin, "owner": owner.region, "epoch": owner.epoch} for owner in written
        ]
    return report


def _readiness_json(ready: "Readiness") -> dict[str, object]:
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
        "published_not_replicated": ready.published,
    }
