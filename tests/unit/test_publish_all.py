"""Many events of one type at once: the same events as one by one, in order, and what stops them."""

import math
from collections.abc import Iterator

import pytest

from eventfabric import Event, Fabric, limits
from eventfabric.errors import BufferFullError, EventTooLargeError, InvalidEventError
from eventfabric.sdk.publisher import Publisher
from tests.simulation.world import HOME, STREAM, World
from tests.unit.producing import events, producer

Told = list[tuple[str, str, object]]


@pytest.fixture
def world() -> World:
    return World(lanes=4)


@pytest.fixture
def fabric(world: World) -> Fabric:
    return producer(world)


def told(found: list[Event]) -> Told:
    return sorted(((one.type, one.key, one.data) for one in found), key=repr)


def items(count: int) -> Iterator[tuple[str, object]]:
    return (
        (f"k{number % 7}", {"n": number, "text": "ends\nof lines, and naïve – ☂"}) for number in range(count)
    )


def publish(fabric: Fabric, given: Iterator[tuple[str, object]] | list[tuple[str, object]]) -> Publisher:
    with fabric.publisher(STREAM, linger_ms=60_000) as publisher:
        publisher.publish_all("placed", given)
    return publisher


@pytest.mark.parametrize("count", [0, 1, 2, limits.PUBLISH_CHUNK_EVENTS, 3 * limits.PUBLISH_CHUNK_EVENTS + 5])
def test_they_are_what_would_have_been_published_one_by_one(world: World, fabric: Fabric, count: int) -> None:
    for _ in range(2):  # at first nothing is known of key and type
        publish(fabric, items(count))
    one_by_one = World(lanes=4)
    with producer(one_by_one).publisher(STREAM, linger_ms=60_000) as publisher:
        for _ in range(2):
            for key, data in items(count):
                publisher.publish(key=key, type="placed", data=data)
    found = events(world, HOME)
    assert told(found) == told(events(one_by_one, HOME))
    assert len({one.id for one in found}) == 2 * count
    assert {one.source for one in found} <= {f"/shop/{STREAM}"}


def test_the_events_of_a_key_stand_in_the_order_given_and_receipts_say_where(
    world: World, fabric: Fabric
) -> None:
    with fabric.publisher(STREAM, linger_ms=60_000, events_max=10) as publisher:
        pending = publisher.publish_all("placed", [("k", {"n": number}) for number in range(600)])
    assert len(pending) == 600
    receipts = [one.result() for one in pending]
    assert [one.sequence for one in receipts] == list(range(600))
    assert [one.event_id for one in receipts] == [str(event.id) for event in events(world, HOME)]
    assert [one.data["n"] for one in events(world, HOME)] == list(range(600))
    assert [one.event_id for one in pending[2:5]] == [one.event_id for one in receipts[2:5]]
    assert pending[-1].event_id == receipts[-1].event_id
    with pytest.raises(IndexError):
        pending[600]


@pytest.mark.parametrize(
    "data",
    [None, "text", b"bytes", [1, None], {"a": None}, {"name": "NaN Inf E+ null"}, {"n": 10**30}],
    ids=repr,
)
def test_whatever_data_may_be_may_stand_among_dicts(world: World, fabric: Fabric, data: object) -> None:
    for _ in range(2):
        publish(fabric, [("k", {"a": 1}), ("k", data), ("k", {"b": 2})])
    assert [one.data for one in events(world, HOME)] == [{"a": 1}, data, {"b": 2}] * 2


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (("", {"a": 1}), "key"),
        (([], {"a": 1}), "key"),
        (("k", {"a": math.nan}), "data.a"),
        (("k0", {"a": math.nan}), "data.a"),
        (("k", {"a": object()}), "data"),
        (("k", {"a": "x" * limits.RECORD_PAYLOAD_BYTES_MAX}), "event"),
    ],
    ids=["key", "no key", "nan", "nan under a key that was seen", "object", "large"],
)  # fmt: skip
def test_what_stops_them_is_named_by_its_index_and_those_before_it_are_published(
    world: World, fabric: Fabric, known: bool, wrong: tuple[str, object], path: str
) -> None:
    if known:
        publish(fabric, items(10))
    given = [*items(301), wrong, *items(10)]
    with pytest.raises(InvalidEventError) as raised:
        publish(fabric, given)
    assert [problem.path for problem in raised.value.problems] == [f"events[301].{path}"]
    assert isinstance(raised.value, EventTooLargeError) == (path == "event")
    assert told(events(world, HOME)) == told_of(301, 10 if known else 0)


def told_of(*counts: int) -> Told:
    return sorted((("placed", key, data) for count in counts for key, data in items(count)), key=repr)


def test_a_publisher_that_is_full_says_so_and_has_taken_what_it_had_room_for(world: World) -> None:
    fabric = producer(world)
    with fabric.publisher(STREAM, linger_ms=60_000, buffer_bytes_max=10_000) as publisher:
        publisher.publish_all("placed", items(100))  # without threads, room is made at once
    assert len(events(world, HOME)) == 100
    assert BufferFullError.retryable


def test_it_takes_events_as_they_come_and_holds_no_more_than_a_chunk(fabric: Fabric) -> None:
    asked: list[int] = []

    def given() -> Iterator[tuple[str, object]]:
        for number in range(2 * limits.PUBLISH_CHUNK_EVENTS):
            asked.append(number)
            yield "k", {"n": number}

    with fabric.publisher(STREAM, linger_ms=60_000, events_max=1) as publisher:
        pending = publisher.publish_all("placed", given())
        assert all(one.done() for one in pending)
    assert asked == list(range(2 * limits.PUBLISH_CHUNK_EVENTS))


def test_types_that_are_wrong_are_the_first_events_problem(fabric: Fabric) -> None:
    with pytest.raises(InvalidEventError, match=r"events\[0\]\.type"), fabric.publisher(STREAM) as publisher:
        publisher.publish_all("", [("k", {})])
