"""Timers that a commit of parked keys needs: one for each new due time, and when they go off."""

from collections.abc import Sequence
from math import ceil

import pytest

from eventfabric import limits
from eventfabric.errors import UndecodablePayloadError
from eventfabric.model import Doorbell, Event, ParkedState, SequenceNumber, StreamName
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.wire.doorbell import from_body
from tests.support.failing_handlers import BadOrder, Failing, fabric_of, named, retry
from tests.support.memory_fabric import LANE, STREAM
from tests.support.subscribed_stream import SubscribedStream

RARELY = retry(immediate=0, attempts=9, backoff_seconds=100.0, backoff_max_seconds=100.0)


def timers(fabric: SubscribedStream) -> list[tuple[Doorbell, int]]:
    """All timers, taken when they go off: what they ring, and when."""
    doorbells = []
    while (due_ms := fabric.timers.next_due_ms()) is not None:
        fabric.clock.advance((due_ms - fabric.clock.now_ms()) / 1000)
        body = fabric.timers.take()
        assert body is not None
        doorbells.append((from_body(body), due_ms))
    return doorbells


def rung(due_ms: int) -> Doorbell:
    """Return the doorbell that the timer of a due key rings: for the lane, but for none of its new events."""
    return Doorbell(StreamName(STREAM), LANE, SequenceNumber(0), again=due_ms)


def test_each_key_that_is_to_be_tried_again_has_one_that_goes_off_within_a_second_of_its_time() -> None:
    fabric = fabric_of(Failing({"a1": 9, "b1": 9}), *named("a1", "b1"), **RARELY)
    began_ms = fabric.clock.now_ms()
    fabric.deliver()
    due = sorted(parked.due_ms for parked in fabric.parked().values())
    sent = [(rung(due_ms), began_ms + 1000 * ceil((due_ms - began_ms) / 1000)) for due_ms in due]
    assert timers(fabric) == sent


def test_one_whose_time_is_over_when_it_is_committed_goes_off_at_once() -> None:
    failing = Failing({"a1": 9})
    fabric = fabric_of(failing, *named("a1", "b1"), **retry(immediate=0, backoff_seconds=1.0))

    def slow(events: Sequence[Event]) -> None:
        failing(events)
        fabric.clock.advance(5)

    fabric.recorder.before = slow
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    (parked,) = fabric.parked().values()
    now_ms = fabric.clock.now_ms()
    assert parked.due_ms < now_ms
    assert timers(fabric) == [(rung(parked.due_ms), now_ms)]


@pytest.mark.parametrize("first", ["dead", "joined", "freed"])
def test_a_key_beside_one_that_needs_none_has_its_own(first: str) -> None:
    errors = {"a1": UndecodablePayloadError if first == "dead" else BadOrder, "b1": BadOrder}
    failing = Failing({"a1": 1, "b1": 9}, lambda name: errors[name](name))
    fabric = fabric_of(failing, *named("a1"), **RARELY)
    if first != "dead":
        fabric.deliver()
        timers(fabric)
        if first == "joined":
            fabric.clock.set_back(200)
            fabric.put(*named("a2"))
    fabric.put(*named("b1"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    parked = fabric.parked()
    assert set(parked) == ({"b"} if first == "freed" else {"a", "b"})
    assert parked["b"].state is ParkedState.RETRYING
    assert [bell for bell, _ in timers(fabric)] == [rung(parked["b"].due_ms)]


def test_keys_that_are_due_are_tried_in_the_order_of_their_events_whichever_failed_last() -> None:
    failing = Failing({"a1": 2, "b1": 1})
    fabric = fabric_of(failing, *named("a1", "b1"), seed=1, **RARELY)
    fabric.deliver()
    due = {key: parked.due_ms for key, parked in fabric.parked().items()}
    assert due["a"] + limits.TIMER_EARLY_MILLISECONDS < due["b"]
    fabric.clock.advance((due["a"] - fabric.clock.now_ms()) / 1000)
    fabric.deliver(tail=0)
    parked = fabric.parked()
    assert parked["a"].failure.last_ms > parked["b"].failure.last_ms
    fabric.clock.advance(200)
    failing.tried.clear()
    fabric.deliver(tail=0)
    assert failing.tried == ["a1", "b1"]
