"""`eventfabric dead-letters`: list, show, redrive, discard and export events that are not retried by themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import Subscription, grouped
from eventfabric.cli.output import complain, left_out, say, show_document, show_json, show_table, stderr
from eventfabric.cli.user import user_name
from eventfabric.errors import EventFabricError, SettingError

if TYPE_CHECKING:
    from eventfabric.model import Event
    from eventfabric.services.operations.dead_letters import DeadLetter, DeadLetterFilter, DeadLetters

app = typer.Typer(
    no_args_is_help=True,
    help="Dead letters: events that failed for good, and are not retried until you redrive or discard them.",
)

Place = Annotated[
    str, typer.Argument(metavar="LANE@SEQUENCE", help="Place of the event in the log, as `list` prints it.")
]
Key = Annotated[str | None, typer.Option(help="Only this key.")]
Type = Annotated[str | None, typer.Option("--type", help="Only events of this type.")]
ErrorType = Annotated[str | None, typer.Option("--error", help="Only error types whose name contains this.")]
OlderThan = Annotated[
    int | None,
    typer.Option(
        "--older-than", min=0, help="Only events whose last failure was at least this many seconds ago."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen; change nothing.")]
OnlyPlace = Annotated[
    str | None, typer.Argument(metavar="LANE@SEQUENCE", help="Only the dead letter at this place.")
]
Rate = Annotated[float, typer.Option(min=0.01, help="Limit, in dead letters a second.")]
_COLUMNS = ("event", "key", "type", "error", "attempts", "crashes", "waiting behind", "last")


@dataclass(frozen=True)
class Filter:
    """Options that choose dead letters or parked keys; without any of them, all are chosen."""

    wanted: "DeadLetterFilter"

    @classmethod
    def of(
        cls, key: Key = None, type_: Type = None, error: ErrorType = None, older_than: OlderThan = None
    ) -> "Filter":
        """Make the filter from the options. Raises SettingError."""
        from eventfabric.services.operations.dead_letters import DeadLetterFilter

        if error == "":
            raise SettingError("--error", error, "part of an error type's name; this is part of every one")
        return cls(DeadLetterFilter(key, type_, error, None if older_than is None else older_than * 1000))


@app.command("list")
@grouped
def list_(
    subscription: Subscription,
    *,
    filter: Filter,
    connection: Connection,
    json: Json = False,
) -> None:
    """List the dead letters of a subscription in a Region, lane by lane.

    Example: eventfabric dead-letters list billing --error CardRefused
    """
    letters = connection.operations().dead_letters(subscription)
    listed = list(letters.find(filter.wanted, unreadable=left_out))
    if json:
        show_json([_as_json(letter) for letter in listed])
        return
    show_table(subscription, _COLUMNS, [_row(letter) for letter in listed])
    say(f"{len(listed):,} dead letters, {_behind(listed)} events waiting behind them, in {connection.region}")


@app.command()
@grouped
def show(
    subscription: Subscription,
    place: Place,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Show a dead letter: the event, and why it failed.

    Example: eventfabric dead-letters show billing us-east-1/0.17@42
    """
    letters = connection.operations().dead_letters(subscription)
    value = _with_event(letters, _letter_at(letters, place))
    (show_json if json else show_document)(value)


