"""Schemas at publishing: every way to publish refuses what does not fit, by itself, before anything is written."""

import asyncio
import enum
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from eventfabric import AsyncFabric, Event, Fabric, limits
from eventfabric.contracts.identity import parse_schema_uri
from eventfabric.errors import (
    EventTooLargeError,
    IndeterminateAppendError,
    InvalidEventError,
    InvalidSchemaError,
)
from eventfabric.model import Region
from eventfabric.ports import Log
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.memory_fabric import HOME, STREAM
from tests.support.producers import always, events, producer
from tests.support.schema_folders import PLACED, checks
from tests.support.spans import open_span
from tests.support.subscribed_stream import SubscribedStream

GOOD, BAD = {"order": "A-1"}, {"order": 1}
SECRET = "opensesame"


@pytest.fixture
def memory_fabric() -> SubscribedStream:
    return SubscribedStream(lanes=2)


@pytest.fixture
def fabric(memory_fabric: SubscribedStream, tmp_path: Path) -> Fabric:
    return memory_fabric.producer(schemas=checks(tmp_path, {f"{STREAM}/placed": PLACED}))


def singly(fabric: Fabric, data: object) -> None:
    fabric.publish(STREAM, key="k", type="placed", data=data)


def again(fabric: Fabric, data: object) -> None:
    """Publish when key and type are known, which takes a shorter way."""
    singly(fabric, GOOD)
    singly(fabric, data)


def with_more(fabric: Fabric, data: object) -> None:
    fabric.publish(STREAM, key="k", type="placed", data=data, id="own", time=datetime.now(UTC))


def once(fabric: Fabric, data: object) -> None:
    fabric.publish(STREAM, key="k", type="placed", data=data, id=str(uuid4()), once=True)


def many(fabric: Fabric, data: object) -> None:
    fabric.publish_many(STREAM, [Event(key="k", type="placed", data=data)])


def by_publisher(fabric: Fabric, data: object) -> None:
    with fabric.publisher(STREAM) as publisher:
        publisher.publish(key="k", type="placed", data=data)


def as_event(fabric: Fabric, data: object) -> None:
    with fabric.publisher(STREAM) as publisher:
        publisher.publish_event(Event(key="k", type="placed", data=data))


def in_bulk(fabric: Fabric, data: object) -> None:
    with fabric.publisher(STREAM) as publisher:
        publisher.publish_all("placed", [("k", data)])


def in_a_transaction(fabric: Fabric, data: object) -> None:
    with fabric.transaction() as transaction:
        transaction.publish(STREAM, key="k", type="placed", data=data)


def in_a_loop(fabric: Fabric, data: object) -> None:
    async def run() -> None:
        async with AsyncFabric(fabric) as own:
            await own.publish(STREAM, key="k", type="placed", data=data)

    asyncio.run(run())


def by_an_async_publisher(fabric: Fabric, data: object) -> None:
    async def run() -> None:
        async with AsyncFabric(fabric) as own, own.publisher(STREAM) as publisher:
            await publisher.publish(key="k", type="placed", data=data)

    asyncio.run(run())


WAYS = (
    singly,
    again,
    with_more,
    once,
    many,
    by_publisher,
    as_event,
    in_bulk,
    in_a_transaction,
    in_a_loop,
    by_an_async_publisher,
)
Way = Callable[[Fabric, object], None]
each_way = pytest.mark.parametrize("publish", WAYS)


@each_way
def test_what_fits_is_published_and_says_by_which_schema(
    memory_fabric: SubscribedStream, fabric: Fabric, publish: Way
) -> None:
    publish(fabric, GOOD)
    for event in events(memory_fabric, HOME):
        assert event.data == GOOD
        identity = parse_schema_uri(event.headers["dataschema"])
        assert identity is not None
        assert (identity.stream, identity.type) == (STREAM, "placed")


@each_way
@pytest.mark.parametrize(
    ("data", "path"),
    [
        (BAD, "data/order"),
        ({}, "data"),
        (GOOD | {SECRET: SECRET}, "data"),
        (GOOD | {"total": SECRET}, "data/total"),
        ([], "data"),
        (None, "data"),
        (b"bytes", "data"),
    ],
)
def test_what_does_not_fit_is_refused_and_never_shown(
    memory_fabric: SubscribedStream, fabric: Fabric, publish: Way, data: object, path: str
) -> None:
    with pytest.raises(InvalidEventError) as refused:
        publish(fabric, data)
    [problem] = refused.value.problems
    assert problem.path.removeprefix("events[0].") == path
    assert SECRET not in str(refused.value)
    assert all(event.data == GOOD for event in events(memory_fabric, HOME))


@dataclass
class Placed:
    order: str
    placed: datetime
    total: Decimal


