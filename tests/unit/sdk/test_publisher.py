"""The publisher: packs, keeps the order of keys, reports each failure to its caller."""

import gc
import weakref
from collections import defaultdict
from collections.abc import Callable
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest

from eventfabric import Event, Receipt
from eventfabric.definition.file import parse_definition
from eventfabric.errors import (
    ContendedAppendError,
    EventFabricError,
    EventTooLargeError,
    IndeterminateAppendError,
    InvalidEventError,
    PublishFailedError,
    PublishNotAttemptedError,
    SettingError,
    UnknownNameError,
    WrongRegionError,
)
from eventfabric.limits import RECORD_PAYLOAD_BYTES_MAX, RECORD_TYPES_MAX
from eventfabric.model import Lane, SequenceNumber
from eventfabric.sdk.pending import PendingReceipt
from eventfabric.sdk.publisher import Publisher
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.topology import Topology
from eventfabric.wire import record_item
from eventfabric.wire.payload_codec import unpack
from tests.support.memory_fabric import MemoryFabric

US = "us-east-1"
TOPOLOGY = Topology(
    parse_definition(
        '[fabric]\nname = "shop"\nregions = ["us-east-1", "eu-west-1"]\n[streams.orders]\nlanes = 4\n'
        '[streams.local]\nregions = ["eu-west-1"]\ndurability = "regional"\n'
    )
)


class PublishedLog(MemoryFabric):
    """One Region's log, and a producer that publishes to it."""

    def __init__(self, *rules: Callable[[str, int, int], Fault | None], parallel_lanes: int = 0) -> None:
        super().__init__(TOPOLOGY, seed=1)
        self.down = False
        self.faults = Faults(*rules)
        self.fabric = self.producer(
            log_of=lambda stream, region: self.faults.log(self.cloud.log(stream.name, region)),
            entropy=SeededEntropy(2),
            outbox=None,
            parallel_lanes=parallel_lanes,
            append_timeout_seconds=1,
        )

    def packed(self) -> list[list[Event]]:
        """The events of each record of the log, of all lanes."""
        items = self.cloud.regions[US].table("shop-orders").items
        return [unpack(record_item.from_item(item)) for item in items]

    def lanes(self) -> dict[Lane, list[str | None]]:
        """The ids of each lane's events, in order of sequence."""
        events: defaultdict[Lane, list[Event]] = defaultdict(list)
        for event in (event for record in self.packed() for event in record):
            assert event.lane is not None
            events[event.lane].append(event)
        return {
            lane: [e.id for e in sorted(of, key=lambda e: e.sequence or 0)] for lane, of in events.items()
        }


@pytest.mark.parametrize("parallel_lanes", [0, 4])
def test_a_publisher_packs_the_events_of_a_lane_and_keeps_their_order(parallel_lanes: int) -> None:
    fabric = PublishedLog(parallel_lanes=parallel_lanes)
    with fabric.fabric.publisher("orders", linger_ms=60_000, events_max=50) as publisher:
        pending = [
            publisher.publish(key=f"k{n % 7}", type="Placed", data={"n": n}, id=f"{n:04}") for n in range(500)
        ]
    assert len(fabric.packed()) <= 500 / 50 + 4
    assert all(ids == sorted(ids, key=str) for ids in fabric.lanes().values())
    receipts = [waiting.result() for waiting in pending]
    for receipt in receipts:
        assert fabric.lanes()[receipt.lane][receipt.sequence] == receipt.event_id


def test_an_event_leaves_without_a_flush_once_it_has_lingered() -> None:
    fabric = PublishedLog(parallel_lanes=2)
    with fabric.fabric.publisher("orders", linger_ms=1) as publisher:
        assert publisher.publish(key="a", type="Placed", id="1").result(timeout_seconds=30).event_id == "1"


