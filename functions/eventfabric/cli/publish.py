"""`eventfabric publish`: publish one event from arguments, or a file of CloudEvents."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.exit_codes import NO_ANSWER, NOT_SO, is_no_answer
from eventfabric.cli.options import Stream, grouped
from eventfabric.cli.output import complain, say, show_json, stderr
from eventfabric.errors import (
    EventFabricError,
    InvalidEventError,
    MalformedCloudEventError,
    Problem,
    PublishFailedError,
)

if TYPE_CHECKING:
    from eventfabric.model import Event, HeaderValue
    from eventfabric.sdk.bundle import Receipt
    from eventfabric.sdk.fabric import Fabric
    from eventfabric.wire.cloudevent import KeyRule

_STANDARD_INPUT = Path("-")


@grouped
def publish(
    stream: Stream,
    *,
    key: Annotated[
        str | None, typer.Option(help="Key of the event: events of one key are delivered in order.")
    ] = None,
    type: Annotated[str | None, typer.Option(help="Type of the event, such as OrderPlaced.")] = None,
    data: Annotated[str | None, typer.Option(help="Data of the event, as JSON.")] = None,
    data_file: Annotated[Path | None, typer.Option(help="File with the data, as JSON.")] = None,
    id: Annotated[str | None, typer.Option(help="Id of the event. Default: a new UUIDv7.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="Header of the event, as name=value. May be repeated.")
    ] = None,
    events: Annotated[
        Path | None, typer.Option(help="File of CloudEvents, one JSON object a line; - is standard input.")
    ] = None,
    key_from: Annotated[
        str | None,
        typer.Option(
            metavar="subject|id|source|/POINTER",
            help="With --events: attribute that holds the key, or JSON pointer to it in the data. Default: "
            "partitionkey, else subject.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="With --events: publish nothing if any line is malformed.")
    ] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Publish an event, or a file of CloudEvents. Malformed lines of a file are reported; the others are published.

    Example: eventfabric publish orders --key customer-17 --type PaymentReceived --data '{"order": "A-1"}'

    Example: eventfabric publish orders --events events.jsonl

    Example: eventfabric publish orders --events events.jsonl --key-from /customer
    """
    if events is not None:
        if any(value is not None for value in (key, type, data, data_file, id, header)):
            raise typer.BadParameter(
                "--events takes everything from the file: remove the options of a single event"
            )
        from eventfabric.wire.cloudevent import KeyRule

        key_rule = None if key_from is None else KeyRule.parse(key_from)
        with connection.naming_streams(stream):
            _publish_file(connection.fabric(), stream, events, key_rule=key_rule, strict=strict, as_json=json)
        return
    if strict or key_from is not None:
        raise typer.BadParameter("--strict and --key-from need --events")
    if key is None or type is None:
        raise typer.BadParameter("give --key and --type, or --events")
    payload, headers = _payload(data, data_file), _headers(header)
    with connection.naming_streams(stream):
        receipt = connection.fabric().publish(
            stream, key=key, type=type, data=payload, id=id, headers=headers
        )
    if json:
        show_json(_receipt_json(receipt))
    else:
        say(f"{receipt.event_id} at {receipt.lane}@{receipt.sequence}")


class _Outcome:
    """Result of publishing a file. Malformed lines are reported as they are met."""

    def __init__(self) -> None:
        self.published = 0
        self.malformed = 0
        self.failures: list[tuple[str, str]] = []
        self.no_answer = False

    def reject(self, where: str, error: EventFabricError) -> None:
        self.malformed += 1
        complain(f"{where}{error}")

    def fail(self, error: PublishFailedError) -> None:
        self.failures = [(event_id, str(cause)) for event_id, cause in error.failures]
        self.published -= len(self.failures)
        self.no_answer = is_no_answer(error)

    def report(self, *, as_json: bool) -> None:
        if as_json:
            failed = [{"event_id": event_id, "error": error} for event_id, error in self.failures]
            show_json({"published": self.published, "malformed": self.malformed, "failed": failed})
        else:
            for error, events in Counter(error for _, error in self.failures).items():
                complain(f"{events:,} events: {error}")
            say(f"{self.published:,} published, {self.malformed:,} malformed, {len(self.failures):,} failed")
        if self.malformed or self.failures:
            raise typer.Exit(NO_ANSWER if self.no_answer else NOT_SO)


