"""Grants to producers, whatever fails: no lane stays shut, and each slot holds what its cursor's account says."""

from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventfabric import limits
from eventfabric.definition.sections import Backpressure, WhilePaused
from eventfabric.errors import PortError
from eventfabric.services.delivery.breaker import CircuitBreaker
from eventfabric.testing.memory.faults import Fault, SimulatedCrash, at_random, nth
from tests.support.memory_fabric import event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import LANE_KEY, SubscribedStream

GUARANTEES = ["at_most_once", "at_least_once", "exactly_once"]
LANES = [lane(0), lane(1)]
GATE = Backpressure(seconds=10, events_min=2)


def gated(guarantee: str, backpressure: Backpressure = GATE) -> SubscribedStream:
    """A stream whose subscription takes a tenth of a second for an event."""
    fabric = SubscribedStream(guarantee=guarantee, backpressure=backpressure)
    handler = Recorder(effects=guarantee == "exactly_once", before=lambda events: fabric.clock.advance(0.1))
    fabric.handler = handler
    return fabric


def one_invocation(fabric: SubscribedStream) -> None:
    """Relay, then deliver all that is in the queue once."""
    fabric.relay()
    fabric.answer(fabric.receive())


def two_runs_of_two_lanes(guarantee: str) -> SubscribedStream:
    """The lanes were granted something, and more is due now."""
    fabric = gated(guarantee)
    for name in "ab":
        for index in (0, 1):
            fabric.put(*(event(f"{name}{index}{key}", key=key) for key in "xyz"), of=lane(index))
        if name == "a":
            one_invocation(fabric)
    fabric.faults.calls.clear()
    return fabric


def calls_of_one_invocation(guarantee: str) -> int:
    fabric = two_runs_of_two_lanes(guarantee)
    one_invocation(fabric)
    assert fabric.faults.calls.count("credits.grant") >= 2
    return len(fabric.faults.calls)


FAILURES = [
    pytest.param(guarantee, number, fault, id=f"{guarantee}-{fault.name.lower()}-{number}")
    for guarantee in GUARANTEES
    for number in range(1, calls_of_one_invocation(guarantee) + 1)
    for fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST_REPLY, Fault.THROTTLED)
]


def slots(fabric: SubscribedStream) -> dict[int, int]:
    granted = fabric.ports().credits.granted(LANE_KEY.stream, LANE_KEY.subscription, fabric.region, part=0)
    return {int(index): int(grant) for index, grant in granted.get(fabric.region, {}).items()}


def assert_granted(fabric: SubscribedStream) -> None:
    """Nobody is held back by a lane in which all is delivered, and no account says what its slot does not."""
    known = slots(fabric)
    for of in LANES:
        tail, cursor = fabric.log.tail(of).sequence, fabric.cursor(of)
        assert cursor.sequence == tail
        if tail:
            assert cursor.credit is not None
            assert known[of.index] == cursor.credit.granted > tail


@pytest.mark.parametrize(("guarantee", "number", "fault"), FAILURES)
def test_a_call_that_fails_or_ends_the_process_shuts_no_lane(
    guarantee: str, number: int, fault: Fault
) -> None:
    fabric = two_runs_of_two_lanes(guarantee)
    fabric.faults.rules.append(nth(number, fault))
    with suppress(SimulatedCrash):
        one_invocation(fabric)
    fabric.faults.heal()
    fabric.relay_all()
    fabric.deliver_all()
    assert_granted(fabric)


@settings(max_examples=100, deadline=None)
@given(
    guarantee=st.sampled_from(GUARANTEES),
    while_paused=st.sampled_from(WhilePaused),
    steps=st.lists(
        st.sampled_from(["publish 0", "publish 1", "invoke", "invoke", "pause", "resume", "wait"]),
        min_size=4,
        max_size=25,
    ),
    rate=st.sampled_from([0.05, 0.2, 0.5]),
    seed=st.integers(0, 2**16),
)
def test_any_faults_shut_no_lane(
    guarantee: str, while_paused: WhilePaused, steps: list[str], rate: float, seed: int
) -> None:
    fabric = gated(guarantee, Backpressure(seconds=10, events_min=2, while_paused=while_paused))
    fabric.faults.rules.append(at_random(rate, tuple(Fault), seed=seed))
    counts: Counter[str] = Counter()
    before: dict[int, int] = {}
    for step in steps:
        with suppress(SimulatedCrash, PortError):
            if step.startswith("publish"):
                counts[step] += 1
                name = f"{step}-{counts[step]}"
                fabric.put(*(event(f"{name}{key}", key=key) for key in "xyz"), of=lane(int(step[-1])))
            elif step == "invoke":
                one_invocation(fabric)
            else:
                act(fabric, step)
        after = slots(fabric)
        assert all(after[index] >= grant for index, grant in before.items())
        before = after
    fabric.faults.heal()
    act(fabric, "resume")
    fabric.clock.advance(limits.CIRCUIT_CACHE_SECONDS)
    fabric.relay_all()
    fabric.deliver_all()
    assert_granted(fabric)


def act(fabric: SubscribedStream, step: str) -> None:
    """Do what an operator does, or wait for what is invisible."""
    breaker = CircuitBreaker(
        fabric.subscription, fabric.stream, ports=fabric.ports(), telemetry=fabric.telemetry
    )
    fabric.clock.advance(1)  # the queue would drop rings of the same moment
    if step == "pause":
        assert breaker.pause("maintenance")
    elif step == "resume":
        assert breaker.resume()
    else:
        fabric.clock.advance(limits.VISIBILITY_TIMEOUT_SECONDS)


def test_a_pause_lets_producers_go_on_whatever_failed_before_it() -> None:
    for number in range(1, calls_of_one_invocation("at_least_once") + 1):
        fabric = two_runs_of_two_lanes("at_least_once")
        fabric.faults.rules.append(nth(number, Fault.CRASH_AFTER))
        with suppress(SimulatedCrash):
            one_invocation(fabric)
        fabric.faults.heal()
        act(fabric, "pause")
        fabric.clock.advance(limits.VISIBILITY_TIMEOUT_SECONDS)
        fabric.relay_all()
        fabric.deliver_all()
        assert all(slots(fabric)[of.index] > fabric.log.tail(of).sequence for of in LANES)
