"""`eventfabric declared`: show what is deployed, by whom and since when, what changed, and what differs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from eventfabric.cli.connection import Access, Definition, Endpoint, Json, Profile, RegionName
from eventfabric.cli.exit_codes import NOT_SO
from eventfabric.cli.options import grouped
from eventfabric.cli.output import complain, say, show_json, show_table
from eventfabric.deprecations import PartKind, deprecated_among
from eventfabric.errors import SettingError, UnknownStreamError

if TYPE_CHECKING:
    from eventfabric.aws.queues import Queues
    from eventfabric.ports import Ports
    from eventfabric.services.catalogue.changes import MemberChange, PastChange
    from eventfabric.services.operations.declared import RegionDeclared
    from eventfabric.services.operations.differences import DeclaredDifference
    from eventfabric.stream_topology import StreamTopology
    from eventfabric.topology import Topology

_STREAM_COLUMNS: Final = (
    *("stream", "region", "state", "lanes", "durability", "days", "formats", "owner"),
    *("last change", "at", "by", "version"),
)
_SUBSCRIPTION_COLUMNS: Final = (
    *("stream", "subscription", "region", "state", "incarnation", "since"),
    *("owner", "contact", "handler", "version"),
)
_CHANGE_COLUMNS: Final = ("at", "stream", "region", "change", "of", "by", "version", "what")

FabricName = Annotated[
    str | None,
    typer.Option(
        "--fabric",
        help="Name of the fabric, such as shop or shop_dev, where no definition is at hand. Needs STREAM.",
    ),
]


@dataclass(frozen=True)
class Declarations:
    """Access to what is declared: by a definition, or by no more than the fabric's name."""

    fabric: str
    region: str
    ports: "Ports"
    ports_by_name: "Ports"
    """Ports that go by what is declared, also of streams that the definition lacks."""
    queues: "Queues"
    topology: "Topology | None"

    @classmethod
    def of(
        cls,
        fabric: FabricName = None,
        definition: Definition = None,
        region: RegionName = None,
        profile: Profile = None,
        endpoint_url: Endpoint = None,
    ) -> "Declarations":
        """Connect as the options say. Raises DefinitionError, SettingError, WrongRegionError, typer.BadParameter."""
        from eventfabric.aws.clients import Clients, session_for
        from eventfabric.aws.queues import Queues
        from eventfabric.aws.region import aws_ports
        from eventfabric.sdk.connecting import connected
        from eventfabric.settings import fabric_named, region_named

        access = Access.of(definition, profile, endpoint_url)
        session = session_for(endpoint_url, profile=profile)
        if fabric is None:
            connection = access.to(region)
            topology, region = connection.topology, connection.region
            name = topology.fabric
        elif definition is not None:
            raise typer.BadParameter("allowed: one of --fabric and --definition")
        else:
            topology, name = None, fabric_named(fabric)
        if not (region or session.region_name or region_named()):
            raise typer.BadParameter(
                "--fabric: allowed: beside --region, AWS_REGION or a profile with a Region"
            )
        region, _, by_name = connected(
            name, region, regions=(), failover=(), session=session, endpoint_url=endpoint_url
        )
        clients = Clients(region, session=session, endpoint_url=endpoint_url)
        ports = by_name if topology is None else aws_ports(topology, clients)
        return cls(name, region, ports, by_name, Queues(name, clients), topology)

    def streams(self, only: str | None) -> "list[StreamTopology]":
        """Return that stream, defined or not, or all of the definition. SettingError: nobody knows which there are."""
        from eventfabric.definition.schema import Stream
        from eventfabric.stream_topology import StreamTopology

        if only is None and self.topology is None:
            raise SettingError(
                "STREAM", only, "the name of a stream, since no definition says which there are"
            )
        if only is None or (self.topology is not None and only in self.topology.streams):
            assert self.topology is not None
            return self.topology.streams_in(self.region) if only is None else [self.topology.stream(only)]
        return [StreamTopology(self.fabric, only, Stream(name=only), ())]  # enough to find its table