def _publish_file(
    fabric: "Fabric", stream: str, path: Path, *, key_rule: "KeyRule | None", strict: bool, as_json: bool
) -> None:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from eventfabric.sdk.cloudevents_file import read_cloudevents

    outcome = _Outcome()
    columns = (TextColumn("publishing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with (
        _opened(path) as file,
        Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as progress,
    ):
        # A pipe has neither a size nor a position.
        sized = file.seekable() and path != _STANDARD_INPUT
        task = progress.add_task("events", total=path.stat().st_size if sized else None)
        lines: Iterable[tuple[int, Event | MalformedCloudEventError]] = read_cloudevents(
            file, name=str(path), key_rule=key_rule
        )
        try:
            with fabric.publisher(stream) as publisher:
                if strict:
                    encode = publisher.outgoing.encode_event
                    lines = _all_or_none(lines, outcome, encode, path=path, as_json=as_json)
                for number, parsed in lines:
                    if isinstance(parsed, MalformedCloudEventError):
                        outcome.reject("", parsed)
                        continue
                    try:
                        publisher.publish_event(parsed)
                        outcome.published += 1
                    except InvalidEventError as error:
                        outcome.reject(f"{path}:{number}: ", error)
                    if sized:
                        progress.update(task, completed=file.tell())
        except PublishFailedError as error:
            outcome.fail(error)
    outcome.report(as_json=as_json)


def _opened(path: Path) -> AbstractContextManager[BinaryIO]:
    if path != _STANDARD_INPUT:
        return path.open("rb")
    if sys.stdin is None:  # Python's way to say that the descriptor is closed
        raise typer.BadParameter("--events -: standard input is closed")
    return nullcontext(sys.stdin.buffer)


def _all_or_none(
    lines: "Iterable[tuple[int, Event | MalformedCloudEventError]]",
    outcome: _Outcome,
    encode: "Callable[[Event], object]",
    *,
    path: Path,
    as_json: bool,
) -> "list[tuple[int, Event | MalformedCloudEventError]]":
    """Read all lines, and return them only if all are good. `encode`: raises what publishing would raise."""
    checked = list(lines)
    for number, parsed in checked:
        if isinstance(parsed, MalformedCloudEventError):
            outcome.reject("", parsed)
            continue
        try:
            encode(parsed)
        except InvalidEventError as error:
            outcome.reject(f"{path}:{number}: ", error)
    if outcome.malformed:
        complain(f"nothing was published: {outcome.malformed} of {len(checked)} lines are malformed")
        outcome.report(as_json=as_json)
    return checked


def _payload(data: str | None, data_file: Path | None) -> Any:
    """Read the JSON text of the data, to be published unchanged. Raises InvalidEventError, typer.BadParameter."""
    import msgspec

    from eventfabric.model import checked_json

    if data is not None and data_file is not None:
        raise typer.BadParameter("give --data or --data-file, not both")
    if data_file is not None:
        where, text = str(data_file), data_file.read_bytes()
    elif data is not None:
        where, text = "--data", os.fsencode(data)
    else:
        return None
    try:
        checked_json(text)
    except InvalidEventError as error:
        raise InvalidEventError(
            [Problem(where, problem.found, problem.allowed) for problem in error.problems]
        ) from error
    return None if text.strip() == b"null" else msgspec.Raw(text)


def _headers(given: list[str] | None) -> "dict[str, HeaderValue]":
    headers: dict[str, HeaderValue] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"--header {text!r}: allowed: name=value")
        headers[name] = value
    return headers


def _receipt_json(receipt: "Receipt") -> dict[str, object]:
    return {
        "event_id": receipt.event_id,
        "origin": receipt.origin,
        "lane": str(receipt.lane),
        "sequence": receipt.sequence,
    }
