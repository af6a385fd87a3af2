"""Types whose end is announced, at publishing: warned of once, marked, counted nowhere else, and refused at the end."""

import asyncio
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from eventfabric import AsyncFabric, Event, Fabric, deprecations, limits
from eventfabric.definition.sections import Deprecation, TypeSection
from eventfabric.deprecations import FabricDeprecationWarning
from eventfabric.errors import EndedTypeError, InvalidEventError
from eventfabric.model import (
    GENERATION_FIRST,
    HOPS,
    HeaderValue,
    Lane,
    LaneIndex,
    Payload,
    Region,
    SequenceNumber,
    StreamName,
)
from eventfabric.model.deprecation import DeprecatedType
from eventfabric.ports import Attempt
from eventfabric.sdk.publications import DeliveryPublications, Publications
from eventfabric.stream_topology import StreamTopology
from eventfabric.topology import Topology
from tests.support.memory_fabric import HOME, STREAM, MemoryFabric
from tests.support.schema_folders import PLACED, checks
from tests.support.subscribed_stream import topology

SINCE, SUNSET = "2026-09-01", "2026-12-01"
DAY = 86_400
MARKS = {
    "deprecated": True,
    "deprecationfrom": "2026-09-01T00:00:00Z",
    "deprecationsunset": "2026-12-01T00:00:00Z",
    "deprecationmigration": "eventfabric:orders/accepted",
}
DATA = {"order": "A-1"}


@pytest.fixture(autouse=True)
def nobody_was_warned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(deprecations, "_warned", set())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FabricDeprecationWarning)
        yield


def ending(use: str | None = "accepted", sunset: str | None = SUNSET, *, lanes: int = 2) -> Topology:
    plain = topology(lanes=lanes)
    section = TypeSection(deprecated=Deprecation(since=SINCE, sunset=sunset, use=use, why="renamed"))
    orders = replace(plain.definition.streams[STREAM], types={"placed": section})
    return Topology(replace(plain.definition, streams={STREAM: orders}))


@pytest.fixture
def memory_fabric() -> MemoryFabric:
    return MemoryFabric(ending())


@pytest.fixture
def fabric(memory_fabric: MemoryFabric) -> Fabric:
    return memory_fabric.producer()


def singly(fabric: Fabric) -> None:
    fabric.publish(STREAM, key="k", type="placed", data=DATA)


def with_more(fabric: Fabric) -> None:
    fabric.publish(STREAM, key="k", type="placed", data=DATA, id="own", headers={"other": 1})


def once(fabric: Fabric) -> None:
    fabric.publish(STREAM, key="k", type="placed", data=DATA, id="own", once=True)


def many(fabric: Fabric) -> None:
    fabric.publish_many(STREAM, [Event(key="k", type="placed", data=DATA)])


def by_publisher(fabric: Fabric) -> None:
    with fabric.publisher(STREAM) as publisher:
        publisher.publish(key="k", type="placed", data=DATA)


def in_bulk(fabric: Fabric) -> None:
    with fabric.publisher(STREAM) as publisher:
        for _ in range(2):  # the second time, the type is known
            publisher.publish_all("placed", [("k", DATA), ("l", DATA)])


def in_a_transaction(fabric: Fabric) -> None:
    with fabric.transaction() as transaction:
        transaction.publish(STREAM, key="k", type="placed", data=DATA)


def asynchronously(fabric: Fabric) -> None:
    asyncio.run(AsyncFabric(fabric).publish(STREAM, key="k", type="placed", data=DATA))


WAYS: list[Callable[[Fabric], None]] = [
    *(singly, with_more, once, many, by_publisher, in_bulk, in_a_transaction, asynchronously)
]


@pytest.mark.parametrize("way", WAYS)
def test_every_event_says_so(
    way: Callable[[Fabric], None], fabric: Fabric, memory_fabric: MemoryFabric
) -> None:
    way(fabric)
    way_again = memory_fabric.events()
    assert way_again
    for event in way_again:
        assert {name: event.headers.get(name) for name in MARKS} == MARKS


