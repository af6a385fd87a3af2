"""Attempts as a handler sees them, and how often it is asked."""

from typing import Any

import pytest

from eventfabric import limits
from eventfabric.ports import Attempt
from eventfabric.telemetry import Metric
from tests.support.failing_handlers import BAD_ORDER, Failing, named, retry, world_of
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, event
from tests.support.messages import TextWith
from tests.support.recording_handler import Recorder, add_one
from tests.support.subscribed_stream import INVOCATION_MS, SUBSCRIPTION, SubscribedStream


@pytest.mark.parametrize("epoch", [0, 3])
def test_it_learns_which_attempt_it_is_until_when_and_by_whose_number(epoch: int) -> None:
    world = world_of(Failing({"a1": 1}), *named("a1"))
    world.cloud.replicate()
    where = world
    if epoch:
        where = world.at(AWAY, handler=Recorder(before=Failing({"a1": 1})))
        hand_over(where, epoch=epoch)
    until_ms = world.clock.now_ms() + INVOCATION_MS
    where.deliver()
    assert where.recorder.attempts == [
        Attempt(SUBSCRIPTION, number, until_ms, replay=False, epoch=epoch) for number in (1, 2)
    ]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_several_at_once_are_tried_once_and_then_one_by_one(size: int) -> None:
    names = [f"{key}1" for key in "abc"[:size]]
    failing = Failing(dict.fromkeys(names, 99))
    world = SubscribedStream(handler=Recorder(before=failing, batch_events_max=size), **retry(immediate=2))
    world.put(*named(*names))
    world.deliver()
    alone = [name for name in names for _ in range(3)]
    assert failing.tried == ([*names, *alone] if size > 1 else alone)
    assert world.telemetry.totals[Metric.EVENTS_FAILED] == len(failing.tried)


def test_what_is_permanent_is_tried_once() -> None:
    failing = Failing({"a1": 99})
    world = world_of(failing, *named("a1", "b1"), **retry(immediate=2, permanent=[BAD_ORDER]))
    world.deliver()
    assert failing.tried == ["a1", "b1"]


@pytest.mark.parametrize("more", [0, 1])
def test_more_writes_than_a_commit_takes_are_the_events_failure(more: int) -> None:
    class Writing(Recorder):
        def attempt(self, events: Any, attempt: Attempt) -> Any:
            super().attempt(events, attempt)
            return [add_one(f"row {number}") for number in range(limits.TRANSACTION_WRITES_MAX + more)]

    world = SubscribedStream(guarantee="exactly_once", handler=Writing(), **retry(immediate=0))
    world.put(event("a"))
    world.deliver()
    parked = list(world.parked().values())
    assert len(parked) == more
    assert len(world.effects()) == (0 if more else limits.TRANSACTION_WRITES_MAX)
    if more:
        most = limits.TRANSACTION_WRITES_MAX
        assert parked[0].failure.message == TextWith(
            "TooManyActions", f"found {most + 1} actions", f"at most {most}"
        )