class Currency(enum.Enum):
    EUR = "EUR"


@each_way
def test_the_value_of_what_is_written_is_checked_whatever_it_was_made_of(
    memory_fabric: SubscribedStream, fabric: Fabric, publish: Way
) -> None:
    placed = Placed("A-1", datetime(2026, 11, 30, tzinfo=UTC), Decimal("12.50"))
    of_objects = {"order": Currency.EUR, "placed": placed.placed, "total": placed.total}
    for data in (placed, of_objects, msgspec.Raw(b'{"order":"A"}')):
        publish(fabric, data)
    with pytest.raises(InvalidEventError):
        publish(fabric, Placed("A-1", None, Decimal(1)))  # type: ignore[arg-type]  # which is what the schema refuses
    assert {event.headers.get("dataschema") for event in events(memory_fabric, HOME)} != {None}


@each_way
def test_types_without_a_schema_are_published_as_they_are(
    memory_fabric: SubscribedStream, tmp_path: Path, publish: Way
) -> None:
    others = checks(tmp_path, {f"{STREAM}/shipped": False, "payments/placed": False})
    publish(memory_fabric.producer(schemas=others), BAD)
    assert [event.headers for event in events(memory_fabric, HOME) if event.data == BAD] == [{}]


def test_a_schema_of_elsewhere_is_kept_where_the_type_has_none(
    memory_fabric: SubscribedStream, fabric: Fabric
) -> None:
    headers = {"dataschema": "https://example.com/shipped.avsc", "datacontenttype": "avro/binary"}
    fabric.publish(STREAM, key="k", type="shipped", data=b"\x00", headers=headers)
    assert [event.headers for event in events(memory_fabric, HOME)] == [headers]


def test_another_schema_than_the_types_own_is_refused(
    memory_fabric: SubscribedStream, fabric: Fabric
) -> None:
    singly(fabric, GOOD)
    [event] = events(memory_fabric, HOME)
    fabric.publish(STREAM, key="k", type="placed", data=GOOD, headers={**event.headers, "mine": 1})
    assert events(memory_fabric, HOME)[-1].headers == {**event.headers, "mine": 1}
    with pytest.raises(InvalidEventError) as refused:
        fabric.publish(STREAM, key="k", type="placed", data=GOOD, headers={"dataschema": "urn:other"})
    assert [problem.path for problem in refused.value.problems] == ["headers.dataschema"]


def test_there_is_room_for_the_schema_among_the_headers(fabric: Fabric) -> None:
    most = {f"h{number}": number for number in range(limits.HEADERS_MAX)}
    fabric.publish(STREAM, key="k", type="placed", data=GOOD, headers=dict(list(most.items())[1:]))
    with pytest.raises(InvalidEventError) as refused:
        fabric.publish(STREAM, key="k", type="placed", data=GOOD, headers=most)
    assert [problem.path for problem in refused.value.problems] == ["headers"]


def test_a_bad_event_of_a_batch_is_refused_by_its_index(
    memory_fabric: SubscribedStream, fabric: Fabric
) -> None:
    given: list[tuple[str, object]] = [(f"k{number}", GOOD) for number in range(600)]
    given[400] = ("k400", BAD)
    with fabric.publisher(STREAM) as publisher, pytest.raises(InvalidEventError) as refused:
        publisher.publish_all("placed", given)
    assert [problem.path for problem in refused.value.problems] == ["events[400].data/order"]
    assert len(events(memory_fabric, HOME)) == 400


def test_of_many_events_all_that_do_not_fit_are_named(
    memory_fabric: SubscribedStream, fabric: Fabric
) -> None:
    given = [Event(key="k", type="placed", data=data) for data in (GOOD, BAD, GOOD, {})]
    with pytest.raises(InvalidEventError) as refused:
        fabric.publish_many(STREAM, given)
    assert [problem.path for problem in refused.value.problems] == ["events[1].data/order", "events[3].data"]
    assert events(memory_fabric, HOME) == []


def test_in_bulk_events_are_as_one_by_one(memory_fabric: SubscribedStream, fabric: Fabric) -> None:
    for _ in range(2):
        with fabric.publisher(STREAM) as publisher:
            publisher.publish_all("placed", [(f"k{number % 5}", GOOD) for number in range(600)])
    published = events(memory_fabric, HOME)
    singly(fabric, GOOD)
    assert len(published) == 1_200
    assert {tuple(event.headers.items()) for event in published} == {
        tuple(events(memory_fabric, HOME)[-1].headers.items())
    }


def test_trace_and_schema_stand_beside_each_other(memory_fabric: SubscribedStream, fabric: Fabric) -> None:
    singly(fabric, GOOD)
    with open_span("request"):
        for publish in (singly, in_bulk, many):
            publish(fabric, GOOD)
    for event in events(memory_fabric, HOME)[1:]:
        assert {"dataschema", "traceparent"} <= event.headers.keys()


