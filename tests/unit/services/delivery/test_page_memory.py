"""The memory that a page of events takes is bounded in bytes, however small its events are in the log."""

import tracemalloc
from collections.abc import Sequence
from string import ascii_lowercase

import msgspec
import pytest

from eventfabric import limits
from eventfabric.model import (
    EMPTY_TAIL,
    EVERYTHING,
    START,
    Batch,
    BatchId,
    Event,
    HeaderValue,
    Record,
    SubscriptionFilter,
    Write,
    record_at,
)
from eventfabric.ports import Attempt
from eventfabric.services.delivery.stretch import Stretch
from eventfabric.wire.payload_codec import measured, pack_columns, unpack_measured
from tests.support.memory_fabric import LANE
from tests.support.subscribed_stream import SubscribedStream

NAMES = [*ascii_lowercase, *(f"{a}{b}" for a in "abc" for b in ascii_lowercase)]
Headers = dict[str, HeaderValue]


def record_of(
    headers: Sequence[Headers], *, count: int = 1_000, content: bytes = b"{}", types: Sequence[str] = ("m",)
) -> Record:
    """A record of so many events; headers and types in turn, where there are several."""
    strings_count = max(len(headers), len(types))
    runs = [
        (types[n % len(types)], 1_764_000_000_000, "/s", headers[n % len(headers)], 0)
        for n in range(count if strings_count > 1 else 1)
    ]
    ids, keys = [f"{n:x}" for n in range(count)], [f"k{n % 40}" for n in range(count)]
    payload = pack_columns(ids, keys, [content] * count, runs, list(range(len(runs))))
    batch = Batch(BatchId(b"x" * 16), count, frozenset(types), payload)
    return record_at(EMPTY_TAIL, LANE, batch, now_ms=1, retention_seconds=None)


def texts(count: int) -> list[Headers]:
    return [{NAMES[j]: f"{(n * 7 + j) % 90 + 10}" for j in range(count)} for n in range(1_000)]


def numbers(count: int) -> list[Headers]:
    return [{NAMES[j]: 1_000 + (n * 7 + j) % 60_000 for j in range(count)} for n in range(1_000)]


def strangers(count: int) -> list[Headers]:
    """No name comes twice."""
    return [{f"h{n * count + j}": True for j in range(count)} for n in range(1_000)]


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ([{}], b"{}"),
        ([{}], b"x" * 200),
        (texts(1), b"{}"),
        (texts(6), b"{}"),
        (texts(40), b"{}"),
        (numbers(11), b"{}"),
        (numbers(43), b"{}"),
        (strangers(6), b"{}"),
        (strangers(25), b"{}"),
        ([dict.fromkeys(NAMES[:64], "x")], b"{}"),
    ],
    ids=[
        "plain",
        "large",
        "1 text",
        "6 texts",
        "40 texts",
        "11 numbers",
        "43 numbers",
        "6 names",
        "25 names",
        "alike",
    ],
)
def test_a_records_events_take_no_more_memory_than_documented_and_no_record_more_than_its_bound(
    headers: list[Headers], content: bytes
) -> None:
    record = record_of(headers, content=content)
    unpack_measured(record)  # what is made once
    tracemalloc.start()
    try:
        stretch = Stretch(START, [record], EVERYTHING)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    _, memory_bytes = unpack_measured(record)
    assert taken <= memory_bytes <= limits.RECORD_MEMORY_BYTES_MAX
    assert memory_bytes <= 5 * taken  # and it is no bound that holds for everything
    assert len(stretch.events) == 1_000
    assert taken <= measured(stretch.events) + 100_000  # their sources, which they share


def test_earlier_codecs_are_measured_too() -> None:
    rows = [(f"{n}", "m", "k", 1, "/s", {"a": "b"}, 0, b"{}") for n in range(10)]
    batch = Batch(BatchId(b"x" * 16), 10, frozenset({"m"}), b"\x01" + msgspec.msgpack.encode(rows))
    _, memory_bytes = unpack_measured(record_at(EMPTY_TAIL, LANE, batch, now_ms=1, retention_seconds=None))
    assert memory_bytes >= 10 * (limits.EVENT_MEMORY_BYTES + limits.HEADER_MEMORY_BYTES)


