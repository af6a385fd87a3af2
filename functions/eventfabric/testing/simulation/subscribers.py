"""The simulation's own handlers: each event is handled, fails, crashes or hangs as planned."""

from collections.abc import Callable
from typing import Any

from eventfabric.model import Event
from eventfabric.sdk.delivery import Delivery
from eventfabric.sdk.subscriber import subscriber
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.machine import Machine
from eventfabric.testing.simulation.observer import BILLED, EFFECTS, INVOICES
from eventfabric.testing.simulation.plan import Conduct

_HANG_SECONDS = 200.0


class RefusedForGood(Exception):
    """An error that no attempt can mend: declared permanent."""


class DownstreamDown(Exception):
    """The system downstream does not answer, for any event."""


class FailedForNow(Exception):
    """An error that another attempt may mend."""


def stand_in(event: Event, delivery: Delivery) -> None:
    """Placeholder in the definition: each process brings a handler of its own."""
    raise NotImplementedError


def handler_for(process: Machine, name: str) -> Callable[..., Any]:
    """Return a subscription's handler for one machine."""
    batch = process.world.subscription(name).batch
    handling = _Handling(process, name)

    if batch > 1:

        @subscriber(batch=batch)
        def handle_several(events: list[Event], delivery: Delivery) -> None:
            for event in events:
                handling.handle(event, delivery)

        return handle_several

    @subscriber
    def handle(event: Event, delivery: Delivery) -> None:
        handling.handle(event, delivery)

    return handle


class _Handling:
    def __init__(self, process: Machine, name: str) -> None:
        self._process = process
        self._name = name
        world = process.world
        self._planned = world.plan.events
        self._transactional = world.subscription(name).guarantee.transactional

    def handle(self, event: Event, delivery: Delivery) -> None:
        """Handle one event as planned."""
        world, id_ = self._process.world, str(event.id)
        if self._name in world.down:
            raise DownstreamDown
        planned = self._planned.get(id_)
        if planned is not None:
            self._behave(id_, planned.conduct)
        if world.subscription(self._name).steps:
            self._charge(event, delivery)
        if world.subscription(self._name).publishes:
            self._bill(event, delivery)
        if self._transactional:
            row = {"id": f"{self._name}/{id_}"}
            delivery.transaction.update(EFFECTS, row, "ADD n :one", values={":one": 1})

    def _bill(self, event: Event, delivery: Delivery) -> None:
        """Publish an invoice of the event, for its key."""
        delivery.publish(
            INVOICES,
            event=event,
            key=event.key,
            type=BILLED,
            data={"of": str(event.id), "by": self._name},
            once=self._process.world.subscription(self._name).once,
        )

    def _behave(self, id_: str, conduct: Conduct) -> None:
        """Crash, hang or fail as often as planned, unless the handlers are mended by now."""
        process, world = self._process, self._process.world
        if not world.is_mended:
            tried = world.attempts.get((self._name, id_), 0)
            world.attempts[self._name, id_] = tried + 1
            if tried < conduct.crashes:
                process.die(f"its handler crashed at {id_}")
            if tried < conduct.crashes + conduct.hangs:
                process.breathe(_HANG_SECONDS)
            elif tried < conduct.crashes + conduct.hangs + conduct.fails:
                raise FailedForNow(id_)
        if conduct.permanent:
            raise RefusedForGood(id_)

    def _charge(self, event: Event, delivery: Delivery) -> None:
        """Have an effect outside, in a step that can be verified. The process may die at any point."""
        process, world = self._process, self._process.world
        with delivery.once("charge", event=event, verify=lambda step: step.key in world.charges) as step:
            if not step.done:
                process.breathe(process.latency_seconds())
                world.charges[step.key] = world.charges.get(step.key, 0) + 1
                process.tell(
                    history.Charged,
                    region=process.region,
                    subscription=self._name,
                    id=str(event.id),
                    key=step.key,
                )
                process.breathe(process.latency_seconds())
