"""A publisher in trouble: interruptions, callbacks that do anything, no room, no threads. Nothing hangs or is lost."""

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event as Flag
from threading import Thread
from typing import Any

import msgspec
import pytest

from eventfabric import limits
from eventfabric.errors import InvalidEventError, NoThreadError, PublishFailedError, RefusedError
from eventfabric.model import LaneIndex, lane_index
from eventfabric.sdk.publisher import Publisher
from tests.support.memory_fabric import HOME, STREAM
from tests.support.producers import events, held_up
from tests.support.subscribed_stream import SubscribedStream

LANES = 4
KEYS = {lane_index(f"k{number}", LANES): f"k{number}" for number in range(100)}
KEY, OTHER = KEYS[LaneIndex(0)], KEYS[LaneIndex(1)]
SECONDS = 20
"""After which a test says that something hangs."""


class HeldUpProducer:
    """A fabric in memory; `before` each append may wait, or raise."""

    def __init__(self, *, workers: int, before: Callable[[], object] = lambda: None) -> None:
        self.memory_fabric = SubscribedStream(lanes=LANES)
        self.before = before
        self.fabric = held_up(self.memory_fabric, lambda: self.before(), parallel_lanes=workers)

    def publisher(self, **settings: Any) -> Publisher:
        return self.fabric.publisher(STREAM, **{"linger_ms": 60_000, **settings})

    def ids(self) -> list[str]:
        return sorted(str(event.id) for event in events(self.memory_fabric, HOME))