def test_a_failed_batch_holds_back_those_behind_it_and_every_caller_learns_of_its_own() -> None:
    fabric = PublishedLog(
        lambda name, *_: Fault.LOST_REQUEST if name == "log.append" and fabric.down else None
    )
    with fabric.fabric.publisher("orders", linger_ms=60_000, events_max=1) as publisher:
        first = publisher.publish(key="a", type="Placed", id="1")
        fabric.down = True
        second = publisher.publish(key="a", type="Placed", id="2")
        fabric.down = False
        third = publisher.publish(key="a", type="Placed", id="3")
        assert first.result().sequence == 0
        with pytest.raises(IndeterminateAppendError) as caught:
            second.result()
        assert third.result().sequence == 1
    for _ in range(2):
        (settled,) = fabric.fabric.publish_again(caught.value)
        assert (settled.sequence, settled.event_id) == (2, "2")
    assert list(fabric.lanes().values()) == [["1", "3", "2"]]


def test_batches_sealed_behind_a_failure_are_not_attempted() -> None:
    fabric = PublishedLog(lambda name, *_: Fault.THROTTLED if name == "log.tail" else None, parallel_lanes=1)
    publisher = fabric.fabric.publisher("orders", linger_ms=60_000, events_max=1)
    with pytest.raises(PublishFailedError) as caught, publisher:
        for number in range(20):
            publisher.publish(key="a", type="Placed", id=str(number))
    kinds = {type(error) for _, error in caught.value.failures}
    assert kinds <= {ContendedAppendError, PublishNotAttemptedError}
    assert (len(caught.value.failures), caught.value.published, fabric.packed()) == (20, 0, [])


def test_failures_that_were_seen_are_not_raised_again_on_exit() -> None:
    fabric = PublishedLog(lambda name, *_: Fault.THROTTLED if name == "log.append" else None)
    with fabric.fabric.publisher("orders") as publisher:
        pending = publisher.publish(key="a", type="Placed")
        publisher.flush()
        with pytest.raises(ContendedAppendError):
            pending.result()


def test_an_error_in_the_block_is_not_replaced_by_failures() -> None:
    fabric = PublishedLog(lambda name, *_: Fault.THROTTLED if name == "log.append" else None)
    with pytest.raises(KeyError) as caught, fabric.fabric.publisher("orders") as publisher:
        publisher.publish(key="a", type="Placed")
        raise KeyError("the caller's own")
    assert "1 event was not published" in caught.value.__notes__[0]


def test_a_closed_publisher_takes_nothing() -> None:
    with PublishedLog().fabric.publisher("orders") as publisher:
        pass
    with pytest.raises(EventFabricError, match="closed"):
        publisher.publish(key="a", type="Placed")


class Producer(Thread):
    """Publishes one event after the other until it is refused; remembers what was taken, and why it ended."""

    def __init__(self, publisher: Publisher, name: str, begun: Flag) -> None:
        super().__init__(daemon=True)
        self.publisher, self.prefix, self.begun = publisher, name, begun
        self.taken: list[PendingReceipt] = []
        self.ended: BaseException | None = None

    def run(self) -> None:
        try:
            while True:
                number = len(self.taken)
                event_id = f"{self.prefix}-{number}"
                self.taken.append(self.publisher.publish(key=f"k{number % 9}", type="Placed", id=event_id))
                if number == 200:
                    self.begun.set()
        except BaseException as error:  # looked at by the test
            self.ended = error


@pytest.mark.parametrize("fails", [False, True], ids=["appends", "fails"])
def test_whatever_was_taken_while_a_publisher_closes_is_appended_or_its_receipt_fails(fails: bool) -> None:
    fabric = PublishedLog(
        lambda name, *_: Fault.LOST_REQUEST if name == "log.append" and fabric.down else None,
        parallel_lanes=4,
    )
    fabric.down = fails
    publisher = fabric.fabric.publisher("orders", linger_ms=60_000)
    producers = [Producer(publisher, name, Flag()) for name in "abc"]
    for producer in producers:
        producer.start()
    assert all(producer.begun.wait(30) for producer in producers)
    try:
        publisher.close()
    except PublishFailedError as error:
        assert fails, error
    for producer in producers:
        producer.join(30)
        assert type(producer.ended) is EventFabricError
        assert "closed" in str(producer.ended)
    taken = [pending for producer in producers for pending in producer.taken]
    assert all(pending.done() for pending in taken)
    if not fails:
        logged = {event.id for record in fabric.packed() for event in record}
        assert {pending.result().event_id for pending in taken} == logged
    assert publisher.buffered_bytes == 0
    publisher.flush()


