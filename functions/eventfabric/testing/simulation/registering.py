"""Registrations of schemas in the simulation: several at once, that go together or do not, and those that come back.

Each registers schemas of one type, or of two. Most name one more optional member, which breaks nobody. Some say what a
certain member is, and two of those exclude each other: whoever comes later must hear so, unless a person accepts it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Final, TypeVar

from eventfabric.contracts.document import SchemaDocument, read_schema
from eventfabric.errors import EventFabricError, OutcomeUnknownError, SchemaRefusedError
from eventfabric.model import EMPTY_TAIL, Region, SchemaLane, StreamName
from eventfabric.services.catalogue.schema_comparison import comparison_of
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.services.catalogue.schema_push import Registration
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import Faults, SimulatedCrash
from eventfabric.testing.simulation import history_of_schemas as history
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.process import Process
from eventfabric.testing.simulation.registry import newest_count, records_of, stream_in
from eventfabric.testing.simulation.world import World
from eventfabric.wire.schema_record import index_of

TYPES: Final = ("Placed", "Paid")
"""Types of which schemas are registered."""
_KINDS: Final = ("integer", "string")
_AGAIN_SECONDS: Final = 20.0
_TRIES_MAX: Final = 4
"""Number of tries after which a pipeline gives up, once nothing fails any more."""
_AT_ONCE: Final = 3
_LOST_SHARE: Final = 0.2
_LOST_SECONDS: Final = (0.5, 10.0)
_BACK_SHARE: Final = 0.4
_KIND_SHARE: Final = 0.25

Documents = Mapping[str, SchemaDocument]
T = TypeVar("T")


class _Lost(Faults):
    """Calls of a pipeline of which the reply to the first put is lost, while others go on."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process
        self._is_lost = False

    def call(self, name: str, effect: Callable[[], T]) -> T:
        """Make a call of its log."""
        result = effect()
        if name == "log.append" and not self._is_lost:
            self._is_lost = True
            self._process.breathe(self._process.random.uniform(*_LOST_SECONDS))
            raise OutcomeUnknownError(name, "simulated: the reply was lost")
        return result


def register(world: World, happening: Happening) -> None:
    """Register schemas as a pipeline does: again as long as there is no answer."""
    random = _random(world, happening)
    types = random.choice((TYPES[:1], TYPES[1:], TYPES, TYPES))
    documents = {type_: _schema(world, random, type_) for type_ in types}
    _until_answered(world, documents)


def register_both(world: World, happening: Happening) -> None:
    """Register two schemas of a type at the same time, which exclude each other."""
    type_ = TYPES[happening.number % len(TYPES)]
    for kind in _KINDS:
        _spawn(world, {type_: _new(world, type_, kind)})


def register_several(world: World, happening: Happening) -> None:
    """Let several pipelines register at the same time. What one registers has no effect on the others."""
    random = _random(world, happening)
    type_ = TYPES[happening.number % len(TYPES)]
    for _ in range(_AT_ONCE):
        _spawn(world, {type_: _schema(world, random, type_)})


def accept_break(world: World, happening: Happening) -> None:
    """Register a schema that may exclude those before it, as a person does who accepts that."""
    random = _random(world, happening)
    type_ = TYPES[happening.number % len(TYPES)]
    kinds = [_kind(own) for own in world.registry.made[type_] if _kind(own)]
    kind = random.choice([other for other in _KINDS if other not in kinds[-1:]])
    _until_answered(world, {type_: _new(world, type_, kind)}, reason="agreed")


def _random(world: World, happening: Happening) -> Random:
    return Random(f"{world.plan.seed} {happening.what} {happening.after_seconds}")


def _spawn(world: World, documents: Documents) -> None:
    world.schedule.spawn(
        f"register {len(world.entries)} {world.stack_contents}", _until_answered, world, documents
    )


def _schema(world: World, random: Random, type_: str) -> SchemaDocument:
    """Return a schema that is new, or that was registered before."""
    given = [own for own in world.registry.made[type_] if (type_, own.digest) in world.registry.given]
    if given and random.random() < _BACK_SHARE:
        return random.choice(given)
    return _new(world, type_, random.choice(_KINDS) if random.random() < _KIND_SHARE else "")


def _kind(schema: SchemaDocument) -> str:
    """Return what a schema says that the member is which two may differ in; empty: nothing."""
    assert isinstance(schema.value, dict), "objects only are made here"
    kind: str = schema.value["properties"].get("kind", {}).get("type", "")
    return kind


def _new(world: World, type_: str, kind: str) -> SchemaDocument:
    world.stack_contents += 1
    members: dict[str, object] = {f"member{world.stack_contents}": {"type": "integer"}}
    if kind:
        members["kind"] = {"type": kind}
    schema = read_schema(json.dumps({"type": "object", "properties": members}), where="-")
    world.registry.made[type_].append(schema)
    return schema


