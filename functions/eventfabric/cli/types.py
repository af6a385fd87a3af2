"""`eventfabric types`: list the event types of a stream, and say of one if anybody still needs it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfabric.cli.catalogue.watching import LogReach, Watched, extent_sentence, moment, watched
from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.exit_codes import INTERRUPTED, NOT_SO
from eventfabric.cli.options import OnlyStream, StreamIfSeveral, grouped
from eventfabric.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from eventfabric.definition.sections import Deprecation
    from eventfabric.model.schema_index import SchemaVersion
    from eventfabric.services.operations.removal import ObstacleToRemoval, TypeReader
    from eventfabric.stream_topology import StreamTopology

_COLUMNS = ("stream", "type", "version", "compatibility", "deprecated", "sunset", "use", "subscriptions")
_READER_COLUMNS = ("subscription", "asks for it", "handled last", "waiting", "parked keys")

app = typer.Typer(
    no_args_is_help=True, help="Event types: their versions, who gets them, and if they can go."
)

TypeName = Annotated[str, typer.Argument(metavar="TYPE", help="Event type.")]
QuietDays = Annotated[
    int,
    typer.Option(
        "--quiet-days", min=1, max=3650, help="Days without an event, after which a type counts as silent."
    ),
]


@app.callback()
def types() -> None:
    """Event types: their versions, who gets them, and if they can go."""


@app.command("list")
@grouped
def list_(*, stream: OnlyStream = None, connection: Connection, json: Json = False) -> None:
    """List the types of the definition's streams: newest version, compatibility, deprecation, and who gets them.

    Reads what is registered and declared in the Region, and no event.

    Example: eventfabric types list --stream orders
    """
    from eventfabric.cli.catalogue.reading import indices_of_region

    indices = indices_of_region(connection, stream)
    listed = [
        (own, name, indices[own.name].newest(name))
        for own in connection.streams_as_declared(stream, retired=False)
        for name in sorted(_types_of(own) | indices[own.name].types.keys())
    ]
    if json:
        show_json([_type_json(*known_type) for known_type in listed])
        return
    if not listed:
        say(
            f"{connection.region}: no type is registered, and none is named by the definition or a subscription"
        )
        return
    show_table(connection.region, _COLUMNS, [_row(*known_type) for known_type in listed], or_records=True)


def _types_of(stream: "StreamTopology") -> set[str]:
    named = {name for own in stream.subscriptions for name in own.definition.types or ()}
    return named | stream.definition.types.keys()


def _deprecation_of(stream: "StreamTopology", name: str) -> "Deprecation | None":
    section = stream.definition.types.get(name)
    return None if section is None else section.deprecated


def _readers_of(stream: "StreamTopology", name: str) -> list[str]:
    return [own.name for own in stream.subscriptions if name in (own.definition.types or (name,))]


def _row(stream: "StreamTopology", name: str, newest: "SchemaVersion | None") -> tuple[object, ...]:
    end = _deprecation_of(stream, name)
    return (
        stream.name,
        name,
        newest.number if newest else "no schema",
        stream.definition.compatibility_of(name),
        end.since if end else "",
        (end.sunset if end else "") or "",
        (end.use if end else "") or "",
        ", ".join(_readers_of(stream, name)),
    )


def _type_json(stream: "StreamTopology", name: str, newest: "SchemaVersion | None") -> dict[str, Any]:
    return {
        "stream": stream.name,
        "type": name,
        "version": newest.number if newest else None,
        "compatibility": stream.definition.compatibility_of(name),
        "deprecated": _end_json(_deprecation_of(stream, name)),
        "subscriptions": _readers_of(stream, name),
    }


def _end_json(end: "Deprecation | None") -> dict[str, str | None] | None:
    return None if end is None else {"since": end.since, "sunset": end.sunset, "use": end.use, "why": end.why}


@app.command()
@grouped
def show(
    name: TypeName,
    *,
    stream: StreamIfSeveral = None,
    quiet_days: QuietDays = 30,
    reach: LogReach,
    connection: Connection,
    json: Json = False,
) -> None:
    """Say if a type can be removed: last published when and by whom, how many a day, who gets it, who handled it last.

    Reads the newest records of each lane, at most --last of each, and how far subscriptions are; no event's data. Exit
    code 1: it is not safe to remove, or that is not known.

    Example: eventfabric types show OrderPlaced --stream orders --last 100000
    """
    from eventfabric.services.operations.removal import obstacles, reader_of

    topology = connection.stream(stream)
    [declared] = connection.streams_as_declared(topology.name, retired=False)
    result, ports = watched(connection, declared, reach), connection.ports()
    readers = [
        reader_of(own, name, result.observation, ledger=ports.ledger, clock=ports.clock)
        for own in declared.subscriptions
        if name in (own.definition.types or (name,))
    ]
    now_ms = ports.clock.now_ms()
    reasons = list(
        obstacles(
            name,
            result.observation,
            readers,
            now_ms=now_ms,
            is_named=_is_named(connection, declared, name),
            unread=result.unread,
            quiet_days=quiet_days,
        )
    )
    if json:
        show_json(_shown_json(name, result, readers, reasons, now_ms))
    else:
        _show(name, result, readers, reasons, now_ms, quiet_days)
    if reasons:
        raise typer.Exit(INTERRUPTED if result.is_interrupted else NOT_SO)


def _is_named(connection: Connection, stream: "StreamTopology", name: str) -> bool:
    """Tell if the definition, or what is declared and registered in the Region, has the type."""
    from eventfabric.cli.catalogue.reading import indices_of_region

    defined = connection.topology.streams.get(stream.name, stream)
    if name in _types_of(stream) | _types_of(defined):
        return True
    return name in indices_of_region(connection, stream.name)[stream.name].types


def _show(
    name: str,
    result: Watched,
    readers: "list[TypeReader]",
    reasons: "list[ObstacleToRemoval]",
    now_ms: int,
    quiet_days: int,
) -> None:
    from eventfabric.services.operations.observed import occurrences_of, sources_of

    observation = result.observation
    seen = occurrences_of(observation, name)
    if seen is None:
        nothing = "no event of any type" if not observation.events else "no event of it"
        say(f"{name}: {nothing} was seen in {result.stream.name}")
    else:
        sources = ", ".join(sources_of(observation, name))
        say(
            f"{name}: last published {moment(seen.last_ms)} by {sources}; {observation.per_day(seen):,.1f} a day"
        )
    rows = [
        (
            own.subscription,
            "by name" if own.asks_by_name else "as all types",
            moment(own.handled_ms) or "not seen",
            own.waiting,
            own.parked,
        )
        for own in readers
    ]
    if rows:
        show_table(result.stream.name, _READER_COLUMNS, rows)
    else:
        say(f"{result.stream.name}: no subscription gets it")
    say(extent_sentence(result, now_ms=now_ms))
    if reasons:
        say(f"safe to remove: no, because {'; '.join(map(str, reasons))}")
    else:
        silent = (
            "the log has no event of it" if seen is None else f"nobody published it for {quiet_days} days"
        )
        say(f"safe to remove: yes, because {silent}, and nobody waits for it")
        if name in result.stream.definition.types:
            say(f"then take its table out of the definition: [streams.{result.stream.name}.types]")


def _shown_json(
    name: str,
    result: Watched,
    readers: "list[TypeReader]",
    reasons: "list[ObstacleToRemoval]",
    now_ms: int,
) -> dict[str, Any]:
    from dataclasses import asdict

    from eventfabric.services.operations.observed import occurrences_of, sources_of

    observation = result.observation
    seen = occurrences_of(observation, name)
    return {
        "type": name,
        "stream": result.stream.name,
        "deprecated": _end_json(_deprecation_of(result.stream, name)),
        "events": seen.count if seen else 0,
        "last_ms": seen.last_ms if seen else None,
        "per_day": observation.per_day(seen) if seen else 0,
        "sources": list(sources_of(observation, name)),
        "subscriptions": [asdict(own) for own in readers],
        "since_ms": observation.since_ms(now_ms=now_ms),
        "read_units": observation.read_units,
        "safe": not reasons,
        "because": [
            {"kind": own.kind.name.lower(), "about": own.about, "count": own.count} for own in reasons
        ],
    }