@grouped
def declared(
    stream: Annotated[
        str | None, typer.Argument(help="Only this stream. Default: all of the definition.")
    ] = None,
    *,
    history: Annotated[
        bool,
        typer.Option(
            "--history", help="Show the changes instead: who made which, when, and what is different."
        ),
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, help="With --history: number of changes, the newest of all streams.")
    ] = 20,
    declarations: Declarations,
    json: Json = False,
) -> None:
    """Show what is deployed, Region by Region: who declared what, when, and with which version.

    Compares that with the definition and with what is there. The exit code is 1 if anything differs, or a Region cannot
    be read; each difference comes with what to do about it.

    Example: eventfabric declared orders

    Example: eventfabric declared orders --history --limit 5

    Example: eventfabric declared orders --fabric shop --region us-east-1
    """
    streams = declarations.streams(stream)
    if history:
        _show_history(declarations, streams, limit, as_json=json)
        return
    read = {own.name: _read(declarations, own) for own in streams}
    differing = [
        difference for name, own in read.items() for difference in _differences(declarations, name, own)
    ]
    if json:
        show_json(_declared_json(declarations.fabric, read, differing))
    else:
        _show(declarations.fabric, read, differing)
    _complain_of_versions(own for every in read.values() for own in every)
    if complain_of_unread(read.values()) or differing:
        raise typer.Exit(NOT_SO)


def _complain_of_versions(read: "Iterable[RegionDeclared]") -> None:
    """Say which subscriptions run a version of this library that will not go together with later ones."""
    from eventfabric.model.partly_read import readable_of

    for own in read:
        known = {} if own.declaration is None else readable_of(own.declaration.subscriptions)
        for facts in known.values():
            for part in deprecated_among(PartKind.VERSION, [facts.version]):
                complain(f"{facts.name} in {own.region} runs version {facts.version}: {part}")


def complain_of_unread(read: "Iterable[Iterable[RegionDeclared]]") -> bool:
    """Say which Regions could not be read, and why. Return True if there is one."""
    unread = {known.region: known.error for own in read for known in own if known.error}
    for region, error in unread.items():
        complain(
            f"{region} cannot be read, so what is declared there is shown as far as it has come here: {error}"
        )
    return bool(unread)


def _read(declarations: Declarations, stream: "StreamTopology") -> "list[RegionDeclared]":
    from eventfabric.aws.clients import CONNECTIONS
    from eventfabric.runtime.threads import Threads
    from eventfabric.services.operations.declared import DeclaredReader

    is_defined = declarations.topology is not None and stream.name in declarations.topology.streams
    ports = declarations.ports if is_defined else declarations.ports_by_name
    reader = DeclaredReader(ports, Threads(CONNECTIONS))
    try:
        return reader.read(stream, stream.definition.regions)
    except UnknownStreamError:
        if declarations.topology is not None:
            declarations.topology.stream(stream.name)  # its error names the streams that there are
        raise


def _differences(
    declarations: Declarations, stream: str, read: "list[RegionDeclared]"
) -> "Iterator[DeclaredDifference]":
    from eventfabric.aws.clients import CONNECTIONS
    from eventfabric.runtime.threads import Threads
    from eventfabric.services.delivery.side_by_side import results_of
    from eventfabric.services.operations.declared import presence_of_queue
    from eventfabric.services.operations.differences import differences, queues_to_look_at

    topology = declarations.topology
    wanted = queues_to_look_at(read, topology, stream)
    calls = [partial(presence_of_queue, partial(declarations.queues.look, *own)) for own in wanted]
    presences = dict(zip(wanted, results_of(calls, Threads(CONNECTIONS)), strict=True))
    return differences(stream, read, topology, presences)


def _show(
    fabric: str, read: "dict[str, list[RegionDeclared]]", differing: "list[DeclaredDifference]"
) -> None:
    rows = [(name, own) for name, every in read.items() for own in every]
    streams = [_stream_row(name, own) for name, own in rows]
    show_table(fabric, _STREAM_COLUMNS, streams, or_records=True)
    say("")
    subscriptions = [row for name, own in rows for row in _subscription_rows(name, own)]
    show_table("", _SUBSCRIPTION_COLUMNS, subscriptions, or_records=True)
    say("")
    for difference in differing:
        say(str(difference))
    count = len(differing)
    say(f"{count:,} difference{'s' if count > 1 else ''}" if differing else "nothing differs")


def _stream_row(stream: str, own: "RegionDeclared") -> tuple[object, ...]:
    if own.declaration is None:
        return (stream, own.region, "not declared", *[""] * (len(_STREAM_COLUMNS) - 3))
    facts, change = own.declaration.stream, own.declaration.change
    return (
        *(stream, own.region, _state(own), facts.lanes, facts.durability, facts.retention_days or ""),
        *(f"{facts.reads_required}/{facts.writes_required}", facts.owner),
        *(_change(change.kind, change.of), _time(change.at_ms), _short(change.by), change.version),
    )


