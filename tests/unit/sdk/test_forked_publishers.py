"""Owners of threads that were made before a fork: they raise at once in the child, and nothing there hangs."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from gc import collect
from threading import Event as Flag
from threading import Thread
from threading import enumerate as threads_alive
from typing import Any

import pytest

from eventfabric import AsyncFabric
from eventfabric.errors import CopiedProcessError, EventFabricError
from eventfabric.sdk.publisher import Publisher
from eventfabric.sdk.workers import Workers
from tests.support.forks import SECONDS, in_a_fork
from tests.support.gated_producer import GatedProducer
from tests.support.memory_fabric import STREAM


@pytest.fixture
def shop() -> Iterator[GatedProducer]:
    shop = GatedProducer()
    shop.gate.clear()
    yield shop
    shop.gate.set()


def raises(call: Callable[[], object]) -> None:
    with pytest.raises(CopiedProcessError):
        call()


def publish(publisher: Publisher, name: str = "e1") -> Any:
    return publisher.publish(key="k", type="placed", id=name)


@pytest.mark.parametrize("linger_ms", [0, 60_000], ids=["under way", "open"])
def test_every_verb_of_an_inherited_publisher_raises_and_its_end_hangs_nowhere(
    shop: GatedProducer, linger_ms: int
) -> None:
    with shop.fabric.publisher(STREAM, linger_ms=linger_ms) as publisher:
        pending = publish(publisher)

        def child() -> None:
            raises(lambda: publish(publisher))
            raises(lambda: publisher.publish_all("placed", [("k", {})]))
            raises(publisher.flush)
            raises(lambda: pending.result(SECONDS))
            assert pending.done()
            publisher.close()
            with publisher:
                pass

        assert in_a_fork(child) == 0
        shop.gate.set()
    assert pending.result(SECONDS).sequence == 0


def test_a_lock_held_over_the_fork_stops_nobody(shop: GatedProducer) -> None:
    with shop.fabric.publisher(STREAM, linger_ms=60_000) as publisher:
        publish(publisher)
        held, free = Flag(), Flag()

        def hold() -> None:
            with publisher._bundles._lock:
                held.set()
                free.wait(SECONDS)

        holder = Thread(target=hold)
        holder.start()
        held.wait(SECONDS)
        try:
            assert in_a_fork(lambda: raises(lambda: publish(publisher))) == 0
        finally:
            free.set()
            holder.join()
        shop.gate.set()


def test_a_fabric_publishes_in_a_forked_child_and_so_does_a_publisher_made_there(shop: GatedProducer) -> None:
    shop.gate.set()
    shop.fabric.publish(STREAM, key="k", type="placed")

    def child() -> None:
        assert shop.fabric.publish(STREAM, key="k", type="placed").sequence == 1
        with shop.fabric.publisher(STREAM) as publisher:
            pending = publish(publisher, "e2")
        assert pending.result(SECONDS).sequence == 2
        assert shop.fabric.flush()

    assert in_a_fork(child) == 0


def test_every_verb_of_an_inherited_async_fabric_raises(shop: GatedProducer) -> None:
    shop.gate.set()
    fabric = AsyncFabric(shop.fabric)

    async def use() -> Any:
        await fabric.publish(STREAM, key="k", type="placed")
        return fabric.publisher(STREAM)

    publisher = asyncio.run(use())

    async def verbs() -> None:
        for verb in (
            lambda: fabric.publish(STREAM, key="k", type="placed"),
            lambda: fabric.publish_many(STREAM, []),
            fabric.flush,
            lambda: publisher.publish(key="k", type="placed"),
            publisher.flush,
        ):
            with pytest.raises(CopiedProcessError):
                await verb()
        raises(lambda: fabric.publisher(STREAM))
        fabric.close()

    assert in_a_fork(lambda: asyncio.run(verbs())) == 0
    asyncio.run(publisher.close())
    fabric.close()


_OF_PUBLISHERS = ("eventfabric-publisher", "eventfabric-linger")


def no_threads_are_left(*names: str) -> bool:
    """Wait for the threads of these names to end; False where one does not."""
    mine = [thread for thread in threads_alive() if thread.name.startswith(names)]
    for thread in mine:
        thread.join(SECONDS)
    return not any(thread.is_alive() for thread in mine)


def test_publishers_that_are_dropped_append_what_they_took_and_free_their_threads(
    shop: GatedProducer,
) -> None:
    shop.gate.set()
    assert no_threads_are_left(*_OF_PUBLISHERS)
    pending = []
    for number in range(50):
        publisher = shop.fabric.publisher(STREAM, linger_ms=60_000)
        pending.append(publish(publisher, f"e{number}"))
        held = [publisher]
        del publisher
        with pytest.warns(ResourceWarning, match="was not closed"):
            held.clear()
    assert sorted(receipt.result(SECONDS).sequence for receipt in pending) == list(range(50))
    assert no_threads_are_left(*_OF_PUBLISHERS)


def test_a_closed_publisher_warns_of_nothing_and_has_no_threads(
    shop: GatedProducer, recwarn: pytest.WarningsRecorder
) -> None:
    shop.gate.set()
    collect()
    recwarn.clear()  # of what earlier tests left
    with shop.fabric.publisher(STREAM) as publisher:
        publish(publisher)
    del publisher
    collect()
    assert not [warning for warning in recwarn if warning.category is ResourceWarning]
    assert no_threads_are_left(*_OF_PUBLISHERS)


def test_workers_do_what_they_are_given_and_end_when_nobody_holds_them() -> None:
    workers = Workers(2, "eventfabric-test", owner="these")
    assert [workers.submit(lambda n=n: n * n).result(SECONDS) for n in range(10)] == [
        n * n for n in range(10)
    ]
    with pytest.raises(ZeroDivisionError):
        workers.submit(lambda: 1 / 0).result(SECONDS)
    del workers
    collect()
    assert no_threads_are_left("eventfabric-test")


def test_closed_workers_finish_what_they_have_and_take_no_more() -> None:
    workers, gate = Workers(1, "eventfabric-test", owner="these"), Flag()
    running = workers.submit(gate.wait, SECONDS)
    workers.close(0.01)
    with pytest.raises(EventFabricError, match="closed"):
        workers.submit(gate.set)
    gate.set()
    assert running.result(SECONDS)
    with suppress(RuntimeError):
        workers.shutdown()
