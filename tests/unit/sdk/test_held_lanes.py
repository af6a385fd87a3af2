"""Publishers of a stream that is gated: lanes without credit wait, and the others go on."""

import asyncio
from functools import partial
from threading import Event, Thread

import pytest

from eventfabric import AsyncFabric, limits
from eventfabric.errors import BackpressureError, BufferFullError, PublishFailedError
from eventfabric.model import LaneIndex, LaneKey, SequenceNumber, StreamName, SubscriptionName, lane_index
from eventfabric.sdk.held_lanes import HeldLanes
from eventfabric.sdk.publisher import WhenFull
from eventfabric.services.publishing.credits import Gate, KnownCredits
from eventfabric.testing.memory.faults import Faults
from tests.support.memory_fabric import HOME, STREAM, event, lane
from tests.support.subscribed_stream import SubscribedStream

GATE = Gate(SubscriptionName("billing"))
KEYS = {lane_index(f"k{number}", 4): f"k{number}" for number in range(100)}
"""A key of each lane."""


@pytest.fixture(autouse=True)
def _credits_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time go by until a read is due."""
    monkeypatch.setattr(KnownCredits, "_is_due", lambda *_: True)
    monkeypatch.setattr(KnownCredits, "_retry_seconds", lambda _: 0.0)


def noted_hold(monkeypatch: pytest.MonkeyPatch) -> Event:
    """Return what is set once a lane is held back."""
    hold, is_held = HeldLanes.hold, Event()

    def noted(lanes: HeldLanes, index: LaneIndex, error: BackpressureError) -> bool:
        is_held.set()
        return hold(lanes, index, error)

    monkeypatch.setattr(HeldLanes, "hold", noted)
    return is_held


class GatedStream(SubscribedStream):
    """A stream of four lanes, which is gated, and a producer with threads."""

    def __init__(self, *, parallel_lanes: int = 2) -> None:
        super().__init__(lanes=4)
        self.failing = Faults()
        self.shop = self.producer(
            HOME,
            parallel_lanes=parallel_lanes,
            credits_of=lambda region: self.failing.credits(self.cloud.credits(region)),
            gates_of=lambda stream: (GATE,),
        )

    def grants(self, grant: int, index: int) -> None:
        key = LaneKey(StreamName(STREAM), GATE.subscription, lane(index))
        self.cloud.credits(HOME).grant(key, SequenceNumber(grant))

    def ids(self, index: int) -> list[str | None]:
        return [published.id for published in self.events() if published.lane == lane(index)]


def test_events_of_a_lane_wait_for_credit_and_land_in_their_order_as_it_is_granted() -> None:
    gated = GatedStream()
    gated.grants(0, 0)
    with gated.shop.publisher(STREAM, linger_ms=0) as publisher:
        pending = [
            publisher.publish(key=KEYS[LaneIndex(0)], type="placed", id=f"e{number:02}")
            for number in range(40)
        ]
        for grant in (1, 7, 8, 30, 40):
            assert not pending[-1].done()
            gated.grants(grant, 0)
        assert [receipt.result(30).sequence for receipt in pending] == list(range(40))
    assert gated.ids(0) == [f"e{number:02}" for number in range(40)]


def test_lanes_that_are_held_back_keep_no_thread_from_the_others() -> None:
    gated = GatedStream(parallel_lanes=1)
    for index in range(3):
        gated.grants(0, index)
    publisher = gated.shop.publisher(STREAM, linger_ms=0)
    held = [publisher.publish(key=KEYS[LaneIndex(index)], type="placed") for index in range(3)]
    for _ in range(5):
        publisher.publish(key=KEYS[LaneIndex(3)], type="placed").result(30)
    assert not any(receipt.done() for receipt in held)
    for index in range(3):
        gated.grants(1, index)
    publisher.close()
    assert [receipt.result().sequence for receipt in held] == [0, 0, 0]


@pytest.mark.parametrize("when_full", ["raise", "wait"])
def test_a_lane_that_is_held_back_takes_one_record_s_worth_and_leaves_the_rest_of_the_buffer_to_others(
    when_full: WhenFull, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated, is_held = GatedStream(), noted_hold(monkeypatch)
    gated.grants(0, 0)
    publisher = gated.shop.publisher(STREAM, linger_ms=0, events_max=10, when_full=when_full)
    held = [publisher.publish(key=KEYS[LaneIndex(0)], type="placed")]
    assert is_held.wait(30)
    refused: list[BufferFullError] = []

    def fill() -> None:
        try:
            for number in range(30):
                held.append(publisher.publish(key=KEYS[LaneIndex(0)], type="placed", id=f"e{number}"))
        except BufferFullError as error:
            refused.append(error)

    filling = Thread(target=fill)
    filling.start()
    if when_full == "raise":
        filling.join(30)
        assert isinstance(refused[0], BackpressureError)
        assert len(held) == 10
    publisher.publish(key=KEYS[LaneIndex(1)], type="placed").result(30)
    gated.grants(100, 0)
    filling.join(30)
    publisher.close()
    assert [receipt.result().sequence for receipt in held] == list(range(len(held)))
    assert len(held) == 31 or when_full == "raise"


def test_events_that_never_get_credit_are_reported_when_the_publisher_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "APPEND_TIMEOUT_SECONDS", 0)
    gated = GatedStream()
    gated.grants(2, 0)
    with pytest.raises(PublishFailedError) as caught, gated.shop.publisher(STREAM, linger_ms=0) as publisher:
        for number in range(5):
            publisher.publish(key=KEYS[LaneIndex(0)], type="placed", id=f"e{number}")
    assert [event_id for event_id, _ in caught.value.failures] == ["e2", "e3", "e4"]
    assert {type(error) for _, error in caught.value.failures} <= {BackpressureError}
    assert caught.value.published == 2


def test_a_publisher_without_threads_waits_in_the_caller_s(monkeypatch: pytest.MonkeyPatch) -> None:
    gated = GatedStream(parallel_lanes=0)
    gated.grants(1, 0)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        gated.grants(len(waits) + 1, 0)

    monkeypatch.setattr(gated.clock, "sleep", wait)
    with gated.shop.publisher(STREAM, linger_ms=0) as publisher:
        pending = [publisher.publish(key=KEYS[LaneIndex(0)], type="placed") for _ in range(5)]
    assert [receipt.result().sequence for receipt in pending] == list(range(5))
    assert waits


def test_a_receipt_is_known_once_its_own_event_stands_in_the_log_and_not_only_with_the_rest() -> None:
    gated, called, are_called = GatedStream(), list[int](), {2: Event(), 9: Event()}
    gated.grants(3, 0)
    with gated.shop.publisher(STREAM, linger_ms=60_000, events_max=10) as publisher:
        pending = [publisher.publish(key=KEYS[LaneIndex(0)], type="placed") for _ in range(10)]
        for number, receipt in enumerate(pending):
            receipt.when_done(partial(called.append, number))
            if number in are_called:
                receipt.when_done(are_called[number].set)
        assert [receipt.result(30).sequence for receipt in pending[:3]] == [0, 1, 2]
        assert are_called[2].wait(30)
        with pytest.raises(TimeoutError):
            pending[3].result(0)
        assert [receipt.done() for receipt in pending] == [True] * 3 + [False] * 7
        pending[0].when_done(partial(called.append, -1))
        assert called == [0, 1, 2, -1]
        gated.grants(100, 0)
        assert [receipt.result(30).sequence for receipt in pending] == list(range(10))
    assert are_called[9].wait(30)
    assert called == [0, 1, 2, -1, 3, 4, 5, 6, 7, 8, 9]


def test_a_listener_that_fails_keeps_no_other_part_from_landing(caplog: pytest.LogCaptureFixture) -> None:
    gated, called = GatedStream(), list[int]()
    gated.grants(1, 0)
    publisher = gated.shop.publisher(STREAM, linger_ms=60_000, events_max=2)
    pending = [publisher.publish(key=KEYS[LaneIndex(0)], type="placed")]
    pending[0].when_done(lambda: called.append(1 // 0))
    pending.append(publisher.publish(key=KEYS[LaneIndex(0)], type="placed"))
    pending[0].result(30)
    gated.grants(2, 0)
    publisher.close()
    assert ([receipt.result().sequence for receipt in pending], called) == ([0, 1], [])
    assert "what waited for a receipt" in caplog.text


def test_events_of_a_lane_that_is_held_back_are_awaited_without_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gated, is_held = GatedStream(), noted_hold(monkeypatch)
    gated.grants(0, 0)

    async def publish() -> list[int]:
        async with AsyncFabric(gated.shop, calls_max=1) as fabric:
            publisher = fabric.publisher(STREAM, linger_ms=0, events_max=2)
            first = await publisher.publish(key=KEYS[LaneIndex(0)], type="placed")
            assert await asyncio.to_thread(is_held.wait, 30)
            held = [
                asyncio.create_task(publisher.publish(key=KEYS[LaneIndex(0)], type="placed"))
                for _ in range(19)
            ]
            flushed = asyncio.create_task(publisher.flush())
            many = asyncio.create_task(
                fabric.publish_many(
                    STREAM, [event(f"m{number}", key=KEYS[LaneIndex(0)]) for number in range(5)]
                )
            )
            other = await fabric.publish(STREAM, key=KEYS[LaneIndex(1)], type="placed")
            async with fabric.publisher(STREAM, linger_ms=0) as others:
                receipt = await others.publish(key=KEYS[LaneIndex(2)], type="placed")
                assert ((await receipt).sequence, other.sequence) == (0, 0)
            assert not all(task.done() for task in held)
            gated.grants(100, 0)
            receipts = [first, *[await task for task in held]]
            await flushed
            await publisher.close()
            receipts_of_many = await many
            assert [receipt.event_id for receipt in receipts_of_many] == [f"m{n}" for n in range(5)]
            sequences = [(await receipt).sequence for receipt in receipts]
            return sorted([*sequences, *(receipt.sequence for receipt in receipts_of_many)])

    assert asyncio.run(asyncio.wait_for(publish(), 60)) == list(range(25))