def test_without_workers_a_receipt_that_is_asked_for_is_appended_at_once() -> None:
    fabric = PublishedLog(parallel_lanes=0)
    with fabric.fabric.publisher("orders", linger_ms=60_000) as publisher:
        pending = [publisher.publish(key="a", type="Placed", id=str(number)) for number in range(3)]
        assert [receipt.result(timeout_seconds=5).sequence for receipt in pending] == [0, 1, 2]
        assert publisher.publish(key="a", type="Placed", id="3").result(timeout_seconds=5).sequence == 3
    assert [len(record) for record in fabric.packed()] == [3, 1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("events_max", 0),
        ("events_max", -1),
        ("events_max", 1_001),
        ("events_max", 1.5),
        ("events_max", True),
        ("linger_ms", -1),
        ("linger_ms", float("inf")),
        ("linger_ms", float("nan")),
        ("linger_ms", 1e13),
        ("buffer_bytes_max", 0),
        ("buffer_bytes_max", 1.5),
    ],
)
def test_a_publishers_settings_have_bounds(name: str, value: object) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(SettingError, match=f"{name}: found .*, allowed: "):
        PublishedLog().fabric.publisher("orders", **settings)


def test_a_publishers_settings_are_good_up_to_their_bounds() -> None:
    for settings in ({"events_max": 1, "linger_ms": 0.0}, {"events_max": 1_000, "linger_ms": 3_600_000.0}):
        bounds: dict[str, Any] = settings
        with PublishedLog().fabric.publisher("orders", buffer_bytes_max=1, **bounds) as publisher:
            assert publisher.publish(key="a", type="Placed").result(timeout_seconds=5).sequence == 0


def test_a_full_buffer_makes_publish_wait_for_room() -> None:
    fabric = PublishedLog(parallel_lanes=1)
    with fabric.fabric.publisher("orders", linger_ms=60_000, buffer_bytes_max=10_000) as publisher:
        for number in range(100):
            publisher.publish(key=str(number % 5), type="Placed", data="x" * 1000)
            assert publisher.buffered_bytes <= 10_000
    assert sum(len(record) for record in fabric.packed()) == 100


def test_a_buffer_that_stays_full_does_not_make_small_records() -> None:
    fabric = PublishedLog(parallel_lanes=1)
    with fabric.fabric.publisher("orders", linger_ms=60_000, buffer_bytes_max=400_000) as publisher:
        for number in range(4_000):
            publisher.publish(key=str(number % 50), type="Placed", data="x" * 1000)
    assert sum(len(record) for record in fabric.packed()) == 4_000
    assert len(fabric.packed()) < 4_000 / 40


