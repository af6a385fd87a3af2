"""Many events of one type at once: the same events as one by one, in order, and what stops them."""

import math
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from eventfabric import Event, Fabric, limits
from eventfabric.errors import BufferFullError, EventTooLargeError, InvalidEventError
from eventfabric.model import LaneIndex
from eventfabric.sdk.publisher import Publisher
from tests.support.memory_fabric import HOME, STREAM
from tests.support.producers import events, producer
from tests.support.spans import open_span
from tests.support.subscribed_stream import SubscribedStream

Content = list[tuple[str, str, object]]


@pytest.fixture
def memory_fabric() -> SubscribedStream:
    return SubscribedStream(lanes=4)


@pytest.fixture
def fabric(memory_fabric: SubscribedStream) -> Fabric:
    return producer(memory_fabric)


def content_of(events: list[Event]) -> Content:
    return sorted(((event.type, event.key, event.data) for event in events), key=repr)


def items(count: int) -> Iterator[tuple[str, object]]:
    return (
        (f"k{number % 7}", {"n": number, "text": "ends\nof lines, and naïve – ☂"}) for number in range(count)
    )


def publish(fabric: Fabric, given: Iterator[tuple[str, object]] | list[tuple[str, object]]) -> Publisher:
    with fabric.publisher(STREAM, linger_ms=60_000) as publisher:
        publisher.publish_all("placed", given)
    return publisher


@pytest.mark.parametrize("count", [0, 1, 2, limits.PUBLISH_CHUNK_EVENTS, 3 * limits.PUBLISH_CHUNK_EVENTS + 5])
def test_they_are_what_would_have_been_published_one_by_one(
    memory_fabric: SubscribedStream, fabric: Fabric, count: int
) -> None:
    for _ in range(2):  # at first nothing is known of key and type
        publish(fabric, items(count))
    one_by_one = SubscribedStream(lanes=4)
    with producer(one_by_one).publisher(STREAM, linger_ms=60_000) as publisher:
        for _ in range(2):
            for key, data in items(count):
                publisher.publish(key=key, type="placed", data=data)
    published = events(memory_fabric, HOME)
    assert content_of(published) == content_of(events(one_by_one, HOME))
    assert len({event.id for event in published}) == 2 * count
    assert {event.source for event in published} <= {f"/shop/{STREAM}"}


def test_the_events_of_a_key_stand_in_the_order_given_and_receipts_say_where(
    memory_fabric: SubscribedStream, fabric: Fabric
) -> None:
    with fabric.publisher(STREAM, linger_ms=60_000, events_max=10) as publisher:
        pending = publisher.publish_all("placed", [("k", {"n": number}) for number in range(600)])
    assert len(pending) == 600
    receipts = [receipt.result() for receipt in pending]
    assert [receipt.sequence for receipt in receipts] == list(range(600))
    assert [receipt.event_id for receipt in receipts] == [
        str(event.id) for event in events(memory_fabric, HOME)
    ]
    assert [event.data["n"] for event in events(memory_fabric, HOME)] == list(range(600))
    assert [receipt.event_id for receipt in pending[2:5]] == [receipt.event_id for receipt in receipts[2:5]]
    assert pending[-1].event_id == receipts[-1].event_id
    with pytest.raises(IndexError):
        pending[600]


@pytest.mark.parametrize(
    "data",
    [None, "text", b"bytes", [1, None], {"a": None}, {"name": "NaN Inf E+ null"}, {"n": 10**30}],
    ids=repr,
)
def test_whatever_data_may_be_may_stand_among_dicts(
    memory_fabric: SubscribedStream, fabric: Fabric, data: object
) -> None:
    for _ in range(2):
        publish(fabric, [("k", {"a": 1}), ("k", data), ("k", {"b": 2})])
    assert [event.data for event in events(memory_fabric, HOME)] == [{"a": 1}, data, {"b": 2}] * 2


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
)
def test_what_stops_them_is_named_by_its_index_and_those_before_it_are_published(
    memory_fabric: SubscribedStream, fabric: Fabric, known: bool, wrong: tuple[str, object], path: str
) -> None:
    if known:
        publish(fabric, items(10))
    given = [*items(301), wrong, *items(10)]
    with pytest.raises(InvalidEventError) as raised:
        publish(fabric, given)
    assert [problem.path for problem in raised.value.problems] == [f"events[301].{path}"]
    assert isinstance(raised.value, EventTooLargeError) == (path == "event")
    assert (raised.value.events_taken, raised.value.no_effect) == (301, False)
    assert content_of(events(memory_fabric, HOME)) == content_of_counts(301, 10 if known else 0)


def test_an_error_at_the_first_event_has_had_no_effect(fabric: Fabric) -> None:
    with pytest.raises(InvalidEventError) as raised:
        publish(fabric, [("", {}), *items(10)])
    assert (raised.value.events_taken, raised.value.no_effect) == (0, True)
    assert InvalidEventError.no_effect