@each_way
def test_a_stream_may_require_schemas(tmp_path: Path, publish: Way) -> None:
    memory_fabric = SubscribedStream(lanes=2)
    required = _requiring(memory_fabric)
    for schemas in (None, checks(tmp_path, {f"{STREAM}/shipped": True})):
        fabric = required.producer(schemas=schemas)
        with pytest.raises(InvalidEventError) as refused:
            publish(fabric, GOOD)
        [problem] = refused.value.problems
        assert problem.path.removeprefix("events[0].") == "type"
    assert events(required, HOME) == []
    publish(required.producer(schemas=checks(tmp_path, {f"{STREAM}/placed": PLACED})), GOOD)
    assert events(required, HOME)


def test_a_producer_goes_by_what_was_deployed_last(memory_fabric: SubscribedStream, tmp_path: Path) -> None:
    def log_of(stream: StreamTopology, region: Region) -> Log:
        return memory_fabric.cloud.log(stream.name, region)

    optional = memory_fabric.topology
    memory_fabric.declare(optional)
    streams = DeclaredStreams("shop", [Region(HOME)], log_of=log_of, clock=memory_fabric.clock)
    fabric = memory_fabric.producer(streams=streams, schemas=checks(tmp_path, {f"{STREAM}/placed": PLACED}))
    for deployed, is_taken in (
        (optional, True),
        (_requiring(memory_fabric).topology, False),
        (optional, True),
    ):
        memory_fabric.declare(deployed)
        memory_fabric.clock.advance(CATALOGUE_SECONDS + 1)
        fabric.publish(STREAM, key="k", type="placed", data=GOOD)
        for _ in range(2):
            if is_taken:
                fabric.publish(STREAM, key="k", type="shipped", data={})
            else:
                with pytest.raises(InvalidEventError):
                    fabric.publish(STREAM, key="k", type="shipped", data={})


def _requiring(memory_fabric: SubscribedStream) -> SubscribedStream:
    definition = memory_fabric.topology.definition
    streams = {**definition.streams, STREAM: replace(definition.streams[STREAM], schemas="required")}
    memory_fabric.topology = type(memory_fabric.topology)(replace(definition, streams=streams))
    return memory_fabric


def test_a_schema_that_is_none_is_no_fault_of_the_event(
    memory_fabric: SubscribedStream, tmp_path: Path
) -> None:
    fabric = memory_fabric.producer(schemas=checks(tmp_path, {f"{STREAM}/placed": {"$ref": "other.json"}}))
    for publish in WAYS:
        with pytest.raises(InvalidSchemaError):
            publish(fabric, GOOD)


@pytest.mark.parametrize("type_", ["ends\ud800", "../placed", "x" * 128, "ü" * 128])
def test_types_that_no_file_can_be_named_after_have_no_schema(fabric: Fabric, type_: str) -> None:
    for _ in range(2):
        try:
            fabric.publish(STREAM, key="k", type=type_, data=BAD)
        except InvalidEventError as error:
            assert "surrogate" in str(error)


def test_an_event_that_no_record_can_hold_is_too_large_before_it_is_checked(fabric: Fabric) -> None:
    with pytest.raises(EventTooLargeError):
        fabric.publish(STREAM, key="k", type="placed", data={"order": 1, "x": "y" * 300_000}, id="own")


def test_the_name_of_the_schema_counts_among_the_bytes_of_an_event_whichever_way_it_takes(
    memory_fabric: SubscribedStream, fabric: Fabric, tmp_path: Path
) -> None:
    def is_too_large(publish: Way, characters: int) -> bool:
        own = memory_fabric.producer(schemas=checks(tmp_path, {f"{STREAM}/placed": PLACED}))
        try:
            publish(own, {"order": "x" * characters})
        except EventTooLargeError:
            return True
        return False

    sizes = range(limits.RECORD_PAYLOAD_BYTES_MAX)
    first, later = (bisect(sizes, False, key=partial(is_too_large, publish)) for publish in (singly, again))
    assert first == later


def test_what_is_settled_later_stays_as_it_was_checked_then(
    memory_fabric: SubscribedStream, tmp_path: Path
) -> None:
    silent = {HOME: Faults(always(Fault.LOST_REQUEST, "log.append"))}
    unsure = producer(memory_fabric, silent, timeout_seconds=0)
    with pytest.raises(IndeterminateAppendError) as raised:
        singly(unsure, BAD)
    strict = memory_fabric.producer(schemas=checks(tmp_path, {f"{STREAM}/placed": False}))
    strict.publish_again(raised.value)
    assert [event.data for event in events(memory_fabric, HOME)] == [BAD]
