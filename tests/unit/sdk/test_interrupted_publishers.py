"""Ends that are no returns: exceptions of signal handlers, exits, cancellations, and processes without threads."""

import asyncio
import sys
from collections.abc import Iterator
from gc import collect
from pathlib import Path
from threading import Event as Gate
from threading import Thread
from threading import enumerate as threads_alive
from types import FrameType
from typing import Any

import pytest

from eventfabric import AsyncFabric, Fabric, copies, limits
from eventfabric.errors import NoThreadError, RefusedError
from eventfabric.sdk import bundle, bundles, exits, waiting, workers
from eventfabric.sdk.publisher import Publisher
from tests.support.interruptions import interrupted
from tests.support.memory_fabric import HOME, STREAM
from tests.unit.sdk.test_express import RingingProducer
from tests.unit.sdk.test_forked_publishers import no_threads_are_left
from tests.unit.sdk.test_publisher_trouble import KEY, OTHER, SECONDS, HeldUpProducer, publish, within_time

_MODULES = (bundle, bundles, waiting, workers)


def refused() -> None:
    raise RefusedError("append", "told to")


def test_wherever_an_interruption_meets_a_publisher_no_event_is_lost_twice_or_hangs() -> None:
    """At each line in turn; a publisher for each. What was accepted is appended once, and so is what follows."""
    number, reached = 0, True
    while reached:
        number += 1
        shop = HeldUpProducer(workers=1)
        publisher = shop.publisher(events_max=2, buffer_bytes_max=1_500)
        pending = [publish(publisher, "first")]  # its threads run

        def take(publisher: Publisher = publisher, pending: list[Any] = pending) -> None:
            for name, key in zip("abcdef", (KEY, KEY, KEY, OTHER, KEY, OTHER), strict=True):
                pending.append(publish(publisher, name, key))
            publisher.flush()

        reached = interrupted(number, take, _MODULES)
        pending += [publish(publisher, f"after {key}", key) for key in (KEY, OTHER)]
        within_time(publisher.flush)
        assert all(receipt.result(SECONDS) for receipt in pending)
        ids = shop.ids()
        assert len(ids) == len(set(ids))
        assert {receipt.event_id for receipt in pending} <= set(ids)
        assert publisher.buffered_bytes == 0
        within_time(publisher.close)
    assert number > 100


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), asyncio.CancelledError(), ValueError("x")])
def test_events_that_are_refused_are_reported_however_the_block_ends(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    shop = HeldUpProducer(workers=1, before=refused)
    with pytest.raises(type(error)) as caught, shop.publisher() as publisher:
        publish(publisher, "a")
        publish(publisher, "b")
        raise error
    assert caught.value is error
    assert "2 events were not published" in caplog.text


def test_a_generator_that_is_dropped_reports_what_its_publisher_could_not_publish(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = HeldUpProducer(workers=1, before=refused)

    def publishing() -> Iterator[str]:
        with shop.publisher() as publisher:
            publish(publisher, "a")
            yield "taken"

    generator = publishing()
    next(generator)
    del generator
    collect()
    assert "1 event was not published" in caplog.text


class Slow:
    """A publisher for which the end of a process waits, and which raises an exit."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def hurry(self) -> None: ...

    def finish(self, until: float) -> None:
        raise self.error

    def lost(self) -> int:
        return 20


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt()])
def test_a_signal_during_the_last_flush_does_not_hide_what_is_lost(
    error: BaseException, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exits, "_open", {})
    slow = Slow(error)
    exits.opened(slow)
    exits._end()
    assert "20 events were not published" in capsys.readouterr().err


def test_a_cancelled_program_does_not_wait_behind_calls_that_wait_for_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "EXIT_FLUSH_SECONDS", 0.1)
    gate = Gate()
    shop = HeldUpProducer(workers=1, before=lambda: gate.wait(SECONDS))
    taken = asyncio.Event()

    async def main() -> None:
        async with (
            AsyncFabric(shop.fabric, calls_max=2) as fabric,
            fabric.publisher(STREAM, buffer_bytes_max=2_000) as publisher,
        ):

            async def make(number: int) -> None:
                await publisher.publish(key=KEY, type="placed", id=str(number))
                taken.set()

            await asyncio.gather(*(make(number) for number in range(200)))

    async def cancelled() -> None:
        program = asyncio.ensure_future(main())
        await taken.wait()
        program.cancel()
        await asyncio.wait_for(asyncio.wait([program]), SECONDS)
        assert program.cancelled()

    asyncio.run(cancelled())
    gate.set()
    assert no_threads_are_left("eventfabric-async", "eventfabric-close", "eventfabric-publisher")


def test_a_publisher_that_closes_sends_away_who_waits_for_room() -> None:
    gate, entered = Gate(), Gate()

    def before() -> None:
        entered.set()
        gate.wait(SECONDS)

    shop = HeldUpProducer(workers=1, before=before)
    publisher = shop.publisher(buffer_bytes_max=1_000, events_max=1)
    ended: list[str] = []

    def take() -> None:
        try:
            for number in range(9):
                publish(publisher, str(number))
        except Exception as error:  # whichever it is, is looked at below
            ended.append(str(error))

    taker = Thread(target=take)
    taker.start()
    assert entered.wait(SECONDS)
    closer = Thread(target=publisher.close)
    closer.start()
    taker.join(SECONDS)
    assert ended == ["the publisher is closed: publish inside its with block"]
    gate.set()
    closer.join(SECONDS)
    assert shop.ids()


@pytest.fixture
def no_new_threads(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    def refuse(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refuse)
    return monkeypatch


def test_a_process_without_threads_gets_a_typed_error(no_new_threads: pytest.MonkeyPatch) -> None:
    shop = HeldUpProducer(workers=1)
    publisher = shop.publisher()
    with pytest.raises(NoThreadError, match="this publisher") as caught:
        publish(publisher, "a")
    assert caught.value.retryable
    assert caught.value.no_effect

    async def main() -> None:
        async with AsyncFabric(shop.fabric) as fabric:
            with pytest.raises(NoThreadError, match="AsyncFabric"):
                await fabric.publish(STREAM, key=KEY, type="placed")

    asyncio.run(main())
    assert shop.ids() == []


def test_doorbells_that_found_no_thread_do_not_count_as_rung_and_ring_with_the_next() -> None:
    shop = RingingProducer(has_threads=True)
    fabric, bells = shop.fabric, shop.bells[HOME]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Thread, "start", lambda thread: (_ for _ in ()).throw(RuntimeError("can't start")))
        fabric.publish(STREAM, key="a", type="placed")
        assert not fabric.flush()
        assert bells.calls == 0
    assert fabric.flush()
    rung = bells.calls
    assert rung > 0
    fabric.publish(STREAM, key="a", type="placed")
    assert fabric.flush()
    assert bells.calls > rung


def test_a_fabric_that_is_dropped_frees_its_threads() -> None:
    before = set(threads_alive())

    def published(fabric: Fabric) -> None:
        fabric.publish(STREAM, key="a", type="placed")
        assert fabric.flush()

    for _ in range(20):
        published(RingingProducer(has_threads=True).fabric)
    collect()
    for thread in set(threads_alive()) - before:
        if thread.name.startswith("eventfabric-express"):
            thread.join(SECONDS)
            assert not thread.is_alive()
    assert not any(type(exit_).__name__ == "Express" for exit_ in exits._open.values())


def test_no_python_runs_where_what_is_renewed_is_collected() -> None:
    """An interruption that met it would be lost, and at the end of a process its module may be gone."""

    class Renewed:
        def renew(self) -> None: ...

    renewed = Renewed()
    before = len(copies._forked)
    copies.when_forked(renewed.renew)
    calls: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and Path(frame.f_code.co_filename).name in ("copies.py", "weakref.py"):
            calls.append(frame.f_code.co_name)

    profiler = sys.getprofile()
    sys.setprofile(note)
    try:
        del renewed
    finally:
        sys.setprofile(profiler)
    assert calls == []
    assert len(copies._forked) <= before
