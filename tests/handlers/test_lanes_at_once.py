"""Several lanes of one invocation at the same time: where the subscription allows it, and no more than it allows."""

from collections.abc import Callable, Sequence
from threading import Barrier, Lock
from typing import Any

import pytest

from eventfabric import Delivery, Event, limits
from eventfabric.definition.file import parse_definition
from eventfabric.model import GENERATION_FIRST, Doorbell, Lane, Region, SequenceNumber, StreamName, lane_index
from eventfabric.runtime.deliver import deliverer_of
from eventfabric.runtime.threads import Threads
from eventfabric.services.delivery.side_by_side import SideBySide
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.topology import Topology
from tests.handlers.test_functions import US, InvokedFunctions

LANES = 16


def topology(concurrency: int) -> Topology:
    return Topology(
        parse_definition(
            f'[fabric]\nname = "shop"\nregions = ["{US}"]\n[streams.orders]\nlanes = {LANES}\n'
            '[subscriptions.all]\nstream = "orders"\nhandler = "subscribers.any:handle"\n'
            f"concurrency = {concurrency}\n"
        )
    )


class Watching(InvokedFunctions):
    """Knows how many attempts are under way at the same time; in the handler, `meet` of them wait for each other."""

    def __init__(self, concurrency: int, *, meet: int = 1, **settings: Any) -> None:
        super().__init__(topology=topology(concurrency), **{"side_by_side_of": Threads, **settings})
        self._lock, self._barrier = Lock(), Barrier(meet)
        self.inside = self.most = 0

    def handle(self, event: Event, delivery: Delivery) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            self._barrier.wait(10)
            super().handle(event, delivery)
        finally:
            with self._lock:
                self.inside -= 1

    def publish(self, *keys: str) -> None:
        for key in keys:
            self.fabric.publish("orders", key=key, type="placed", id=key)
        self.relay()

    def drain(self) -> None:
        for _ in range(30):
            self.clock.advance(1_000)
            assert self.deliver() == []
        assert len(self.queue) == 0


def keys_of_lanes(count: int) -> list[str]:
    """A key of each of so many lanes."""
    keys: dict[int, str] = {}
    for number in range(1_000):
        keys.setdefault(lane_index(f"k{number}", LANES), f"k{number}")
    return list(keys.values())[:count]


def deliverer_by_key(functions: InvokedFunctions) -> Callable[[str], int]:
    """Return a function that tells to which of two deliverers a key's lane goes."""
    runtime = functions.runtime("all")

    def of(key: str) -> int:
        lane = Lane(Region(US), GENERATION_FIRST, lane_index(key, LANES))
        return deliverer_of(runtime, Doorbell(StreamName("orders"), lane, SequenceNumber(1)))

    return of


def test_lanes_are_delivered_at_the_same_time() -> None:
    functions = Watching(2, meet=2)  # returns only where two are in it together
    of = deliverer_by_key(functions)
    first, other = (next(key for key in keys_of_lanes(10) if of(key) == wanted) for wanted in (0, 1))
    functions.publish(first, other)
    assert functions.deliver() == []
    assert sorted(map(str, functions.seen)) == sorted([first, other])


@pytest.mark.parametrize("concurrency", [2, 3, 8])
def test_no_more_attempts_are_under_way_than_the_subscription_allows(concurrency: int) -> None:
    functions = Watching(concurrency)
    keys = [f"k{number}" for number in range(60)]
    functions.publish(*keys)
    functions.drain()
    assert sorted(map(str, functions.seen)) == sorted(keys)
    assert functions.most <= concurrency


def test_a_lane_whose_commit_is_throttled_for_a_moment_is_done_like_the_others_and_hands_nothing_out_twice() -> (
    None
):
    functions = Watching(4, faults=Faults(nth(1, Fault.THROTTLED, name="ledger.commit")))
    keys = keys_of_lanes(6)
    functions.publish(*keys)
    assert functions.deliver() == []
    assert sorted(map(str, functions.seen)) == sorted(keys)


def refusing(most: int) -> SideBySide:
    def refuse(calls: Sequence[Callable[[], None]]) -> None:
        pytest.fail(f"{len(calls)} calls at the same time")

    return refuse


def test_where_nothing_is_made_at_the_same_time_one_deliverer_has_all_the_memory() -> None:
    functions = InvokedFunctions(topology=topology(4))
    assert len(functions.runtime("all").deliverers) == 1
    assert len(Watching(4).runtime("all").deliverers) == 4


def test_without_concurrency_lanes_come_one_after_another() -> None:
    functions = Watching(1, side_by_side_of=refusing)
    functions.publish(*keys_of_lanes(6))
    assert functions.deliver() == []
    assert len(functions.seen) == 6


def test_after_a_crash_lanes_come_one_after_another() -> None:
    functions = Watching(4, side_by_side_of=refusing)
    keys = keys_of_lanes(6)
    functions.publish(*keys)
    functions.crash_on = keys[0]
    lost = functions.queue.receive()  # by an invocation that died
    assert len(lost) == 6
    functions.crash_on = None
    functions.drain()
    assert len(functions.seen) == 6


def test_of_two_doorbells_of_a_lane_neither_loses_what_it_says_of_failed_runs() -> None:
    lane = Lane(Region(US), GENERATION_FIRST, lane_index("k", 1))
    failed = Doorbell(StreamName("orders"), lane, SequenceNumber(3), ended=7, failing_ms=20)
    longer = Doorbell(StreamName("orders"), lane, SequenceNumber(9), ended=5, failing_ms=10)
    plain = Doorbell(StreamName("orders"), lane, SequenceNumber(9))
    for doorbell, other, ended, since in (
        (failed, plain, 7, 20),
        (plain, failed, 7, 20),
        (failed, longer, 7, 10),
    ):
        both = doorbell.merged_with(other)
        assert (both.tail, both.ended, both.failing_ms) == (9, ended, since)


@pytest.mark.parametrize("concurrency", [1, 4, 10, 40])
def test_lanes_that_are_delivered_at_the_same_time_share_the_functions_memory(concurrency: int) -> None:
    runtime = Watching(concurrency).runtime("all")
    lanes, memory_bytes = len(runtime.deliverers), limits.FUNCTION_MEMORY_MEGABYTES * 1024**2
    assert lanes == min(concurrency, limits.DOORBELL_BATCH_MAX)
    shares = [deliverer.memory_bytes for deliverer in runtime.deliverers]
    assert sum(shares) <= limits.EVENTS_MEMORY_SHARE * memory_bytes < sum(shares) + lanes
