"""Handlers at which the process dies, and deliveries that come again after it."""

from collections.abc import Sequence

from eventfabric import limits
from eventfabric.model import Event, Lane
from eventfabric.services.delivery.deliver import Deliverer
from eventfabric.services.delivery.lane_result import LaneResult
from eventfabric.testing.memory.faults import SimulatedCrash
from tests.support.failing_handlers import (
    Failing,
)
from tests.support.memory_fabric import LANE
from tests.support.subscribed_stream import INVOCATION_MS, SubscribedStream


class Crashing(Failing):
    """Crashes at some events, every time or the first n times, and fails at others."""

    def __init__(self, crashes: dict[str, int], fails: dict[str, int] | None = None) -> None:
        super().__init__(fails or {})
        self.crashes = crashes

    def __call__(self, events: Sequence[Event]) -> None:
        for event in events:
            if self.crashes.get(str(event.id), 0) > 0:
                self.crashes[str(event.id)] -= 1
                self.tried.append(str(event.id))
                raise SimulatedCrash(str(event.id))
        super().__call__(events)


def again(
    fabric: SubscribedStream, receive_count: int, *, by: Deliverer | None = None, of: Lane = LANE
) -> LaneResult:
    """Run a lane for a doorbell that was received so often. From the second time on, an earlier run had died."""
    if receive_count == 2:
        fabric.run_dies(of)
    deadline_ms = fabric.clock.now_ms() + INVOCATION_MS
    deliverer = by or fabric.deliverer()
    return deliverer.deliver(fabric.bell(of), deadline_ms=deadline_ms, receive_count=receive_count)


def until_it_drains(fabric: SubscribedStream, *, by: Deliverer | None = None) -> int:
    """Run invocation after invocation, crashed or not, as the queue drives them. Return how many crashed."""
    fabric.relay_all()
    crashes = 0
    for _ in range(200):
        try:
            fabric.deliver_all(by=by or fabric.deliverer())
        except SimulatedCrash:
            crashes += 1
            fabric.clock.advance(limits.VISIBILITY_TIMEOUT_SECONDS)
        else:
            return crashes
    raise AssertionError("it crashes for ever")
