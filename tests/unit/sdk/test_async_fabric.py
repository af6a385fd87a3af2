"""The fabric for asyncio: the same receipts and errors, and an event loop that goes on."""

import asyncio
import tracemalloc
from collections.abc import Sequence
from functools import partial
from threading import Event as Flag
from typing import Any

import pytest

from eventfabric import AsyncFabric, Event, Receipt
from eventfabric.errors import (
    BufferFullError,
    IndeterminateAppendError,
    InvalidEventError,
    PublishFailedError,
    RefusedError,
)
from eventfabric.model import LaneIndex, lane_index
from eventfabric.sdk.bundle import ROW_MEMORY_BYTES, Bundle
from eventfabric.sdk.outgoing import Outgoing
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.wire.payload_codec import pack_columns
from tests.support.gated_producer import GatedProducer, awaited
from tests.support.memory_fabric import HOME, STREAM
from tests.support.producers import always, events, records
from tests.support.subscribed_stream import SubscribedStream


def test_each_way_to_publish_gives_the_receipts_that_the_fabric_gives() -> None:
    shop = GatedProducer()

    async def use(fabric: AsyncFabric) -> list[Receipt]:
        first = await fabric.publish(STREAM, key="k", type="placed", id="e1", once=True)
        again = await fabric.publish(STREAM, key="k", type="placed", id="e1", once=True)
        many = await fabric.publish_many(
            STREAM, [Event(key="k", type="placed", id=f"m{n}") for n in range(3)]
        )
        assert await fabric.flush()
        return [first, again, *many]

    receipts = shop.run(use)
    assert [(receipt.event_id, receipt.sequence) for receipt in receipts] == [
        ("e1", 0),
        ("e1", 0),
        ("m0", 1),
        ("m1", 2),
        ("m2", 3),
    ]
    assert shop.ids() == ["e1", "m0", "m1", "m2"]


def test_bad_input_is_the_same_error() -> None:
    with pytest.raises(InvalidEventError):
        GatedProducer().run(lambda fabric: fabric.publish(STREAM, key="", type="placed"))


def test_the_event_loop_goes_on_while_an_append_is_on_its_way() -> None:
    shop = GatedProducer()
    shop.gate.clear()

    async def use(fabric: AsyncFabric) -> Receipt:
        publishing = asyncio.create_task(fabric.publish(STREAM, key="k", type="placed"))
        while not shop.entered.is_set():
            await asyncio.sleep(0)
        assert not publishing.done()
        shop.gate.set()
        return await publishing

    assert shop.run(use).sequence == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_a_publisher_keeps_order_and_its_receipts_are_awaited(workers: int) -> None:
    shop = GatedProducer(workers=workers)

    async def use(fabric: AsyncFabric) -> list[int]:
        async with fabric.publisher(STREAM, linger_ms=60_000, events_max=4) as publisher:
            pending = [await publisher.publish(key="k", type="placed", id=f"e{n}") for n in range(10)]
            assert [receipt.event_id for receipt in pending] == [f"e{n}" for n in range(10)]
            first = await pending[0]
            assert pending[0].done()
            assert await pending[0] == first
            await publisher.publish_event(Event(key="k", type="placed", id="last"))
            await publisher.flush()
        return [(await receipt).sequence for receipt in pending]

    assert shop.run(use) == list(range(10))
    assert shop.ids() == [*(f"e{n}" for n in range(10)), "last"]


def test_a_full_buffer_is_awaited_and_blocks_nobody_else() -> None:
    shop = GatedProducer()
    shop.gate.clear()

    async def use(fabric: AsyncFabric) -> int:
        room = 3 * (ROW_MEMORY_BYTES + 200)
        async with fabric.publisher(STREAM, linger_ms=60_000, buffer_bytes_max=room) as publisher:
            taken = 0

            async def publish() -> None:
                nonlocal taken
                for number in range(9):
                    await publisher.publish(key="k", type="placed", id=f"e{number}")
                    taken += 1

            task = asyncio.create_task(publish())
            while not shop.entered.is_set():
                await asyncio.sleep(0)
            before = taken
            shop.gate.set()
            await task
            return before

    assert 0 < shop.run(use) < 9
    assert shop.ids() == [f"e{number}" for number in range(9)]


