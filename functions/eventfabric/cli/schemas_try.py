"""`eventfabric schemas try`: hold the last real events to schemas, upcasters and a handler's type, without effects."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.exit_codes import INTERRUPTED, NOT_SO
from eventfabric.cli.options import StreamIfSeveral, grouped
from eventfabric.cli.output import complain, left_out, say, show_json, show_table, stderr
from eventfabric.cli.schemas_typed import ThereSchemas

if TYPE_CHECKING:
    from eventfabric.model import Event
    from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
    from eventfabric.typed.trial import Trial, Tried


@grouped
def try_schemas(
    *,
    last: Annotated[int, typer.Option(min=1, help="Number of events, the newest first.")] = 10_000,
    subscription: Annotated[
        str | None,
        typer.Option(help="Try what this subscription wants, with its handler's upcasters and type."),
    ] = None,
    stream: StreamIfSeveral = None,
    schemas: ThereSchemas = None,
    connection: Connection,
    json: Json = False,
) -> None:
    """Hold the last real events to the schemas in the folder, and say what would fail. No handler is called.

    With a subscription: its upcasters first, then the schema as readers are held to it, then the type that the handler
    asks for. Without: the schema as publishing is held to it. No value of any event is shown. Ctrl-C shows what was
    tried until then.

    Exit codes: 0 nothing would fail; 1 something would.

    Example: eventfabric schemas try --last 10000 --subscription billing
    """
    from eventfabric.typed.trial import facts_of

    own = None if subscription is None else connection.subscriptions(subscription)[0]
    if own is not None and stream not in (None, own.definition.stream):
        allowed = f"{own.definition.stream}, which {own.name} subscribes to, or leave it out"
        raise typer.BadParameter(f"found {stream}, allowed: {allowed}", param_hint="--stream")
    topology = connection.stream(stream if own is None else own.definition.stream)
    trial = _trial(connection, topology, own, schemas)
    is_whole = _run(trial, _events(connection, topology, own, last=last))
    if not is_whole:
        complain(
            f"{topology.name}: interrupted; this is what was tried by then: {trial.tried.events:,} events"
        )
    if json:
        facts = {"stream": topology.name, "subscription": subscription, "interrupted": not is_whole}
        show_json({**facts, **facts_of(trial.tried)})
    elif trial.tried.events:
        _show(trial, topology)
    elif is_whole:
        complain(f"stream {topology.name} holds no such event")
    if not is_whole:
        raise typer.Exit(INTERRUPTED)
    if not trial.tried.is_fine:
        raise typer.Exit(NOT_SO)


def _trial(
    connection: Connection,
    stream: "StreamTopology",
    own: "SubscriptionTopology | None",
    schemas: Any,
) -> "Trial":
    """Return the trial of a stream's events, for a subscription or for publishing. HandlerError; MissingExtraError."""
    from eventfabric.contracts import SCHEMAS_FOLDER
    from eventfabric.sdk.schemas import checks_in, upcasting_of
    from eventfabric.services.catalogue.known_versions import KnownVersions
    from eventfabric.services.catalogue.schema_lane import SchemaReader
    from eventfabric.typed.trial import Trial

    ports = connection.ports()
    version_of = KnownVersions(SchemaReader(stream, ports.log_of(stream)), ports.clock).number_of
    folder = schemas or connection.path.parent / SCHEMAS_FOLDER
    checks = checks_in(folder, is_closed=own is None)
    if checks is not None:
        checks.load()
    if own is None:
        return Trial(stream.name, version_of, schemas=checks)
    from eventfabric.cli.schemas_typed import import_from
    from eventfabric.sdk.subscriber import Subscriber, load_handler
    from eventfabric.sdk.wants import payload_decoder
    from eventfabric.typed.classes import member_names

    import_from(connection.path)
    target: Any = load_handler(own.definition.handler)
    payload_type = (target if isinstance(target, Subscriber) else Subscriber(target)).payload_type
    return Trial(
        stream.name,
        version_of,
        schemas=checks,
        upcasting=upcasting_of(target, own.definition.handler, stream, ports, folder),
        decode=None if payload_type is None else payload_decoder(payload_type),
        member_names=member_names(payload_type),
    )


def _events(
    connection: Connection, stream: "StreamTopology", own: "SubscriptionTopology | None", *, last: int
) -> "Iterator[tuple[Event, int]]":
    """Yield the last events of a stream; of these, those that a subscription wants."""
    from rich.progress import track

    from eventfabric.model import EVERYTHING, SubscriptionFilter
    from eventfabric.services.lanes.standing import lanes_of
    from eventfabric.typed.newest import newest_events

    wanted = EVERYTHING if own is None else SubscriptionFilter.of(own.definition)
    log = connection.ports().log_of(stream)
    events = islice(newest_events(log, lanes_of(stream), unreadable=left_out), last)
    quiet = not stderr.is_terminal
    for event, at_ms in track(events, "trying", total=last, console=stderr, transient=True, disable=quiet):
        if wanted.wants(event):
            yield event, at_ms


def _run(trial: "Trial", events: "Iterator[tuple[Event, int]]") -> bool:
    """Try events. Return False if somebody interrupted that."""
    try:
        for event, at_ms in events:
            trial.of(event, at_ms=at_ms)
    except KeyboardInterrupt:
        return False
    return True


def _show(trial: "Trial", stream: "StreamTopology") -> None:
    tried = trial.tried
    since, until = (_time(ms) for ms in (tried.first_ms, tried.last_ms))
    show_table(
        f"{tried.events:,} events of stream {stream.name}, from {since} to {until}",
        ["type", "version", "events", "would fail", "schema"],
        [
            [type_, _version(version), events, tried.failing[type_, version], _schema(trial, type_)]
            for (type_, version), events in tried.counts.most_common()
        ],
    )
    _show_failures(tried)


def _show_failures(tried: "Tried") -> None:
    for failing, events in tried.failures.most_common():
        places = ", ".join(tried.places[failing])
        say(
            f"{failing.type}, version {_version(failing.version)}: {events:,} fail at the {failing.stage}: "
            f"{failing.problem}; such as {places}"
        )


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).isoformat()


def _version(version: int | None) -> str:
    return "not registered" if version is None else str(version)


def _schema(trial: "Trial", type_: str) -> str:
    return "" if trial.has_schema(type_) else "none"