def _until_answered(world: World, documents: Documents, reason: str = "") -> None:
    world.deployments += 1
    tries = 0
    while not _is_over(world, documents, reason, is_last=tries >= _TRIES_MAX):
        tries += world.healed
        world.schedule.pause(_AGAIN_SECONDS)
    world.deployments -= 1


def deployed_stream(world: World) -> StreamTopology:
    """Return the plan's stream in the Regions in which it is deployed now."""
    return stream_in(world.topology.stream(world.plan.stream), world.registry.regions)


def _is_over(world: World, documents: Documents, reason: str, *, is_last: bool) -> bool:
    """Ask once, in the Region that is the first now. Return True if there was an answer."""
    while world.registry.is_held or world.registry.regions[0] in world.lost:
        world.schedule.pause(1.0)
    world.registry.under_way += 1
    try:
        return _is_answered(world, documents, reason, is_last=is_last)
    finally:
        world.registry.under_way -= 1


def _is_answered(world: World, documents: Documents, reason: str, *, is_last: bool) -> bool:
    stream = deployed_stream(world)
    region = Region(stream.definition.regions[0])
    process = Process(world, f"register {world.schedule.steps}", region)
    log = process.ports.log_of(stream)
    if world.may_fail and process.random.random() < _LOST_SHARE:
        log = _Lost(process).log(log)
    since, refused, failed = _count(world), False, ""
    try:
        added = Registration(
            SchemaReader(stream, log),
            comparison_of(stream),
            process.ports.clock,
            process.ports.entropy,
            by="pipeline",
            request_id=process.name,
            accepted_because=reason,
        ).register(documents)
    except SchemaRefusedError:
        added, refused = {}, True
    except (EventFabricError, SimulatedCrash) as error:
        if not is_last:
            return False
        added, failed = {}, type(error).__name__
    for type_, own in added.items():
        world.registry.given[type_, own.digest] = own.number
        process.tell(history.SchemaRegistered, region=region, of=type_, number=own.number, digest=own.digest)
    process.tell(
        history.SchemasAsked,
        request=process.name,
        schemas={type_: schema.digest for type_, schema in documents.items()},
        texts={type_: schema.content.decode() for type_, schema in documents.items()},
        since=since,
        until=_count(world),
        reason=reason,
        refused=refused,
        failed=failed,
    )
    return True


def _count(world: World) -> int:
    """Return how many registrations there were; 0 if that cannot be read."""
    try:
        return newest_count(world.cloud, world.topology.stream(world.plan.stream), world.plan.regions)
    except EventFabricError:
        return 0


def list_schemas(world: World) -> None:
    """Note what each Region has of all registered schemas, once nothing fails any more."""
    stream = world.topology.stream(world.plan.stream)
    for table_region in world.plan.regions:
        log = world.cloud.log(stream.name, table_region)
        for region in world.plan.regions:
            lane = SchemaLane.of(Region(region), StreamName(stream.name))
            if log.tail(lane) != EMPTY_TAIL:
                world.note(
                    history.SchemasListed,
                    "world",
                    region=table_region,
                    lane=region,
                    versions=tuple(_listed(SchemaReader(stream, log), Region(region))),
                )
    for region in world.plan.regions:
        _list_puts(world, stream, region)


def _listed(reader: SchemaReader, region: Region) -> Iterator[history.ListedSchema]:
    try:
        types = reader.registered(region).index.types
    except EventFabricError as error:
        yield history.ListedSchema("", 0, "", f"cannot be read: {error}")
        return
    for type_, versions in types.items():
        for own in versions:
            try:
                text = reader.document(type_, own).content.decode()
            except EventFabricError as error:
                text = f"cannot be read: {error}"
            yield history.ListedSchema(type_, own.number, own.digest, text, own.accepted_because)


def _list_puts(world: World, stream: StreamTopology, region: str) -> None:
    lane = SchemaLane.of(Region(region), StreamName(stream.name))
    for record in records_of(world.cloud.log(stream.name, region), lane):
        try:
            index = index_of(record)
        except EventFabricError:
            continue  # the list of schemas says so
        assert index.change is not None, "every record says who has put it"
        world.note(
            history.SchemasPut,
            "world",
            region=region,
            sequence=int(record.sequence),
            request=index.change.request_id,
            count=index.count,
            versions={
                type_: tuple(
                    history.PutVersion(own.number, own.digest, own.accepted_because) for own in versions
                )
                for type_, versions in index.types.items()
            },
        )


REGISTERS: Final[dict[str, Callable[[World, Happening], None]]] = {
    function.__name__: function for function in (register, register_both, register_several, accept_break)
}