@pytest.mark.parametrize("way", WAYS)
def test_the_producer_is_warned_once_whatever_way_it_publishes(
    way: Callable[[Fabric], None], fabric: Fabric, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "eventfabric"), warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        way(fabric)
        singly(fabric)
        fabric.publish(STREAM, key="k", type="accepted", data=DATA)
    [warned] = [own for own in shown if own.category is FabricDeprecationWarning]
    said = str(warned.message)
    if way not in (by_publisher, asynchronously):  # these publish in threads of the fabric's own
        assert warned.filename == __file__
    for word in ("orders", "placed", SINCE, SUNSET, "accepted", "renamed"):
        assert word in said
    assert [record.message for record in caplog.records if record.message == said] == [said]


@pytest.mark.parametrize("way", WAYS)
def test_after_the_sunset_it_is_refused_with_what_to_use(
    way: Callable[[Fabric], None], fabric: Fabric, memory_fabric: MemoryFabric
) -> None:
    memory_fabric.clock.advance(365 * DAY)
    with pytest.raises(EndedTypeError) as refused:
        way(fabric)
    [problem] = refused.value.problems
    assert problem.path.endswith("type")
    assert SUNSET in problem.found
    assert "'accepted'" in problem.allowed
    assert memory_fabric.events() == []


def test_many_events_that_are_wrong_in_several_ways_are_all_named_in_the_error_for_any(
    fabric: Fabric, memory_fabric: MemoryFabric
) -> None:
    memory_fabric.clock.advance(365 * DAY)
    ended, bad = Event(key="k", type="placed", data=DATA), Event(key="", type="accepted", data=DATA)
    good = Event(key="k", type="accepted", data=DATA)
    with pytest.raises(InvalidEventError) as refused:
        fabric.publish_many(STREAM, [good, ended, bad])
    assert type(refused.value) is InvalidEventError
    assert [problem.path for problem in refused.value.problems] == ["events[1].type", "events[2].key"]
    with pytest.raises(EndedTypeError) as all_ended:
        fabric.publish_many(STREAM, [ended, good, ended])
    assert [problem.path for problem in all_ended.value.problems] == ["events[0].type", "events[2].type"]
    assert memory_fabric.events() == []


def test_a_process_that_runs_into_the_sunset_is_refused_from_then_on(
    fabric: Fabric, memory_fabric: MemoryFabric
) -> None:
    singly(fabric)
    in_bulk(fabric)
    before = len(memory_fabric.events())
    memory_fabric.clock.advance(365 * DAY)
    for way in WAYS:
        with pytest.raises(EndedTypeError, match="ended on"):
            way(fabric)
    fabric.publish(STREAM, key="k", type="accepted", data=DATA)
    assert len(memory_fabric.events()) == before + 1


@pytest.mark.parametrize("way", [singly, in_bulk, with_more])
def test_it_is_refused_from_the_first_moment_of_the_day(
    way: Callable[[Fabric], None], fabric: Fabric, memory_fabric: MemoryFabric
) -> None:
    sunset_ms = DeprecatedType(type="placed", since=SINCE, sunset=SUNSET).sunset_ms
    memory_fabric.clock.advance((sunset_ms - 1 - memory_fabric.clock.now_ms()) / 1000)
    singly(fabric)
    memory_fabric.clock.advance(0.001)
    with pytest.raises(EndedTypeError):
        way(fabric)


def test_without_a_sunset_it_is_never_refused_and_without_another_type_none_is_named() -> None:
    memory_fabric = MemoryFabric(ending(use=None, sunset=None))
    memory_fabric.clock.advance(3_650 * DAY)
    singly(memory_fabric.producer())
    [event] = memory_fabric.events()
    assert {"deprecated", "deprecationfrom"} == MARKS.keys() & event.headers.keys()
    ended = MemoryFabric(ending(use=None))
    ended.clock.advance(365 * DAY)
    with pytest.raises(EndedTypeError, match="a type that has not ended"):
        singly(ended.producer())