def test_records_hold_no_more_bytes_and_types_than_they_may() -> None:
    fabric = PublishedLog()
    big = "x" * (RECORD_PAYLOAD_BYTES_MAX // 3)
    with fabric.fabric.publisher("orders", linger_ms=60_000) as publisher:
        for _ in range(6):
            publisher.publish(key="a", type="Big", data=big)
    assert [len(record) for record in fabric.packed()] == [2, 2, 2]
    fabric = PublishedLog()
    with fabric.fabric.publisher("orders", linger_ms=60_000) as publisher:
        for number in range(RECORD_TYPES_MAX + 1):
            publisher.publish(key="a", type=f"Type{number}")
    assert [len(record) for record in fabric.packed()] == [RECORD_TYPES_MAX, 1]


def test_publish_many_returns_receipts_in_the_order_given() -> None:
    fabric = PublishedLog()
    receipts = fabric.fabric.publish_many(
        "orders", [Event(key=f"k{n % 9}", type="Placed", id=str(n)) for n in range(99)]
    )
    assert [receipt.event_id for receipt in receipts] == [str(n) for n in range(99)]
    assert len(fabric.packed()) <= 4


def test_publish_many_writes_nothing_if_one_event_is_wrong_and_names_all_that_are() -> None:
    fabric = PublishedLog()
    events = [Event(key="a", type="Placed"), Event(key="", type="Placed"), Event(key="b", type="x" * 200)]
    with pytest.raises(InvalidEventError) as caught:
        fabric.fabric.publish_many("orders", events)
    assert [problem.path for problem in caught.value.problems] == ["events[1].key", "events[2].type"]
    assert fabric.packed() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": ["a"]},
        {"key": None},
        {"key": "\ud800"},
        {"type": {}},
        {"id": 5},
        {"source": 3},
        {"headers": [1]},
        {"time": True},
    ],
    ids=str,
)
def test_what_is_not_of_the_type_asked_for_is_refused_like_any_other_bad_value(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidEventError):
        PublishedLog().fabric.publish("orders", **{"key": "a", "type": "Placed", **wrong})


def test_wrong_input_is_refused_with_what_and_what_is_allowed() -> None:
    fabric = PublishedLog().fabric
    with pytest.raises(UnknownNameError, match=r"'order'.* local, orders") as unknown:
        fabric.publish("order", key="a", type="Placed")
    assert (unknown.value.kind, unknown.value.name, unknown.value.known) == (
        "stream",
        "order",
        ("local", "orders"),
    )
    with pytest.raises(WrongRegionError, match=r"stream local .* us-east-1.* eu-west-1") as wrong:
        fabric.publish("local", key="a", type="Placed")
    assert (wrong.value.subject, wrong.value.region, wrong.value.allowed) == (
        "stream local",
        "us-east-1",
        ("eu-west-1",),
    )
    with pytest.raises(EventTooLargeError, match="at most") as large:
        fabric.publish("orders", key="a", type="Placed", data="x" * RECORD_PAYLOAD_BYTES_MAX)
    assert [problem.path for problem in large.value.problems] == ["event"]
    with pytest.raises(InvalidEventError, match="finite"):
        fabric.publish("orders", key="a", type="Placed", data={"n": [1.0, float("nan")]})
    with pytest.raises(InvalidEventError, match="found object"):
        fabric.publish("orders", key="a", type="Placed", data=object())
    with pytest.raises(InvalidEventError, match="1025 bytes"):
        fabric.publish("orders", key="k" * 1025, type="Placed")
    with pytest.raises(InvalidEventError, match="headers"):
        fabric.publish("orders", key="a", type="Placed", headers={"Not-Allowed": "x"})


def test_a_lost_reply_is_settled_at_the_same_sequence() -> None:
    fabric = PublishedLog(nth(1, Fault.LOST_REPLY, name="log.append"))
    assert fabric.fabric.publish("orders", key="a", type="Placed", id="1") == Receipt(
        origin=fabric.fabric.region, lane=next(iter(fabric.lanes())), sequence=SequenceNumber(0), event_id="1"
    )
    assert list(fabric.lanes().values()) == [["1"]]


def test_a_publish_that_failed_leaves_nothing_behind_that_is_never_freed() -> None:
    """An error knows the frames that it went through, and a frame its receipts, and a receipt its error."""

    def publish() -> "weakref.ref[PublishedLog]":
        fabric = PublishedLog(lambda name, *_: Fault.THROTTLED if name == "log.tail" else None)
        pending = []
        with pytest.raises(PublishFailedError), fabric.fabric.publisher("orders") as publisher:
            pending.append(publisher.publish(key="a", type="T"))
        with pytest.raises(ContendedAppendError):
            pending[0].result()
        return weakref.ref(fabric)

    fabric = publish()
    gc.collect()
    assert fabric() is None
