"""A handler that charges by a step, whose process may die anywhere."""

from collections.abc import Callable, Sequence
from typing import Any

from eventfabric import Delivery, Event, Step
from eventfabric.errors import (
    HandlerExitedError,
)
from eventfabric.model import StreamName, SubscriptionName
from eventfabric.ports import Attempt
from eventfabric.sdk.step import StepMaker
from eventfabric.sdk.subscriber import SubscriberHandler
from eventfabric.testing.memory.faults import Faults
from eventfabric.wire.published import Effect
from tests.support.memory_fabric import HOME, STREAM, event
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

Verify = Callable[[Step], bool]


class Mortal:
    """A handler that dies of a simulated crash, which to a handler's code is an exit like any other."""

    def __init__(self, handler: SubscriberHandler) -> None:
        self._handler = handler
        self.batch_events_max = 1

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Effect]:
        try:
            return self._handler.attempt(events, attempt)
        except HandlerExitedError as error:
            raise error.__cause__ or error from None


class ChargingHandler:
    """A handler that charges at another side, which remembers what it was asked for by which key."""

    def __init__(
        self, *, faults: Faults | None = None, verify: Verify | None = None, **subscription: Any
    ) -> None:
        self.fabric = SubscribedStream(**subscription)
        self.faults = faults or Faults()
        self.verify = verify
        self.charged: list[str] = []
        self.results: list[Any] = []
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self.set_to: Any = None
        steps = self.faults.steps(self.fabric.cloud.steps(STREAM, HOME))
        maker = StepMaker(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), lambda: steps)
        self.handler = SubscriberHandler(
            self.charge, clock=self.fabric.clock, transactional=False, steps=maker
        )
        self.fabric.handler = Mortal(self.handler)

    def charge(self, event: Event, delivery: Delivery) -> None:
        with delivery.once("charge", verify=self.verify) as step:
            if not step.done:
                self.before()
                self.charged.append(step.key)
                self.after()
                step.result = f"charge {event.id}" if self.set_to is None else self.set_to
        self.results.append(step.result)

    def attempt(self, event: Event) -> None:
        Mortal(self.handler).attempt([event], Attempt(SUBSCRIPTION, 1, 10**15))


EVENT = event("e1")
SOURCE = "d427b42d9b91ebfa17a987b563660a0d"
"""The digest of the source of the fabric's events."""
KEY = f"orders/billing/step/charge/{SOURCE}/e1"
