"""Text and numbers of classes that inherit from Python's own: taken for what they are, however they are published."""

from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Any

import pytest

from eventfabric import Event, Fabric
from tests.unit.sdk.test_publisher import PublishedLog


class Text(str):
    """Text of a class of its own, which says something else of itself."""

    def __str__(self) -> str:
        return "something else"


class Key(StrEnum):
    MINE = "mine"


class Number(IntEnum):
    ONE = 1


def publish_together(fabric: Fabric, event: dict[str, Any]) -> None:
    with fabric.publisher("orders") as publisher:
        publisher.publish_event(Event(**event))


WAYS: dict[str, Callable[[Fabric, dict[str, Any]], object]] = {
    "publish": lambda fabric, event: fabric.publish("orders", **event),
    "publish_many": lambda fabric, event: fabric.publish_many("orders", [Event(**event)]),
    "publish_event": publish_together,
}


@pytest.mark.parametrize("way", WAYS)
def test_text_of_a_class_of_its_own_is_taken_for_the_text_that_it_is(way: str) -> None:
    fabric = PublishedLog()
    event = {
        "key": Key.MINE,
        "type": Text("Placed"),
        "id": Text("e"),
        "source": Text("/s"),
        "headers": {Text("h"): Number.ONE},
    }
    for _ in range(2):  # the second time, the key and the type are remembered
        WAYS[way](fabric.fabric, event)
    events = [event for record in fabric.packed() for event in record]
    for stored in events:
        assert (stored.key, stored.type) == ("mine", "Placed")
        assert (stored.id, stored.source, repr(stored.headers)) == ("e", "/s", "{'h': 1}")
    assert len(events) == 2


def test_keys_and_types_of_classes_of_their_own_are_published_together() -> None:
    fabric = PublishedLog()
    for _ in range(2):
        with fabric.fabric.publisher("orders") as publisher:
            publisher.publish_all(Text("Placed"), [(Key.MINE, {"a": 1}), (Text("k"), {"a": 2})])
            publisher.publish(key=Key.MINE, type=Text("Placed"), data={"a": 3})
    events = [event for record in fabric.packed() for event in record]
    assert {(event.key, event.type) for event in events} == {("mine", "Placed"), ("k", "Placed")}
    assert len(events) == 6
