"""Handlers that fail as told, and what tests of failures ask of a world."""

from collections.abc import Callable, Sequence
from typing import Any

from eventfabric.model.event import Event
from eventfabric.services.operations.dead_letters import DeadLetter, DeadLetters
from tests.support.memory_fabric import HOME, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SubscribedStream


class BadOrder(Exception):
    """The error that handlers raise here."""


class WorseOrder(BadOrder):
    """A subclass of it."""


BAD_ORDER = f"{__name__}:BadOrder"


def retry(**settings: Any) -> dict[str, Any]:
    """Settings of a subscription's retry."""
    return {f"retry.{name}": value for name, value in settings.items()}


def breaker(**settings: Any) -> dict[str, Any]:
    """Settings of a subscription's breaker."""
    return {f"breaker.{name}": value for name, value in settings.items()}


FEW = retry(immediate=0, attempts=4)


class Failing:
    """Makes a handler fail at some events: the first n times, n from `times`."""

    def __init__(self, times: dict[str, int], error: Callable[[str], Exception] = BadOrder) -> None:
        self.times = times
        self.error = error
        self.tried: list[str] = []

    def __call__(self, events: Sequence[Event]) -> None:
        self.tried += [str(one.id) for one in events]
        for one in events:
            if self.times.get(str(one.id), 0) > 0:
                self.times[str(one.id)] -= 1
                raise self.error(str(one.id))


def world_of(
    failing: Failing, *events: Event, batch_events_max: int = 1, **settings: Any
) -> SubscribedStream:
    """A world whose handler fails so, with one record an event."""
    effects = settings.get("guarantee") == "exactly_once"
    handler = Recorder(before=failing, effects=effects, batch_events_max=batch_events_max)
    world = SubscribedStream(handler=handler, **settings)
    for one in events:
        world.put(one)
    return world


def named(*names: str) -> list[Event]:
    """Events `a1`, `b1` of keys `a`, `b`."""
    return [event(name, key=name[0]) for name in names]


def dead_letters(world: SubscribedStream) -> DeadLetters:
    """Return the dead letters of the world's lanes."""
    return DeadLetters(
        world.subscription,
        [lane(0), lane(1)],
        log=world.log,
        ledger=world.cloud.ledger(HOME),
        doorbells=world.cloud.doorbells(HOME),
        clock=world.clock,
    )


def the_dead_letter(world: SubscribedStream) -> DeadLetter:
    """The only one."""
    (letter,) = dead_letters(world).find()
    return letter


def waiting(world: SubscribedStream, key: str) -> list[int]:
    """The sequences that wait in a parked key of the first lane."""
    return [place.sequence for place in world.parked()[key].waiting]


def drained(world: SubscribedStream) -> SubscribedStream:
    """Everything that the relay rings, delivered with all its retries."""
    world.relay_all()
    world.deliver_all()
    return world
