"""Every way to publish takes the fields of an Event, stores all of them, and refuses what is none."""

import asyncio
from collections.abc import Callable
from inspect import signature
from typing import Any, get_args, get_type_hints

import pytest

from eventfabric import AsyncFabric, Event, Fabric
from eventfabric.errors import InvalidEventError
from eventfabric.model import HOPS, EventFields
from tests.support.memory_fabric import HOME, STREAM
from tests.support.producers import events, producer
from tests.support.subscribed_stream import SubscribedStream

EVERY_FIELD = {
    "key": "k",
    "type": "placed",
    "data": {"order": "A-1"},
    "id": "e1",
    "headers": {"tenant": "acme"},
    "time": "2026-01-31T12:00:00.5Z",
    "source": "/shop",
}
"""A value of each, none of which is its default."""


def by_publish(fabric: Fabric, fields: Any) -> None:
    fabric.publish(STREAM, **fields)


def by_publisher(fabric: Fabric, fields: Any) -> None:
    with fabric.publisher(STREAM) as publisher:
        publisher.publish(**fields)


def by_transaction(fabric: Fabric, fields: Any) -> None:
    with fabric.transaction() as transaction:
        transaction.publish(STREAM, **fields)


def by_awaited_publish(fabric: Fabric, fields: Any) -> None:
    asyncio.run(AsyncFabric(fabric).publish(STREAM, **fields))


def by_async_publisher(fabric: Fabric, fields: Any) -> None:
    async def publish() -> None:
        async with AsyncFabric(fabric).publisher(STREAM) as publisher:
            await publisher.publish(**fields)

    asyncio.run(publish())


def by_many(fabric: Fabric, fields: Any) -> None:
    fabric.publish_many(STREAM, [Event(**fields)])


WAYS = [by_publish, by_publisher, by_transaction, by_awaited_publish, by_async_publisher, by_many]


def published(way: Callable[[Fabric, Any], None], **fields: object) -> Event:
    """Publish an event, and return what the log then holds."""
    fabric = SubscribedStream(lanes=1)
    way(producer(fabric), fields)
    (event,) = events(fabric, HOME)
    return event


def test_an_events_fields_are_the_arguments_of_an_event() -> None:
    arguments = dict(signature(Event).parameters)
    hints = get_type_hints(Event.__init__)
    assert {name: str(kind) for name, kind in get_type_hints(EventFields).items()} == {
        name: str(hints[name]) for name in arguments
    }
    assert EventFields.__required_keys__ == {
        name for name, argument in arguments.items() if argument.default is argument.empty
    }
    assert EVERY_FIELD.keys() == arguments.keys()
    assert all(
        type(None) in get_args(hints[name]) or hints[name] is object for name in EventFields.__optional_keys__
    )


@pytest.mark.parametrize("way", WAYS)
def test_every_field_is_stored(way: Callable[[Fabric, Any], None]) -> None:
    event = published(way, **EVERY_FIELD)
    stored = {name: getattr(event, name) for name in EVERY_FIELD if name != "time"}
    assert {**stored, "time": event.time_text} == EVERY_FIELD


@pytest.mark.parametrize("way", WAYS)
def test_none_stands_for_what_is_not_said(way: Callable[[Fabric, Any], None]) -> None:
    said = {"key": "k", "type": "placed", "data": {"order": "A-1"}}
    unsaid = dict.fromkeys(("id", "headers", "time", "source"))
    event, same = published(way, **said), published(way, **said, **unsaid)
    assert (same.key, same.type, same.data, same.source) == (event.key, event.type, event.data, event.source)
    assert same.id
    assert same.headers == event.headers == {}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "fields",
    [
        {"key": "k"},
        {"type": "placed"},
        {"key": "k", "data": {}, "id": "e1"},
        {"key": "k", "type": "placed", "typo": "x"},
        {"key": "k", "type": "placed", "data": {}, "typo": None},
    ],
)
def test_a_field_that_lacks_or_does_not_exist_is_a_type_error(
    way: Callable[[Fabric, Any], None], fields: dict[str, object]
) -> None:
    memory_fabric = SubscribedStream(lanes=1)
    fabric = producer(memory_fabric)
    way(fabric, {"key": "k", "type": "placed", "data": {}})  # known now, so they are not checked again
    with pytest.raises(TypeError, match="argument"):
        way(fabric, fields)
    assert len(events(memory_fabric, HOME)) == 1


@pytest.mark.parametrize("value", [15, 2**31 - 1, 0, "15"])
@pytest.mark.parametrize("way", WAYS)
def test_a_header_that_the_fabric_believes_is_its_own(
    way: Callable[[Fabric, Any], None], value: int | str
) -> None:
    with pytest.raises(InvalidEventError) as raised:
        published(way, key="k", type="placed", headers={HOPS: value, "X": 1})
    names = [problem.path.rpartition("headers.")[2] for problem in raised.value.problems]
    assert names == ["X", "fabrichops"]
