"""`eventfabric credits`: show which producers a subscription holds back, and let them go on."""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.exit_codes import NOT_SO
from eventfabric.cli.options import Stream, Subscription, grouped
from eventfabric.cli.output import complain, say, show_json, show_table, stderr
from eventfabric.errors import EventFabricError, SettingError

if TYPE_CHECKING:
    from eventfabric.services.operations.credits import GatedLane, Gates, Opening

_COLUMNS = (
    *("subscription", "delivers", "lane", "cursor", "tail", "grant"),
    *("used", "left", "short since", "why"),
)
_BAR_CHARACTERS: Final = 10
_UNITS: Final = {"s": 1, "m": 60, "h": 3600}

app = typer.Typer(no_args_is_help=True, help="Show which producers are held back, and let them go on.")

For = Annotated[
    str,
    typer.Option("--for", metavar="TIME", help="Time that the credit is to last, such as 90s, 10m or 2h."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be granted; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


@app.command()
@grouped
def show(
    stream: Stream,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="All lanes that are gated, not only short ones.")
    ] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Show the lanes in which producers may append nothing more: which subscription holds them back, and why.

    Cursor: the next event to deliver. Tail: the end of the log. Grant: where producers must stop. Used: how much of the
    credit is used up by events that wait to be delivered.

    Example: eventfabric credits show orders

    Example: eventfabric credits show orders --all --json
    """
    gates, unreadable = connection.operations().credits(stream), list[str]()
    lanes = gates.lanes(unreadable=lambda error: unreadable.append(str(error)))
    _complain(gates, unreadable)
    short = [seen for seen in lanes if seen.is_short]
    shown = lanes if every else short
    if json:
        about = {"stream": stream, "region": connection.region, "gates": [gate.name for gate in gates.gates]}
        counts = {"gated": len(lanes), "short": len(short)}
        rest = {"unanswered": gates.unanswered, "unreadable": unreadable}
        show_json({**about, **counts, "lanes": [_as_json(seen) for seen in shown], **rest})
        return
    if shown:
        show_table(stream, _COLUMNS, [_row(seen) for seen in shown], or_records=True)
    names = ", ".join(gate.name for gate in gates.gates) or "nobody"
    say(f"{stream} is gated by {names}: {len(lanes):,} lanes, of which {len(short):,} are short of credit")


@app.command("open")
@grouped
def open_credits(
    subscription: Subscription,
    *,
    time: For,
    dry_run: DryRun = False,
    yes: Yes = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Let producers go on that a subscription holds back, for about so long, whatever it delivers meanwhile.

    Each lane is granted, beyond its end, what it delivered at its best lately for that time. That is a grant like any
    other: nothing has to be taken back, and nothing can be. The same command again grants no more until something
    was published; if it was interrupted, that finishes it.

    Example: eventfabric credits open billing --for 10m --dry-run
    """
    seconds, unreadable = parsed_seconds(time), list[str]()
    gates = connection.operations().credits_of(subscription)
    planned = gates.openings(seconds, unreadable=lambda error: unreadable.append(str(error)))
    openings = [opening for opening in planned if opening.more]
    opened = 0
    if not json:
        _show_openings(subscription, openings)
    if openings and not dry_run:
        if not yes:
            _confirm(subscription, openings, as_json=json)
        opened = _carry_out(gates, openings)
    failed = _complain(gates, unreadable)
    if json:
        lanes = [_opening_as_json(opening) for opening in openings]
        about = {"subscription": subscription, "region": connection.region, "seconds": seconds}
        rest = {"unanswered": gates.unanswered, "unreadable": unreadable}
        show_json({**about, "dry_run": dry_run, "opened": opened, "lanes": lanes, **rest})
    elif not dry_run:
        say(f"{opened:,} lanes of {subscription} are granted more")
    if failed:
        raise typer.Exit(NOT_SO)


def parsed_seconds(text: str) -> int:
    """Parse the value of --for. SettingError."""
    if (parts := re.fullmatch(r"([0-9]{1,6})([smh])", text)) is None:
        raise SettingError("--for", text, "a number with s, m or h, such as 90s, 10m or 2h")
    return int(parts[1]) * _UNITS[parts[2]]


def _confirm(subscription: str, openings: "list[Opening]", *, as_json: bool) -> None:
    if as_json:
        raise typer.BadParameter("--json needs --dry-run or --yes")
    more = sum(opening.more for opening in openings)
    typer.confirm(
        f"Let producers append {more:,} more events before {subscription} holds them back?", abort=True
    )


def _carry_out(gates: "Gates", openings: "list[Opening]") -> int:
    """Grant what was planned, with progress."""
    from rich.progress import Progress

    quiet = not stderr.is_terminal
    with Progress(console=stderr, transient=True, disable=quiet) as progress:
        task = progress.add_task("granting", total=len(openings))
        try:
            return gates.open(openings, advance=lambda: progress.advance(task))
        except (EventFabricError, KeyboardInterrupt):
            complain("some lanes are granted more, and some are not: the same command goes on with it")
            raise


def _complain(gates: "Gates", unreadable: list[str]) -> bool:
    """Report which lanes cannot be read and which Regions do not answer. Tell if there are any."""
    reasons = [
        *unreadable,
        *(f"no answer of {region}: {error}" for region, error in gates.unanswered.items()),
    ]
    for reason in reasons:
        complain(reason)
    return bool(reasons)


def _show_openings(subscription: str, openings: "list[Opening]") -> None:
    rows = [
        (str(seen.lane), seen.tail.sequence, seen.granted, opening.granted, opening.more)
        for opening in openings
        for seen in (opening.gated,)
    ]
    if rows:
        show_table(subscription, ("lane", "tail", "grant", "grant then", "more events"), rows)
    more = sum(opening.more for opening in openings)
    say(f"{more:,} more events in {len(openings):,} lanes may be appended then")


def _row(seen: "GatedLane") -> tuple[object, ...]:
    since = (
        datetime.fromtimestamp(seen.since_ms / 1000, UTC).isoformat(timespec="seconds") if seen.why else ""
    )
    numbers = (seen.cursor.sequence, seen.tail.sequence, seen.granted)
    about = (seen.subscription.name, seen.region, str(seen.lane))
    return (*about, *numbers, _bar(seen), seen.left, since, seen.why or "")


def _bar(seen: "GatedLane") -> str:
    """Draw how much of a lane's credit is used up."""
    credit = seen.granted - seen.cursor.sequence
    used = _BAR_CHARACTERS if credit <= 0 else min(1.0, seen.waiting / credit) * _BAR_CHARACTERS
    return "#" * int(used) + "." * (_BAR_CHARACTERS - int(used))


def _as_json(seen: "GatedLane") -> dict[str, Any]:
    return {
        "subscription": seen.subscription.name,
        "delivers": seen.region,
        "lane": str(seen.lane),
        "cursor": seen.cursor.sequence,
        "tail": seen.tail.sequence,
        "grant": seen.granted,
        "left": seen.left,
        "short_since_ms": seen.since_ms if seen.is_short else None,
        "why": seen.why,
    }


def _opening_as_json(opening: "Opening") -> dict[str, Any]:
    seen = opening.gated
    return {
        "lane": str(seen.lane),
        "tail": seen.tail.sequence,
        "grant": seen.granted,
        "grant_then": opening.granted,
        "more": opening.more,
    }