def _state(own: "RegionDeclared") -> str:
    """Say if events are published to a stream in a Region."""
    assert own.declaration is not None
    facts = own.declaration.stream
    if own.is_former:
        return "left"
    if not facts.is_deployed:
        return "undeployed"
    return f"closing since {_time(facts.closing_since_ms)}" if own.region in facts.closing else "deployed"


def _subscription_rows(stream: str, own: "RegionDeclared") -> Iterator[tuple[object, ...]]:
    from eventfabric.model.partly_read import readable_of

    for facts in readable_of(own.declaration.subscriptions).values() if own.declaration is not None else ():
        yield (
            *(stream, facts.name, own.region, facts.state.value, facts.incarnation, _time(facts.since_ms)),
            *(facts.owner, facts.contact, facts.handler, facts.version),
        )


def _declared_json(
    fabric: str, read: "dict[str, list[RegionDeclared]]", differing: "list[DeclaredDifference]"
) -> dict[str, object]:
    return {
        "fabric": fabric,
        "streams": {name: [_as_json(known) for known in own] for name, own in read.items()},
        "differences": [_difference_json(difference) for difference in differing],
    }


def _as_json(own: "RegionDeclared") -> dict[str, Any]:
    from eventfabric.model.partly_read import readable_of

    known: dict[str, Any] = {"region": own.region, "left": own.is_former}
    if own.declaration is not None:
        known |= {
            "stream": _facts_json(own.declaration.stream),
            "subscriptions": [
                _facts_json(facts) for facts in readable_of(own.declaration.subscriptions).values()
            ],
            "change": _facts_json(own.declaration.change),
        }
    return {**known, "error": own.error} if own.error else known


def _facts_json(facts: object) -> Any:
    import msgspec

    return msgspec.to_builtins(facts)


def _difference_json(difference: "DeclaredDifference") -> dict[str, object]:
    return {
        "stream": difference.stream,
        "region": difference.region,
        "subscription": difference.subscription or None,
        "what": difference.what,
        "do": difference.do,
    }


def _show_history(
    declarations: Declarations, streams: "list[StreamTopology]", limit: int, *, as_json: bool
) -> None:
    """Show the newest changes of these streams, newest first, as far as they have come to the own Region."""
    from eventfabric.model import StreamName
    from eventfabric.services.catalogue.changes import changes

    read = {stream.name: _read(declarations, stream) for stream in streams}

    def changes_of(stream: "StreamTopology") -> "Iterator[tuple[str, PastChange]]":
        regions = [own.region for own in read[stream.name]]
        for past in changes(declarations.ports.log_of(stream), StreamName(stream.name), regions):
            yield stream.name, past

    newest_first = merge(*map(changes_of, streams), key=lambda row: -row[1].change.at_ms)
    rows = list(islice(newest_first, limit))
    if as_json:
        show_json({"fabric": declarations.fabric, "history": [_past_json(*row) for row in rows]})
    else:
        shown = [_past_row(*row) for row in rows]
        show_table(declarations.fabric, _CHANGE_COLUMNS, shown, or_records=True)
    if complain_of_unread(read.values()):
        raise typer.Exit(NOT_SO)


def _past_row(stream: str, past: "PastChange") -> tuple[object, ...]:
    change = past.change
    what = "; ".join(_member(change.of, member) for member in past.members) or "nothing"
    return (
        *(_time(change.at_ms), stream, past.region, change.kind, change.of or "stream"),
        *(_short(change.by), change.version, what),
    )


def _member(of: str, change: "MemberChange") -> str:
    beside = f"{change.of}: " if change.of not in ("", of) else ""
    before = "" if change.before is None else f"{_text(change.before)} -> "
    return f"{beside}{change.member} {before}{_text(change.after)}"


def _text(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return ", ".join(map(str, value)) or "nothing" if isinstance(value, tuple) else str(value)


def _past_json(stream: str, past: "PastChange") -> dict[str, object]:
    return {
        "stream": stream,
        "region": past.region,
        **_facts_json(past.change),
        "changed": [_facts_json(member) for member in past.members],
    }


def _change(kind: str, of: str) -> str:
    return f"{of}: {kind}" if of else kind


def _short(by: str) -> str:
    """Shorten the ARN of a stack to the stack's name."""
    before, mark, stack = by.partition(":stack/")
    return stack.partition("/")[0] if mark and before.startswith("arn:") else by


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds") if ms else ""
