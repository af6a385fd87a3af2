"""Happenings of subscriptions that hold producers back: they are deployed without that, and with it again."""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from eventfabric.testing.simulation.operators import operator, tell, telling
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.world import World

_OPENED_SECONDS: Final = 60
"""Seconds of the usual rate for which an operator opens."""


def ungate(world: World, happening: Happening) -> None:
    """Deploy subscriptions that hold nobody back, with their producers; and after a while all as it was."""
    with telling(world, happening, end="gate"):
        _deploy(world, holds_back=False)
        world.schedule.pause(happening.seconds)
        _deploy(world, holds_back=True)


def open_credits(world: World, happening: Happening) -> None:
    """Let a subscription's producers go on, as a person does who cannot wait for it."""
    name = world.plan.subscriptions[happening.number % len(world.plan.subscriptions)].name
    with operator(world, happening) as (_, operations):
        gates = operations.credits_of(name)
        count = gates.open(gates.openings(_OPENED_SECONDS))
        tell(world, happening, f"{count} lanes of {name}")


def kill_producers(world: World, happening: Happening) -> None:
    """Kill every process that publishes, whatever it was about to do."""
    with telling(world, happening, end="killed"):
        _end_producers(world)


def _deploy(world: World, *, holds_back: bool) -> None:
    plan = world.plan
    subscriptions = tuple(
        replace(own, backpressure=own.backpressure if holds_back else None) for own in plan.subscriptions
    )
    world.deploy_settings(replace(plan, subscriptions=subscriptions))
    world.code += 1
    _end_producers(world)


def _end_producers(world: World) -> None:
    for process in world.processes:
        if process.name.startswith("producer "):
            process.is_dead = True


CREDITS: Final[dict[str, Callable[[World, Happening], None]]] = {
    function.__name__: function for function in (ungate, open_credits, kill_producers)
}
