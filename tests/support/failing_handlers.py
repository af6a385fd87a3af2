"""Handlers that fail at given events, and questions about their failures."""

from collections.abc import Callable, Sequence
from typing import Any

from eventfabric.model import Event
from eventfabric.services.operations.dead_letters import DeadLetter, DeadLetters
from tests.support.memory_fabric import HOME, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SubscribedStream


class BadOrder(Exception):
    """An error that handlers raise."""


class WorseOrder(BadOrder):
    """A subclass of `BadOrder`."""


BAD_ORDER = f"{__name__}:BadOrder"


def retry(**settings: Any) -> dict[str, Any]:
    """Return settings of a subscription's retry."""
    return {f"retry.{name}": value for name, value in settings.items()}


def breaker(**settings: Any) -> dict[str, Any]:
    """Return settings of a subscription's breaker."""
    return {f"breaker.{name}": value for name, value in settings.items()}


FEW = retry(immediate=0, attempts=4)


class Failing:
    """Makes a handler fail at some events: the first n times, n from `times`."""

    def __init__(self, times: dict[str, int], error: Callable[[str], Exception] = BadOrder) -> None:
        self.times = times
        self.error = error
        self.tried: list[str] = []

    def __call__(self, events: Sequence[Event]) -> None:
        names = [str(given.id) for given in events]
        self.tried += names
        for name in names:
            if self.times.get(name, 0) > 0:
                self.times[name] -= 1
                raise self.error(name)


def fabric_of(
    failing: Failing, *events: Event, batch_events_max: int = 1, **settings: Any
) -> SubscribedStream:
    """Return a stream whose handler fails like this, with a record for each event."""
    effects = settings.get("guarantee") == "exactly_once"
    handler = Recorder(before=failing, effects=effects, batch_events_max=batch_events_max)
    fabric = SubscribedStream(handler=handler, **settings)
    for given in events:
        fabric.put(given)
    return fabric


def named(*names: str) -> list[Event]:
    """Return events with these ids. The key is the first letter: `a1` is of key `a`."""
    return [event(name, key=name[0]) for name in names]


def dead_letters(fabric: SubscribedStream) -> DeadLetters:
    """Return the dead letters of the first Region's lanes."""
    return DeadLetters(
        fabric.subscription,
        [lane(0), lane(1)],
        log=fabric.log,
        ledger=fabric.cloud.ledger(HOME),
        doorbells=fabric.cloud.doorbells(HOME),
        clock=fabric.clock,
    )


def the_dead_letter(fabric: SubscribedStream) -> DeadLetter:
    """Return the only dead letter."""
    (letter,) = dead_letters(fabric).find()
    return letter


def waiting(fabric: SubscribedStream, key: str) -> list[int]:
    """Return the sequences that wait in a parked key of the first lane."""
    return [place.sequence for place in fabric.parked()[key].waiting]


def drained(fabric: SubscribedStream) -> SubscribedStream:
    """Relay and deliver everything, with all retries. Return the stream."""
    fabric.relay_all()
    fabric.deliver_all()
    return fabric
