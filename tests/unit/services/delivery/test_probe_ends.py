"""Probes whose events are gone from the log: they go on with the keys that failed."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.model import Chain, CircuitState, Doorbell
from eventfabric.services.delivery.lane_result import LaneOutcome, LaneResult
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Faults
from eventfabric.wire.doorbell import from_body
from eventfabric.wire.keys import record_key
from tests.support.expiry import DAY_SECONDS, DAYS
from tests.support.failing_handlers import FEW, Failing, breaker, fabric_of, named
from tests.support.memory_fabric import LANE, event
from tests.support.subscribed_stream import INVOCATION_MS, SubscribedStream
from tests.unit.services.delivery.test_breaker import circuit
from tests.unit.services.delivery.test_circuit import breaker_of


def nothing(fabric: SubscribedStream) -> None:
    """The log ends."""


def unreadable(fabric: SubscribedStream) -> None:
    fabric.put(event("c1", key="c"))
    item = fabric.table.get(record_key(LANE, 2), consistent=True)
    assert item is not None
    del item["c"]
    fabric.table.write("Put", {"TableName": fabric.table.name, "Item": item})


def of_another_chain(fabric: SubscribedStream) -> None:
    tail = replace(fabric.origin_log.tail(LANE), chain=Chain(b"!" * 16))
    fabric.put(event("c1", key="c"), log_lane_tail=tail)


def hole(fabric: SubscribedStream) -> None:
    missing = fabric.record(fabric.origin_log.tail(LANE), event("c1"))
    fabric.put(event("d1"), log_lane_tail=missing.tail)


def expired(fabric: SubscribedStream) -> None:
    hole(fabric)
    fabric.clock.advance((DAYS + 1) * DAY_SECONDS)


ENDS = [nothing, unreadable, of_another_chain, hole, expired]
End = Callable[[SubscribedStream], None]


def probing(failing: Failing, end: End) -> SubscribedStream:
    """a1 and b1 opened the circuit; the lane's log ends so; a probe is due."""
    fabric = fabric_of(failing, *named("a1", "b1"), **FEW, **breaker(parked_keys=2), retention_days=DAYS)
    assert fabric.deliver().outcome is LaneOutcome.WAITING
    end(fabric)
    fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
    failing.tried.clear()
    return fabric


@pytest.mark.parametrize("end", ENDS)
def test_the_keys_that_failed_are_tried_and_what_is_handled_of_them_closes_the_circuit(end: End) -> None:
    failing = Failing({"a1": 1, "b1": 1})
    fabric = probing(failing, end)
    outcomes: dict[End, LaneOutcome] = {nothing: LaneOutcome.DELIVERED, hole: LaneOutcome.HOLE}
    result = fabric.deliver(tail=9)
    assert result.outcome is outcomes.get(end, LaneOutcome.STOPPED)
    assert (result.cause is None) is (end in outcomes)
    assert (failing.tried, fabric.parked()) == (["a1", "b1"], {})
    assert circuit(fabric).state is CircuitState.CLOSED
    assert fabric.telemetry.totals.get(Metric.LANES_STOPPED, 0) == (end not in outcomes)


@pytest.mark.parametrize("end", ENDS)
def test_one_of_them_that_fails_ends_the_probe(end: End) -> None:
    failing = Failing({"a1": 9, "b1": 9})
    fabric = probing(failing, end)
    assert fabric.deliver(tail=9) == LaneResult(LaneOutcome.WAITING)
    assert failing.tried == ["a1"]
    now_ms = fabric.clock.now_ms()
    assert circuit(fabric).state is CircuitState.OPEN
    assert circuit(fabric).probe_ms == now_ms + 1000 * limits.CIRCUIT_PROBE_SECONDS


@pytest.mark.parametrize("end", ENDS)
def test_where_no_time_is_left_for_them_the_lane_is_handed_back(end: End) -> None:
    failing = Failing({"a1": 1, "b1": 1})
    fabric = probing(failing, end)

    def slow(called: str, overall: int, of_name: int) -> None:
        if called == "log.read":
            fabric.clock.advance(INVOCATION_MS / 1000)

    before = len(fabric.queue)
    result = fabric.deliver(tail=9, by=fabric.deliverer(faults=Faults(slow)))
    assert result == LaneResult(LaneOutcome.HANDED_BACK)
    assert (failing.tried, set(fabric.parked())) == ([], {"a", "b"})
    bell = fabric.bell(tail=9)
    rung = [from_body(body) for body in fabric.queue.bodies][before:]
    assert rung == [Doorbell(bell.stream, LANE, bell.tail, again=fabric.clock.now_ms())]


@pytest.mark.parametrize("end", ENDS)
def test_where_no_key_failed_and_nothing_was_tried_the_next_lane_may_probe_at_once(end: End) -> None:
    fabric = fabric_of(Failing({}), *named("a1", "b1"), retention_days=DAYS)
    fabric.deliver()
    by = fabric.deliverer()
    assert breaker_of(fabric).open_for("down")
    end(fabric)
    fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
    now_ms = fabric.clock.now_ms()
    fabric.deliver(tail=9, by=by)
    assert (circuit(fabric).state, circuit(fabric).probe_ms) == (CircuitState.OPEN, now_ms)
    assert fabric.recorder.ids() == ["a1", "b1"]
