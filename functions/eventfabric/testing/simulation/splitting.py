"""Splits in the simulation: an operator ends a lane with a seal, at any call of whoever publishes or delivers there.

The seal is put by one conditional put after another, as an operator's are who starts again after a lost reply.
"""

from collections.abc import Callable
from typing import Final

from eventfabric.errors import EventFabricError
from eventfabric.model import (
    EMPTY_TAIL,
    GENERATION_FIRST,
    Lane,
    LaneIndex,
    Region,
    Tail,
    seal_at,
    tail_behind,
)
from eventfabric.ports import Log
from eventfabric.testing.memory.faults import SimulatedCrash
from eventfabric.testing.simulation.operators import tell
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.process import Process
from eventfabric.testing.simulation.world import World

GENERATIONS_MAX: Final = 3
_TRIES_MAX: Final = 20


def split_lane(world: World, happening: Happening) -> None:
    """End one of the lanes in which a Region publishes by now."""
    region = happening.region
    if region in world.lost or world.plan.durability == "quorum":
        return
    process = Process(world, f"{happening.what} {region} {world.schedule.steps}", region)
    log = process.ports.log_of(world.topology.stream(world.plan.stream))
    root = Lane(Region(region), GENERATION_FIRST, LaneIndex(happening.number % world.plan.lanes))
    try:
        outcome = _split(log, process, root)
    except (EventFabricError, SimulatedCrash) as error:
        outcome = type(error).__name__
    tell(world, happening, outcome)


def _split(log: Log, process: Process, lane: Lane) -> str:
    """Put a seal at the end of a lane, or of one below it. Return the lane that it ended."""
    start = EMPTY_TAIL
    for _ in range(_TRIES_MAX):
        end = log.tail(lane)
        tail: Tail = start if end == EMPTY_TAIL else end
        if tail.is_sealed:
            lane, start = process.random.choice(lane.children), tail_behind(tail)
        elif lane.generation == GENERATIONS_MAX:
            break
        else:
            occupant = log.append(seal_at(tail, lane, now_ms=process.clock.now_ms()))
            if occupant is None or occupant.is_seal:
                return str(lane)
    return "none"


SPLITS: Final[dict[str, Callable[[World, Happening], None]]] = {"split_lane": split_lane}
