"""Failovers of many lanes: how many calls they make, what takes how long, and what is compared once."""

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest

from eventfabric.errors import FailoverError
from eventfabric.ports import Ports
from eventfabric.services.operations import arrival
from eventfabric.services.operations.failover import Failover
from eventfabric.services.reconciliation import pass_bounds
from eventfabric.testing.memory.faults import Fault, Faults, Rule
from scripts.benchmarks.large_stream import AWAY as LARGE_AWAY
from scripts.benchmarks.large_stream import HOME as LARGE_HOME
from scripts.benchmarks.large_stream import LargeStream
from tests.support.many_subscriptions import ManySubscriptions
from tests.support.memory_fabric import AWAY, HOME, event, lane

LANES, SUBSCRIPTIONS = 4, 3
STATES = LANES * SUBSCRIPTIONS


class CountedFailover:
    """A failover whose calls are counted. `rules` apply to calls to the source."""

    def __init__(self, fabric: ManySubscriptions, *rules: Rule) -> None:
        self.own, self.source = Faults(), Faults(*rules)
        ports = self.own.ports(fabric.cloud.ports(AWAY))
        elsewhere: Ports = self.source.ports(fabric.cloud.ports(HOME))
        ports = replace(ports, at=lambda region: elsewhere)
        self.failover = Failover(fabric.topology, source=HOME, target=AWAY, ports=ports)

    def calls(self) -> tuple[Counter[str], Counter[str]]:
        """Return the calls since the last time, here and to the source."""
        counted = Counter(self.own.calls), Counter(self.source.calls)
        self.own.calls.clear()
        self.source.calls.clear()
        return counted


def test_readiness_reads_each_state_twice_and_each_tail_twice() -> None:
    counted = CountedFailover(ManySubscriptions(LANES, SUBSCRIPTIONS))
    progress: list[tuple[int, int]] = []
    readiness = counted.failover.readiness(lambda done, total: progress.append((done, total)))
    assert [(ready.waiting, ready.behind, ready.repeated) for ready in readiness] == [
        (0, 0, 0)
    ] * SUBSCRIPTIONS
    assert progress == [(1, 3), (2, 3), (3, 3)]
    expected = {"ledger.standing": SUBSCRIPTIONS, "ledger.state": STATES, "log.tail": LANES}
    assert counted.calls() == (expected, expected)


def test_a_source_that_does_not_answer_is_waited_for_a_few_times() -> None:
    counted = CountedFailover(
        ManySubscriptions(LANES, SUBSCRIPTIONS), lambda name, overall, of_name: Fault.LOST_REQUEST
    )
    readiness = counted.failover.readiness()
    assert {(ready.behind, ready.repeated, ready.published) for ready in readiness} == {(None, None, None)}
    _, source = counted.calls()
    assert source == {"ledger.standing": SUBSCRIPTIONS, "log.tail": 1}


def test_a_drain_compares_what_has_arrived_no_more() -> None:
    fabric = ManySubscriptions(LANES, SUBSCRIPTIONS)
    record = fabric.record(fabric.cloud.log("orders", HOME).tail(lane(3)), event("late"), of=lane(3))
    fabric.cloud.log("orders", HOME).append(record)
    counted = CountedFailover(fabric)
    progress: list[tuple[int, int]] = []
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        fabric.clock.advance(seconds)
        if len(waits) == 4:
            fabric.cloud.replicate()

    counted.failover.drain(wait, advance=lambda done, total: progress.append((done, total)))
    assert progress[0] == progress[1] == (STATES - SUBSCRIPTIONS, STATES)
    assert progress[-1] == (STATES, STATES)
    own, _ = counted.calls()
    # Lane 3 of each subscription is compared in each of the four looks, and all others once.
    assert own["ledger.state"] == STATES - SUBSCRIPTIONS + SUBSCRIPTIONS * 4


@pytest.mark.parametrize("at_once", [256, 1], ids=["all at once", "one by one"])
def test_a_drain_that_gives_up_names_what_has_not_arrived(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "_AT_ONCE", at_once)
    fabric = ManySubscriptions(LANES, SUBSCRIPTIONS)
    record = fabric.record(fabric.cloud.log("orders", HOME).tail(lane(3)), event("late"), of=lane(3))
    fabric.cloud.log("orders", HOME).append(record)
    with pytest.raises(FailoverError, match=r"the end of lane us-east-1/0\.3"):
        CountedFailover(fabric).failover.drain(fabric.clock.advance, patience_seconds=2)


def test_lanes_are_read_at_the_same_time() -> None:
    lanes, subscriptions = 64, 4
    large = LargeStream(lanes=lanes, subscriptions=subscriptions, regions=2)
    failover = Failover(
        large.topology,
        source=LARGE_HOME,
        target=LARGE_AWAY,
        ports=large.ports(LARGE_AWAY),
        side_by_side=large.side_by_side(pass_bounds.PASS_THREADS),
    )
    readiness, seconds = large.timed(failover.readiness)
    assert sum(ready.waiting for ready in readiness) == lanes * subscriptions
    calls = sum(large.calls.values())
    assert calls == 2 * (subscriptions + lanes + lanes * subscriptions)
    one_by_one = calls / 2 * (0.005 + 0.080)
    assert seconds < 1.5 * one_by_one / pass_bounds.PASS_THREADS
    _, seconds = large.timed(partial(failover.hand_over, "a test"))
    assert seconds < 2