@app.command()
@grouped
def redrive(
    subscription: Subscription,
    *,
    place: OnlyPlace = None,
    edited: Annotated[
        Path | None,
        typer.Option(help="File with a CloudEvent to handle instead of this event. Both stay on record."),
    ] = None,
    unsettled: Annotated[
        bool,
        typer.Option(
            "--unsettled",
            help="Also redrive events with a step in doubt: the handler has verify= by now, and asks for itself.",
        ),
    ] = False,
    filter: Filter,
    rate: Rate = 10.0,
    dry_run: DryRun = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Retry dead letters, and then deliver the events that wait behind them, in order.

    Without LANE@SEQUENCE or an option that chooses, all dead letters of the subscription in the Region are redriven.

    Example: eventfabric dead-letters redrive billing --error TimeoutError --rate 5 --dry-run
    """
    operations = connection.operations()
    letters = operations.dead_letters(subscription)
    if edited is not None and place is None:
        raise typer.BadParameter("--edited goes with LANE@SEQUENCE")
    replacement = _edited(edited) if edited else None
    chosen = _chosen(letters, place, filter)
    if replacement is not None:
        letters.check_replacement(chosen[0], replacement)

    def redrive_one(letter: "DeadLetter") -> None:
        if dry_run:
            if not unsettled:
                letters.check_settled(letter, replacement)
            return
        letters.redrive(letter, replacement=replacement, by=user_name(), unsettled=unsettled)

    _act_on_each("redriven", chosen, redrive_one, rate=rate, dry_run=dry_run, as_json=json)
    if operations.circuit(subscription).state == "paused" and not json:
        say(
            f"{subscription} is paused: nothing is delivered until `eventfabric subscriptions resume {subscription}`"
        )


@app.command()
@grouped
def discard(
    subscription: Subscription,
    *,
    place: OnlyPlace = None,
    filter: Filter,
    all_waiting: Annotated[
        bool,
        typer.Option(
            "--all-waiting",
            help="Also discard the events that wait behind them, instead of delivering these.",
        ),
    ] = False,
    rate: Rate = 10.0,
    dry_run: DryRun = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Drop dead letters for good, and deliver the events that wait behind them. Who dropped what stays on record.

    With --all-waiting, the events that wait in the same keys are discarded as well; `prove` lists each of them. That
    covers a key up to the lane's cursor: events which a lagging lane (`eventfabric lanes`) reaches later are delivered.

    Example: eventfabric dead-letters discard billing --key order-17 --all-waiting --dry-run
    """
    if place is None and filter == Filter.of():
        raise typer.BadParameter("say which: LANE@SEQUENCE, --key, --type, --error or --older-than")
    letters = connection.operations().dead_letters(subscription)

    def discard_one(letter: "DeadLetter") -> None:
        if not dry_run:
            letters.discard(letter, all_waiting=all_waiting, by=user_name())

    _act_on_each(
        "discarded",
        _chosen(letters, place, filter),
        discard_one,
        rate=rate,
        dry_run=dry_run,
        as_json=json,
        waiting="discarded with them" if all_waiting else "waiting behind them",
        last_first=True,
    )


@app.command()
@grouped
def export(
    subscription: Subscription,
    *,
    filter: Filter,
    connection: Connection,
) -> None:
    """Print dead letters with their events, one JSON object a line.

    Example: eventfabric dead-letters export billing > dead.jsonl
    """
    letters = connection.operations().dead_letters(subscription)
    for letter in letters.find(filter.wanted, unreadable=left_out):
        show_json(_with_event(letters, letter))


def _chosen(letters: "DeadLetters", place: str | None, filter: Filter) -> "list[DeadLetter]":
    if place is None:
        return list(letters.find(filter.wanted, unreadable=left_out))
    if filter != Filter.of():
        raise typer.BadParameter("LANE@SEQUENCE goes without --key, --type, --error and --older-than")
    return [_letter_at(letters, place)]


def _letter_at(letters: "DeadLetters", place: str) -> "DeadLetter":
    from eventfabric.model import Lane

    lane, _, sequence = place.partition("@")
    try:
        wanted = Lane.parse(lane), int(sequence)
    except ValueError:
        allowed = "<origin>/<generation>.<index>@<sequence>, such as us-east-1/0.17@42"
        raise SettingError("LANE@SEQUENCE", place, allowed) from None
    for letter in letters.find(unreadable=left_out):
        if (letter.stands_in, letter.parked.first.sequence) == wanted:
            return letter
    complain(f"{place} is not a dead letter of {letters.subscription}")
    raise typer.Exit(1)


def _act_on_each(
    done: str,
    chosen: "list[DeadLetter]",
    act: "Callable[[DeadLetter], None]",
    *,
    rate: float,
    dry_run: bool,
    as_json: bool,
    waiting: str = "waiting behind them",
    last_first: bool = False,
) -> None:
    """Act on each dead letter, at a rate, with progress. Failures are reported, and the other letters are done.

    With `dry_run`, `act` changes nothing but refuses what it would refuse otherwise. `waiting` says in words what
    happens to the events behind them. `last_first` is for actions that remove letters: after the first letter of a
    lane is gone, the others would have to be read again.
    """
    order = chosen[::-1] if last_first else chosen
    acted = _acted(done, order, act, pause_seconds=0 if dry_run else 1 / rate, quiet=dry_run)
    failed = len(chosen) - len(acted)
    if last_first:
        acted.reverse()
    if as_json:
        waiting_json = {"waiting_behind": _count_behind(acted), "more_waiting": _is_more_behind(acted)}
        show_json(
            {done: [letter.place for letter in acted], **waiting_json, "failed": failed, "dry_run": dry_run}
        )
    else:
        if dry_run:
            show_table("", _COLUMNS, [_row(letter) for letter in acted])
        would = "would be " if dry_run else ""
        say(f"{len(acted):,} {would}{done}, {_behind(acted)} events {waiting}, {failed:,} failed")
    if failed:
        raise typer.Exit(1)


def _acted(
    done: str,
    letters: "list[DeadLetter]",
    act: "Callable[[DeadLetter], None]",
    *,
    pause_seconds: float,
    quiet: bool,
) -> "list[DeadLetter]":
    """Act on the letters in turn, with a pause between two of them. Return those that did not fail."""
    from rich.progress import track

    acted: list[DeadLetter] = []
    disable = quiet or not stderr.is_terminal
    for number, letter in enumerate(track(letters, done, console=stderr, transient=True, disable=disable)):
        sleep(pause_seconds if number else 0)
        try:
            act(letter)
        except EventFabricError as error:
            complain(str(error))
            continue
        acted.append(letter)
    return acted


def _behind(letters: "list[DeadLetter]") -> str:
    """Count the events that wait behind the letters; a plus means that more wait than their keys list."""
    return f"{_count_behind(letters):,}{'+' if _is_more_behind(letters) else ''}"


def _count_behind(letters: "list[DeadLetter]") -> int:
    return sum(letter.parked.behind for letter in letters)


def _is_more_behind(letters: "list[DeadLetter]") -> bool:
    """Tell if more events wait than the letters' keys list."""
    return any(letter.parked.rest for letter in letters)


def _edited(path: Path) -> "Event":
    from eventfabric.wire.cloudevent import parse_cloudevent

    return parse_cloudevent(path.read_bytes().strip(), where=str(path))


def _row(letter: "DeadLetter") -> tuple[object, ...]:
    failure = letter.parked.failure
    error = failure.error_type.rpartition(":")[2]
    last = datetime.fromtimestamp(failure.last_ms / 1000, UTC).isoformat(timespec="seconds")
    return (
        letter.place,
        letter.parked.key,
        failure.event_type,
        error,
        failure.attempts,
        failure.crashes,
        _behind([letter]),
        last,
    )


def _as_json(letter: "DeadLetter") -> dict[str, Any]:
    from msgspec import to_builtins

    failure: dict[str, Any] = to_builtins(letter.parked.failure)
    return {
        "place": letter.place,
        "key": letter.parked.key,
        "waiting_behind": [place.sequence for place in letter.parked.waiting[1:]],
        "more_waiting_from": letter.parked.rest.sequence if letter.parked.rest else None,
        "edited": letter.parked.replacement is not None,
        **failure,
    }


def _with_event(letters: "DeadLetters", letter: "DeadLetter") -> dict[str, Any]:
    from eventfabric.wire.cloudevent import raw_cloudevent

    event = letters.event(letter)
    return {**_as_json(letter), "event": raw_cloudevent(event) if event else None}