def content_of_counts(*counts: int) -> Content:
    return sorted((("placed", key, data) for count in counts for key, data in items(count)), key=repr)


def test_a_publisher_that_is_full_says_so_and_has_taken_what_it_had_room_for(
    memory_fabric: SubscribedStream,
) -> None:
    fabric = producer(memory_fabric)
    with fabric.publisher(STREAM, linger_ms=60_000, buffer_bytes_max=10_000) as publisher:
        publisher.publish_all("placed", items(100))  # without threads, room is made at once
    assert len(events(memory_fabric, HOME)) == 100
    assert BufferFullError.retryable


def test_it_takes_events_as_they_come_and_holds_no_more_than_a_chunk(fabric: Fabric) -> None:
    asked: list[int] = []

    def given() -> Iterator[tuple[str, object]]:
        for number in range(2 * limits.PUBLISH_CHUNK_EVENTS):
            asked.append(number)
            yield "k", {"n": number}

    with fabric.publisher(STREAM, linger_ms=60_000, events_max=1) as publisher:
        pending = publisher.publish_all("placed", given())
        assert all(receipt.done() for receipt in pending)
    assert asked == list(range(2 * limits.PUBLISH_CHUNK_EVENTS))


def test_types_that_are_wrong_are_the_first_events_problem(fabric: Fabric) -> None:
    with pytest.raises(InvalidEventError, match=r"events\[0\]\.type"), fabric.publisher(STREAM) as publisher:
        publisher.publish_all("", [("k", {})])


def test_a_type_that_is_wrong_is_found_though_the_keys_are_known(fabric: Fabric) -> None:
    publish(fabric, items(10))
    with (
        pytest.raises(InvalidEventError, match=r"events\[0\]\.type"),
        fabric.publisher(STREAM) as publisher,
    ):
        publisher.publish_all("x" * 200, items(10))


def test_events_of_many_keys_are_encoded_together_even_where_each_key_is_new(fabric: Fabric) -> None:
    """Also where there are more than are remembered."""
    outgoing = fabric._stream(STREAM)
    for start in range(0, 40_000, 250):
        new = [(f"order-{start + number}", {"n": number}) for number in range(250)]
        (encoded,) = outgoing.encode_all("placed", new)
        assert [key for _, key, _ in encoded.places] == [key for key, _ in new]


def test_they_carry_the_context_of_the_span_that_they_were_published_in(
    memory_fabric: SubscribedStream, fabric: Fabric
) -> None:
    given: list[tuple[str, object]] = [("k", {"n": number}) for number in range(3)]
    expected: list[str | None] = []
    for _ in range(2):  # at first nothing is known of key and type
        with open_span("publishing") as context:
            publish(fabric, given)
        expected += [f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"] * 3
    publish(fabric, given)
    expected += [None] * 3
    assert [event.headers.get("traceparent") for event in events(memory_fabric, HOME)] == expected
    largest = limits.RECORD_PAYLOAD_BYTES_MAX - 150
    publish(fabric, [("k", {"a": "x" * largest})])
    with open_span("publishing"), pytest.raises(EventTooLargeError):
        publish(fabric, [("k", {"a": "x" * largest})])


def test_ids_sort_as_the_events_were_given(memory_fabric: SubscribedStream, fabric: Fabric) -> None:
    with fabric.publisher(STREAM, linger_ms=60_000) as publisher:
        pending = publisher.publish_all("placed", [("k", {"n": number}) for number in range(200)])
    ids = [receipt.event_id for receipt in pending]
    assert ids == sorted(ids)
    assert len(set(ids)) == 200


def test_producers_in_several_threads_never_share_an_id(fabric: Fabric) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with fabric.publisher(STREAM, linger_ms=60_000) as publisher, ThreadPoolExecutor(4) as threads:
            pending = list(
                threads.map(lambda producer: publisher.publish_all(f"t{producer}", items(2_000)), range(4))
            )
    finally:
        sys.setswitchinterval(interval)
    assert len({receipt.event_id for of in pending for receipt in of}) == 8_000


def test_a_publisher_that_is_not_to_wait_takes_the_events_that_it_has_room_for(
    memory_fabric: SubscribedStream,
) -> None:
    fabric = producer(memory_fabric)
    fabric._parallel_lanes = 1
    with fabric.publisher(STREAM, linger_ms=60_000, buffer_bytes_max=100_000, when_full="raise") as publisher:
        publisher._bundles._sealed[LaneIndex(9)] = deque()  # its only worker is busy with another lane
        with pytest.raises(BufferFullError) as full:
            publisher.publish_all("placed", items(1_000))
        del publisher._bundles._sealed[LaneIndex(9)]
        free_bytes = 100_000 - publisher.buffered_bytes
    numbers = sorted(event.data["n"] for event in events(memory_fabric, HOME))
    assert numbers == list(range(full.value.events_taken))
    assert 0 < free_bytes < 1_000
