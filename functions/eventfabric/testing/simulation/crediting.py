"""Happenings to those whom subscriptions hold back."""

from collections.abc import Callable
from typing import Final

from eventfabric.testing.simulation.operators import telling
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.world import World


def kill_producers(world: World, happening: Happening) -> None:
    """Kill every process that publishes, whatever it was about to do."""
    with telling(world, happening, end="killed"):
        for process in world.processes:
            if process.name.startswith("producer "):
                process.is_dead = True


CREDITS: Final[dict[str, Callable[[World, Happening], None]]] = {
    function.__name__: function for function in (kill_producers,)
}