def test_other_types_are_as_they_were(fabric: Fabric, memory_fabric: MemoryFabric) -> None:
    fabric.publish(STREAM, key="k", type="accepted", data=DATA)
    [event] = memory_fabric.events()
    assert event.headers == {}


def test_a_schema_is_named_beside_it(memory_fabric: MemoryFabric, tmp_path: Path) -> None:
    fabric = memory_fabric.producer(schemas=checks(tmp_path, {f"{STREAM}/placed": PLACED}))
    for way in (singly, in_bulk, with_more):
        way(fabric)
    for event in memory_fabric.events():
        assert {"dataschema", *MARKS} <= event.headers.keys()
    with pytest.raises(InvalidEventError):
        fabric.publish(STREAM, key="k", type="placed", data={"order": 1})


def test_an_event_with_all_headers_that_it_may_have_keeps_them(
    fabric: Fabric, memory_fabric: MemoryFabric
) -> None:
    headers: dict[str, HeaderValue] = {f"h{number}": number for number in range(limits.HEADERS_MAX)}
    fabric.publish(STREAM, key="k", type="placed", data=DATA, headers=headers)
    [event] = memory_fabric.events()
    assert event.headers == headers


def test_a_producer_that_is_connected_learns_of_it_while_it_runs(memory_fabric: MemoryFabric) -> None:
    streams = {"now": Topology(topology(lanes=2).definition).stream(STREAM)}

    class Changing(Topology):
        def stream(self, name: str) -> StreamTopology:
            return streams["now"]

    fabric = memory_fabric.producer(streams=Changing(memory_fabric.topology.definition))  # type: ignore[arg-type]  # a topology will do
    singly(fabric)
    streams["now"] = ending().stream(STREAM)
    singly(fabric)
    assert [bool(event.headers) for event in memory_fabric.events()] == [False, True]


def delivery(clock_fabric: MemoryFabric) -> DeliveryPublications:
    publications = Publications(
        "billing",
        StreamName("source"),
        [ending().stream(STREAM)],
        region=Region(HOME),
        clock=clock_fabric.clock,
        may_repeat=True,
    )
    return DeliveryPublications(publications, Attempt("billing", 1, 10_000))


def test_a_handler_meets_it_like_a_producer(memory_fabric: MemoryFabric) -> None:
    lane = Lane(Region(HOME), GENERATION_FIRST, LaneIndex(0))
    content = ("e", "paid", "k", 0, "/shop", dict[str, HeaderValue](), Payload.of(None))
    source = Event.from_log(content, lane, SequenceNumber(0))
    publishing = delivery(memory_fabric)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        for _ in range(2):
            publishing.publish(
                STREAM, {"key": "k", "type": "placed", "data": DATA}, source, name=None, once=False
            )
    assert [own.category for own in shown] == [FabricDeprecationWarning]
    assert publishing.published[0].row[5] == {HOPS: 1, **MARKS}
    memory_fabric.clock.advance(365 * DAY)
    with pytest.raises(EndedTypeError):
        publishing.publish(
            STREAM, {"key": "k", "type": "placed", "data": DATA}, source, name=None, once=False
        )


def test_the_attributes_are_those_of_cloudevents_and_names_that_every_event_may_have() -> None:
    end = DeprecatedType(type="placed", since=SINCE, sunset=SUNSET, use="Order accepted")
    headers = end.headers("orders")
    assert headers["deprecationmigration"] == "eventfabric:orders/Order%20accepted"
    assert all(len(name) <= limits.HEADER_NAME_CHARACTERS_MAX for name in headers)
    assert DeprecatedType(type="placed", since=SINCE).headers("orders").keys() == {
        "deprecated",
        "deprecationfrom",
    }


def test_the_sunset_begins_with_its_day() -> None:
    assert DeprecatedType(type="placed", since=SINCE, sunset="1970-01-02").sunset_ms == 86_400_000
    assert DeprecatedType(type="placed", since=SINCE).sunset_ms > 10**15
