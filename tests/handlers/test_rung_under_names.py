"""Rings for a lane after a run that failed: when, under which name, and since when it counts as failing."""

from dataclasses import replace
from itertools import count

import pytest

from eventfabric import limits
from eventfabric.model import Doorbell, SequenceNumber, StreamName
from eventfabric.testing.memory.faults import Fault, Faults, Rule, nth
from eventfabric.wire.doorbell import from_body, to_body
from tests.handlers.test_functions import US, Context, InvokedFunctions

MOMENT_MS = 1000 * limits.LANE_AGAIN_SECONDS


def always(fault: Fault, *names: str) -> Rule:
    """All calls of these names fail so."""
    return lambda name, number, of_name: fault if name in names else None


def published(faults: Faults) -> tuple[InvokedFunctions, Doorbell]:
    """A fabric with an event, and a doorbell for its lane."""
    functions = InvokedFunctions(faults=faults)
    receipt = functions.fabric.publish("orders", key="a", type="Placed", id="1")
    return functions, Doorbell(StreamName("orders"), receipt.lane, SequenceNumber(1))


def timer(functions: InvokedFunctions) -> Doorbell:
    """The next timer, whenever it goes off."""
    functions.clock.advance(2 * limits.LANE_AGAIN_SECONDS_MAX)
    body = functions.cloud.timers("all", US).take()
    assert body is not None
    return from_body(body)


@pytest.mark.parametrize("ahead", [0, 1, MOMENT_MS - 1])
def test_a_lane_that_fails_again_within_a_moment_is_rung_under_another_name(ahead: int) -> None:
    functions, bell = published(Faults(always(Fault.LOST_REQUEST, "ledger.state")))
    again = functions.clock.now_ms() + 10 * MOMENT_MS + ahead
    assert functions.deliver(bodies=(to_body(replace(bell, again=again)),)) == []
    assert timer(functions).again == again + 1


@pytest.mark.parametrize("later_seconds", [0, 0.3])
def test_a_lane_is_rung_under_the_name_of_its_moment(later_seconds: float) -> None:
    functions, bell = published(Faults(always(Fault.DENIED, "ledger.state")))
    functions.clock.advance((MOMENT_MS - functions.clock.now_ms() % MOMENT_MS) / 1000 + 1)
    moment = functions.clock.now_ms() // MOMENT_MS
    functions.clock.advance(later_seconds)
    assert functions.deliver(bodies=(to_body(bell),)) == []
    assert timer(functions).again == moment * MOMENT_MS


@pytest.mark.parametrize(
    ("fault", "rung"), [(Fault.LOST_REQUEST, 1), (Fault.THROTTLED, 1), (Fault.DENIED, 0)]
)
def test_without_timers_the_queue_is_rung_at_once_for_what_passes_by_itself_alone(
    fault: Fault, rung: int
) -> None:
    without_timers = always(Fault.LOST_REQUEST, "doorbells.ring_later")
    fails = always(fault, "ledger.state")
    functions, bell = published(Faults(lambda *call: without_timers(*call) or fails(*call)))
    failed = functions.deliver(bodies=(to_body(bell),))
    assert (len(functions.queue.bodies), len(failed)) == (rung, 1 - rung)


def test_out_of_time_without_timers_or_queue_the_doorbell_comes_again() -> None:
    functions, bell = published(Faults(always(Fault.LOST_REQUEST, "doorbells.ring")))
    assert functions.deliver(context=Context(remaining_ms=100), bodies=(to_body(bell),)) == []
    assert timer(functions).failing_ms
    functions.faults.rules.append(always(Fault.LOST_REQUEST, "doorbells.ring_later"))
    assert functions.deliver(context=Context(remaining_ms=100), bodies=(to_body(bell),)) == [to_body(bell)]


def test_out_of_time_the_queue_is_rung_at_once_where_no_timer_can_be_had() -> None:
    without_timers = always(Fault.LOST_REQUEST, "doorbells.ring_later")
    busy_once = nth(1, Fault.LOST_REQUEST, name="doorbells.ring")
    functions, bell = published(Faults(lambda *call: without_timers(*call) or busy_once(*call)))
    assert functions.deliver(context=Context(remaining_ms=100), bodies=(to_body(bell),)) == []
    assert len(functions.queue.bodies) == 1


def test_queues_that_are_away_for_a_moment_do_not_leave_a_lane_to_wait_as_after_a_crash() -> None:
    """No timer, no ring, no visibility: for a few seconds nothing of the queues can be reached."""
    rings = ("doorbells.ring_later", "doorbells.ring", "doorbells.hide")
    fails = always(Fault.THROTTLED, "ledger.state")
    away = {name: count() for name in rings}

    def rule(name: str, number: int, of_name: int) -> Fault | None:
        if name in away and next(away[name]) < 3:
            return Fault.LOST_REQUEST
        return fails(name, number, of_name)

    functions, bell = published(Faults(rule))
    assert functions.deliver(bodies=(to_body(bell),)) == []
    assert timer(functions).failing_ms


def failed_at(ended: int) -> tuple[int, int]:
    """Since when a run has failed that ends at version 2 of the cursor, behind one an hour ago, and the clock then."""
    functions, bell = published(Faults())
    functions.deliver(bodies=(to_body(bell),))
    functions.fabric.publish("orders", key="a", type="Placed", id="2")
    assert functions.deliver(bodies=(to_body(replace(bell, tail=SequenceNumber(2))),)) == []
    assert functions.seen == ["1", "2"]
    functions.fabric.publish("orders", key="a", type="Placed", id="3")
    functions.faults.rules.append(always(Fault.LOST_REQUEST, "ledger.commit"))
    hour_ago_ms = functions.clock.now_ms() - 3_600_000
    failing = replace(bell, tail=SequenceNumber(3), failing_ms=hour_ago_ms, ended=ended)
    assert functions.deliver(bodies=(to_body(failing),)) == []
    doorbell = timer(functions)
    assert doorbell.ended == 2
    return doorbell.failing_ms, hour_ago_ms


@pytest.mark.parametrize("ended", [1, 2])
def test_a_lane_that_came_no_further_since_its_run_failed_goes_on_failing(ended: int) -> None:
    failing_ms, hour_ago_ms = failed_at(ended)
    assert failing_ms == hour_ago_ms


def test_a_lane_that_came_further_since_fails_for_the_first_time() -> None:
    _, bell = published(Faults())
    further = replace(bell, failing_ms=7, ended=4).with_end(6)
    assert (further.ended, further.failing_ms) == (6, 0)
