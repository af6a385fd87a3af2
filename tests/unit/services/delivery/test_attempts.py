"""Attempts as a handler sees them, and how often it is asked."""

from typing import Any

import pytest

from eventfabric import limits
from eventfabric.ports import Attempt
from eventfabric.telemetry import Metric
from tests.support.failing_handlers import BAD_ORDER, Failing, fabric_of, named, retry
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, event
from tests.support.messages import TextWith
from tests.support.recording_handler import Recorder, add_one
from tests.support.subscribed_stream import INVOCATION_MS, SUBSCRIPTION, SubscribedStream


@pytest.mark.parametrize("epoch", [0, 3])
def test_it_learns_which_attempt_it_is_until_when_and_by_whose_number(epoch: int) -> None:
    fabric = fabric_of(Failing({"a1": 1}), *named("a1"))
    fabric.cloud.replicate()
    where = fabric
    if epoch:
        where = fabric.in_region(AWAY, handler=Recorder(before=Failing({"a1": 1})))
        hand_over(where, epoch=epoch)
    until_ms = fabric.clock.now_ms() + INVOCATION_MS
    where.deliver()
    assert where.recorder.attempts == [
        Attempt(SUBSCRIPTION, number, until_ms, replay=False, epoch=epoch) for number in (1, 2)
    ]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_several_at_once_are_tried_once_and_then_one_by_one(size: int) -> None:
    names = [f"{key}1" for key in "abc"[:size]]
    failing = Failing(dict.fromkeys(names, 99))
    fabric = SubscribedStream(handler=Recorder(before=failing, batch_events_max=size), **retry(immediate=2))
    fabric.put(*named(*names))
    fabric.deliver()
    alone = [name for name in names for _ in range(3)]
    assert failing.tried == ([*names, *alone] if size > 1 else alone)
    assert fabric.telemetry.totals[Metric.EVENTS_FAILED] == len(failing.tried)


def test_what_is_permanent_is_tried_once() -> None:
    failing = Failing({"a1": 99})
    fabric = fabric_of(failing, *named("a1", "b1"), **retry(immediate=2, permanent=[BAD_ORDER]))
    fabric.deliver()
    assert failing.tried == ["a1", "b1"]


@pytest.mark.parametrize("more", [0, 1])
def test_more_writes_than_a_commit_takes_are_the_events_failure(more: int) -> None:
    class Writing(Recorder):
        def attempt(self, events: Any, attempt: Attempt) -> Any:
            super().attempt(events, attempt)
            return [add_one(f"row {number}") for number in range(limits.TRANSACTION_WRITES_MAX + more)]

    fabric = SubscribedStream(guarantee="exactly_once", handler=Writing(), **retry(immediate=0))
    fabric.put(event("a"))
    fabric.deliver()
    parked = list(fabric.parked().values())
    assert len(parked) == more
    assert len(fabric.effects()) == (0 if more else limits.TRANSACTION_WRITES_MAX)
    if more:
        most = limits.TRANSACTION_WRITES_MAX
        assert parked[0].failure.message == TextWith(
            "TooManyActions", f"found {most + 1} actions", f"at most {most}"
        )