def test_a_publisher_that_is_not_to_wait_says_that_it_is_full_and_takes_nothing() -> None:
    shop = GatedProducer()
    shop.gate.clear()
    with shop.fabric.publisher(
        STREAM, linger_ms=60_000, buffer_bytes_max=700, when_full="raise"
    ) as publisher:
        publisher.publish(key="k", type="placed", id="e1")
        with pytest.raises(BufferFullError, match="allowed: 700 that") as raised:
            publisher.publish(key="k", type="placed", id="e2")
        assert raised.value.size_bytes > ROW_MEMORY_BYTES
        assert (raised.value.buffer_bytes_max, raised.value.retryable) == (700, True)
        shop.gate.set()
        event = publisher.outgoing.encode_event(Event(key="k", type="placed", id="e2"))
        assert publisher.take(event, waits=True).event_id == "e2"
    assert shop.ids() == ["e1", "e2"]


def test_what_could_not_be_published_is_raised_where_it_is_awaited_and_at_the_end_where_it_is_not() -> None:
    shop = GatedProducer()
    shop.refuses = True

    async def use(fabric: AsyncFabric) -> None:
        async with fabric.publisher(STREAM, linger_ms=1) as publisher:
            seen = await publisher.publish(key="k", type="placed", id="seen")
            with pytest.raises(RefusedError):
                await seen
        async with fabric.publisher(STREAM, linger_ms=1) as publisher:
            await publisher.publish(key="k", type="placed", id="unseen")

    with pytest.raises(PublishFailedError, match="unseen"):
        shop.run(use)


def test_a_task_that_gives_up_leaves_the_others_their_receipts() -> None:
    shop = GatedProducer()
    shop.gate.clear()

    async def use(fabric: AsyncFabric) -> int:
        async with fabric.publisher(STREAM, linger_ms=1) as publisher:
            pending = await publisher.publish(key="k", type="placed")
            waiting = [asyncio.create_task(awaited(pending)) for _ in range(3)]
            while not shop.entered.is_set():
                await asyncio.sleep(0)
            waiting[0].cancel()
            await asyncio.sleep(0)
            shop.gate.set()
            return sum([(await task).sequence for task in waiting[1:]])

    assert shop.run(use) == 0
    assert len(shop.ids()) == 1


def test_a_closed_event_loop_hears_nothing_and_harms_nobody() -> None:
    shop = GatedProducer()
    shop.gate.clear()
    publisher = AsyncFabric(shop.fabric).publisher(STREAM, linger_ms=1)

    async def give_up() -> None:
        pending = await publisher.publish(key="k", type="placed")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(awaited(pending), 0.01)

    asyncio.run(give_up())
    shop.gate.set()
    asyncio.run(publisher.close())
    assert len(shop.ids()) == 1


def test_a_batch_of_unknown_outcome_is_settled() -> None:
    memory_fabric = SubscribedStream()
    faults = Faults(always(Fault.LOST_REPLY, "log.append"))
    fabric = memory_fabric.producer(
        append_timeout_seconds=0.5,
        log_of=lambda stream, region: faults.log(memory_fabric.cloud.log(stream.name, region)),
    )

    async def use() -> list[Receipt]:
        async with AsyncFabric(fabric) as shop:
            with pytest.raises(IndeterminateAppendError) as raised:
                await shop.publish(STREAM, key="k", type="placed")
            faults.heal()
            return await shop.publish_again(raised.value)

    (receipt,) = asyncio.run(use())
    assert receipt.sequence == 0
    assert len(events(memory_fabric, HOME)) == 1