def within_time(call: Callable[[], object]) -> object:
    """Return the result of the call. Fail if it does not return in time."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result(SECONDS)


def publish(publisher: Publisher, name: str, key: str = KEY, **more: Any) -> Any:
    return publisher.publish(key=key, type="placed", id=name, **more)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_callback_that_fails_harms_nobody(workers: int) -> None:
    shop = HeldUpProducer(workers=workers)
    publisher = shop.publisher(linger_ms=1)
    publish(publisher, "e1").when_done(lambda: 1 / 0)
    within_time(publisher.flush)
    assert publish(publisher, "e2").result(SECONDS).sequence == 1
    within_time(publisher.close)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("events_max", [1, 2, 1_000])
def test_a_callback_may_publish_flush_and_wait_for_other_lanes(workers: int, events_max: int) -> None:
    shop = HeldUpProducer(workers=workers)
    publisher = shop.publisher(events_max=events_max, buffer_bytes_max=3_000, linger_ms=1)

    def again() -> None:
        publish(publisher, "again")
        assert publish(publisher, "other", OTHER).result(SECONDS).event_id == "other"
        called.set()

    called = Flag()
    first = publish(publisher, "e0")
    first.when_done(again)
    for number in range(1, 5):
        publish(publisher, f"e{number}")
    within_time(publisher.flush)
    assert called.wait(SECONDS), "a flush does not wait for callbacks"
    within_time(publisher.close)
    assert shop.ids() == ["again", "e0", "e1", "e2", "e3", "e4", "other"]
    assert publisher.buffered_bytes == 0


def test_a_callback_that_publishes_again_what_failed_ends_as_soon_as_that_succeeds() -> None:
    shop, tries = HeldUpProducer(workers=1), list[str]()

    def refuse() -> None:
        if len(tries) < 3:
            raise RefusedError("append", "told to")

    shop.before = refuse
    publisher = shop.publisher(events_max=1)

    def attempt() -> None:
        pending = publish(publisher, "e")
        pending.when_done(partial(retry, pending))

    def retry(pending: Any) -> None:
        try:
            pending.result(0)
        except RefusedError as error:
            tries.append(str(error))
            attempt()

    attempt()
    while not shop.ids():
        within_time(publisher.flush)
    within_time(publisher.close)
    assert len(tries) == 3


def test_an_interruption_without_workers_leaves_nothing_counted_and_the_publisher_of_use() -> None:
    shop = HeldUpProducer(workers=0)
    publisher = shop.publisher(events_max=50, buffer_bytes_max=100_000)

    def interrupt() -> None:
        shop.before = lambda: None
        raise KeyboardInterrupt

    shop.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        publisher.publish_all("placed", [(KEY, {"n": number}) for number in range(200)])
    within_time(publisher.flush)
    assert publisher.buffered_bytes == 0
    assert publish(publisher, "large", data="x" * 99_000).result(SECONDS).event_id == "large"
    with pytest.raises(PublishFailedError, match=r"100 events were not published .*: KeyboardInterrupt$"):
        publisher.close()


def test_an_interruption_between_the_columns_of_an_event_takes_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = HeldUpProducer(workers=0)
    publisher = shop.publisher()
    publish(publisher, "e1")
    bundle = publisher._bundles._open[LaneIndex(0)]

    class Interrupting(list[str]):
        def append(self, event_id: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(bundle, "ids", Interrupting(bundle.ids))
    before_bytes = publisher.buffered_bytes
    with pytest.raises(KeyboardInterrupt):
        publish(publisher, "e2")
    bundle.ids = list(bundle.ids)
    assert before_bytes <= publisher.buffered_bytes <= before_bytes + 100
    publish(publisher, "e3")
    publisher.close()
    assert (shop.ids(), publisher.buffered_bytes) == (["e1", "e3"], 0)


def test_a_record_that_cannot_be_packed_is_an_error_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = HeldUpProducer(workers=1)
    publisher = shop.publisher()
    with monkeypatch.context() as patched:
        patched.setattr(publisher.outgoing, "batch_id", lambda: 1 / 0)
        pending = publish(publisher, "e1")
        within_time(publisher.flush)
    with pytest.raises(ZeroDivisionError):
        pending.result(0)
    assert publish(publisher, "e2").result is not None
    within_time(publisher.close)
    assert shop.ids() == ["e2"]


def test_where_no_thread_can_be_started_the_callers_append(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = HeldUpProducer(workers=1)
    publisher = shop.publisher(events_max=2)

    def refuse(*_: object) -> None:
        raise NoThreadError("this publisher")

    assert publisher._bundles._pool is not None
    monkeypatch.setattr(publisher._bundles._pool, "submit", refuse)
    for number in range(5):
        publish(publisher, f"e{number}", KEYS[LaneIndex(number % LANES)])
    within_time(publisher.flush)
    publish(publisher, "last")
    within_time(publisher.close)
    assert shop.ids() == ["e0", "e1", "e2", "e3", "e4", "last"]


def test_a_lingerer_that_cannot_be_started_takes_no_event_and_is_started_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = HeldUpProducer(workers=1)
    publisher = shop.publisher(linger_ms=1)

    def refuse(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched, pytest.raises(NoThreadError, match="start"):
        patched.setattr(Thread, "start", refuse)
        publish(publisher, "e1")
    assert publisher.buffered_bytes == 0
    pending = publish(publisher, "e2")
    assert pending.result(SECONDS).sequence == 0
    within_time(publisher.close)


class Busy:
    """A publisher that other threads keep full of small events until the block ends."""

    def __init__(self, publisher: Publisher, *keys: str) -> None:
        self.publisher, self.ended = publisher, Flag()
        self.threads = [Thread(target=self._run, args=(key,), daemon=True) for key in keys]

    def _run(self, key: str) -> None:
        while not self.ended.is_set():
            self.publisher.publish(key=key, type="placed")

    def __enter__(self) -> None:
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(SECONDS)


def test_flush_waits_for_what_was_taken_before_it_and_not_for_more() -> None:
    shop = HeldUpProducer(workers=2, before=partial(Flag().wait, 0.002))
    publisher = shop.publisher(events_max=5, buffer_bytes_max=20_000)
    with Busy(publisher, KEY, OTHER):
        pending = publish(publisher, "own")
        within_time(publisher.flush)
        assert pending.done()
    within_time(publisher.close)


@pytest.mark.parametrize("count", [1, 100])
def test_a_large_event_and_many_at_once_get_their_turn_among_small_ones(count: int) -> None:
    shop = HeldUpProducer(workers=2, before=partial(Flag().wait, 0.002))
    publisher = shop.publisher(buffer_bytes_max=60_000)
    with Busy(publisher, KEY, OTHER):
        large: list[tuple[str, object]] = [(KEY, {"x": "x" * (30_000 // count)})] * count
        pending: Any = within_time(partial(publisher.publish_all, "placed", large))
        assert len(pending) == count
    within_time(publisher.close)


def test_json_that_is_not_ours_may_have_ends_of_lines() -> None:
    shop = HeldUpProducer(workers=0)
    data = {"raw": msgspec.Raw(b'{\n "x": 1\n}')}
    for _ in range(2):
        with shop.publisher() as publisher:
            publisher.publish_all("placed", [(KEY, data), (KEY, {"n": 1})])
    assert [event.data for event in events(shop.memory_fabric, HOME)] == [{"raw": {"x": 1}}, {"n": 1}] * 2


def test_what_was_drawn_from_an_iterator_before_it_failed_is_published() -> None:
    shop = HeldUpProducer(workers=0)

    def given() -> Iterator[tuple[str, object]]:
        for number in range(limits.PUBLISH_CHUNK_EVENTS + 10):
            yield KEY, {"n": number}
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="gone"), shop.publisher() as publisher:
        publisher.publish_all("placed", given())
    assert [event.data["n"] for event in events(shop.memory_fabric, HOME)] == list(
        range(limits.PUBLISH_CHUNK_EVENTS + 10)
    )


@pytest.mark.parametrize("wrong", [("k",), "ke", None, ("k", {}, 1)], ids=repr)
def test_an_item_that_is_no_key_with_its_data_is_named(wrong: Any) -> None:
    shop = HeldUpProducer(workers=0)
    given: list[Any] = [(KEY, {"n": 0}), (KEY, {"n": 1}), wrong, (KEY, {"n": 3})]
    named = pytest.raises(InvalidEventError, match=r"events\[2\]: found .*, allowed: a key and its data")
    with named, shop.publisher() as publisher:
        publisher.publish_all("placed", given)
    assert [event.data["n"] for event in events(shop.memory_fabric, HOME)] == [0, 1]


def test_an_event_that_fits_once_fits_again() -> None:
    """Whatever is known of its key and type by then: the largest of all."""
    shop = HeldUpProducer(workers=0)

    def fits(size: int) -> bool:
        outgoing = shop.fabric._stream(STREAM)
        outgoing._places.clear()
        try:
            outgoing.encode({"key": KEY, "type": "placed", "data": {"x": "x" * size}})
        except InvalidEventError:
            return False
        return True

    size = max(
        size
        for size in range(limits.RECORD_PAYLOAD_BYTES_MAX - 300, limits.RECORD_PAYLOAD_BYTES_MAX)
        if fits(size)
    )
    for _ in range(2):
        shop.fabric.publish(STREAM, key=KEY, type="placed", data={"x": "x" * size})
    with shop.publisher() as publisher:
        publisher.publish_all("placed", [(KEY, {"x": "x" * size}), (KEY, {})])
    assert len(events(shop.memory_fabric, HOME)) == 4


WIDE = "☂" + "k" * 100


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"headers": {"a": "b"}},
        {"headers": {f"h{n}": f"value {n}" for n in range(10)}},
        {"id": WIDE},
        {"headers": {"a": WIDE}},
        {"key": WIDE},
        {"source": WIDE, "time": "2026-11-25T00:00:00.5Z"},
    ],
    ids=lambda given: ",".join(given),
)
def test_what_counts_is_the_memory_that_an_event_needs(given: dict[str, Any]) -> None:
    gate, count = Flag(), 2_000
    shop = HeldUpProducer(workers=1, before=partial(gate.wait, SECONDS))

    def attributes_of(number: int) -> dict[str, Any]:
        """Return attributes that are equal, but objects of their own."""
        made = {"key": f"k{number}", "type": "placed", "data": {"n": number}, **given}
        for name in ("key", "id", "source"):
            if made.get(name) == WIDE:
                made[name] = f"{WIDE}{number}"
        if "headers" in made:
            made["headers"] = {f"{name}": f"{value}{number}" for name, value in made["headers"].items()}
        return made

    with shop.publisher() as publisher:
        publisher.publish(**attributes_of(0))
        before_bytes = publisher.buffered_bytes
        tracemalloc.start()
        try:
            for number in range(1, count):
                publisher.publish(**attributes_of(number))
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        counted = publisher.buffered_bytes - before_bytes
        gate.set()
    assert counted / 3 < held <= counted, sys.getsizeof(given)