def test_a_stretch_ends_where_its_events_fill_the_memory_that_it_has_and_says_that_more_stands_behind() -> (
    None
):
    fabric = chatty(records=5)
    records = fabric.records()
    size = unpack_measured(records[0])[1]
    for room, taken in ((1, 1), (size, 1), (size + 1, 2), (4 * size + 1, 5), (10 * size, 5)):
        stretch = Stretch(START, records, EVERYTHING, memory_bytes=room)
        assert (len(stretch.records), stretch.cut) == (taken, taken < 5)
        assert (stretch.end, len(stretch.events)) == (20 * taken, 20 * taken)
        assert (stretch.stop, stretch.hole) == (None, False)


def test_only_events_that_are_wanted_fill_the_memory() -> None:
    fabric = SubscribedStream()
    for number in range(6):
        fabric.put(*(of_many(f"{number}-{n}", "viewed" if n else "paid") for n in range(20)))
    records, paid = fabric.records(), SubscriptionFilter(frozenset({"paid"}))
    single = measured(Stretch(START, records[:1], paid).events)
    stretch = Stretch(START, records, paid, memory_bytes=3 * single)
    assert (len(stretch.events), len(stretch.records), stretch.cut) == (3, 3, True)
    passed = Stretch(START, records, SubscriptionFilter(frozenset({"lost"})), memory_bytes=1)
    assert (passed.end, passed.cut) == (120, False)


def of_many(name: str, type: str = "placed") -> Event:
    return Event(
        id=name, type=type, key=f"k{name}", headers={"a": "b"}, time="2026-11-01T00:00:00Z", source="/t"
    )


def chatty(*, records: int, **settings: object) -> SubscribedStream:
    fabric = SubscribedStream(**settings)  # type: ignore[arg-type]  # as SubscribedStream takes them
    for number in range(records):
        fabric.put(*(of_many(f"{number}-{n}") for n in range(20)))
    return fabric


class CountingHandler:
    """Keeps nothing of what it was given."""

    batch_events_max = 1

    def __init__(self) -> None:
        self.events = 0

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Write]:
        self.events += len(events)
        return ()


@pytest.mark.parametrize("guarantee", ["at_least_once", "at_most_once", "exactly_once"])
def test_a_page_that_does_not_fit_is_delivered_in_parts_and_read_once(guarantee: str) -> None:
    fabric = chatty(records=9, guarantee=guarantee)
    size = unpack_measured(fabric.records()[0])[1]
    result = fabric.deliver(by=fabric.deliverer(memory_bytes=2 * size))
    assert (result.done, fabric.cursor().sequence) == (True, 180)
    assert fabric.recorder.ids() == fabric.logged_ids()
    assert fabric.faults.count("log.read") == 1


def test_the_events_of_a_page_are_gone_before_the_next_are_unpacked() -> None:
    headers = texts(20)
    fabric = SubscribedStream()
    tail = EMPTY_TAIL
    for number in range(6):
        log_record = record_of(headers)
        batch = Batch(BatchId(number.to_bytes(16, "big")), 1_000, log_record.types, log_record.payload)
        record = record_at(tail, LANE, batch, now_ms=fabric.clock.now_ms(), retention_seconds=None)
        assert fabric.origin_log.append(record) is None
        tail = record.tail
    memory_bytes = unpack_measured(fabric.records()[0])[1]
    counted = CountingHandler()
    deliverer = fabric.deliverer(handler=counted, memory_bytes=1)
    tracemalloc.start()
    try:
        base, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        assert fabric.deliver(by=deliverer).done
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert counted.events == 6_000
    assert peak - base <= 1.5 * memory_bytes