def test_the_next_record_is_packed_while_the_last_is_on_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, packed = GatedProducer(), list[int]()

    def noted(ids: Sequence[str], *columns: Sequence[Any]) -> bytes:
        packed.append(len(ids))
        return pack_columns(ids, *columns)

    monkeypatch.setattr("eventfabric.wire.batch.pack_columns", noted)
    shop.gate.clear()
    with shop.fabric.publisher(STREAM, linger_ms=60_000, events_max=2) as publisher:
        for number in range(4):
            publisher.publish(key="k", type="placed", id=f"e{number}")
            assert number == 0 or shop.entered.wait(10)
        assert packed == [2, 2]
        shop.gate.set()
    assert packed == [2, 2]
    assert shop.ids() == ["e0", "e1", "e2", "e3"]


def test_what_lingers_in_a_busy_lane_goes_into_one_record_as_soon_as_that_is_free() -> None:
    shop = GatedProducer()
    shop.gate.clear()
    with shop.fabric.publisher(STREAM, linger_ms=1) as publisher:
        publisher.publish(key="k", type="placed", id="e0")
        assert shop.entered.wait(10)
        late = [publisher.publish(key="k", type="placed", id="e1")]
        Flag().wait(0.02)
        late.append(publisher.publish(key="k", type="placed", id="e2"))
        shop.gate.set()
        assert [receipt.result(10).sequence for receipt in late] == [1, 2]
    assert shop.ids() == ["e0", "e1", "e2"]
    assert [record.count for record in records(shop.memory_fabric, HOME)] == [1, 2]


def test_lanes_take_turns_where_there_are_more_than_workers() -> None:
    """One that always has a record waiting does not keep a worker to itself."""
    shop, appended = GatedProducer(lanes=4, workers=1), list[str]()
    key_of = {lane_index(f"k{number}", 4): f"k{number}" for number in range(100)}
    shop.gate.clear()
    with shop.fabric.publisher(STREAM, linger_ms=60_000, events_max=1) as publisher:
        for lane in (0, 0, 0, 1, 2):
            key = key_of[LaneIndex(lane)]
            publisher.publish(key=key, type="placed").when_done(partial(appended.append, str(lane)))
        shop.gate.set()
    assert appended == ["0", "1", "2", "0", "0"]


def test_a_record_whose_append_overtakes_its_packing_is_not_packed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop, ahead, pack_ahead = GatedProducer(), list[int](), Bundle.pack_ahead

    def late(bundle: Bundle, outgoing: Outgoing) -> None:
        ahead.append(len(bundle.contents))
        shop.gate.set()
        assert bundle.wait(0, 10)
        pack_ahead(bundle, outgoing)

    monkeypatch.setattr(Bundle, "pack_ahead", late)
    shop.gate.clear()
    with shop.fabric.publisher(STREAM, linger_ms=60_000, events_max=2) as publisher:
        pending = [publisher.publish(key="k", type="placed", id=f"e{number}") for number in range(4)]
    assert ahead == [2]
    assert [receipt.result().sequence for receipt in pending] == [0, 1, 2, 3]
    assert shop.ids() == ["e0", "e1", "e2", "e3"]


def test_a_publisher_takes_no_more_memory_than_it_was_given() -> None:
    shop, room = GatedProducer(), 4 * 2**20
    shop.gate.clear()
    with shop.fabric.publisher(
        STREAM, linger_ms=60_000, buffer_bytes_max=room, when_full="raise"
    ) as publisher:
        publisher.publish(key="k", type="placed")
        tracemalloc.start()
        try:
            with pytest.raises(BufferFullError):
                for number in range(room):
                    publisher.publish(
                        key=f"k{number % 50}", type="placed", data={"n": number, "x": "y" * 200}
                    )
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        shop.gate.set()
    assert room / 2 < taken <= room
