"""Ends in the simulation: Regions are taken out of the fabric, and subscriptions are retired.

An operator goes on until a Region has answered, as one does who deploys again. What is taken out stays where it is, so
that the history shows whether somebody goes on using it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Final

from eventfabric.errors import EventFabricError
from eventfabric.model import Region
from eventfabric.model.catalogue import State
from eventfabric.services.catalogue.check import CLOSING_SECONDS, Checker
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.catalogue.leftovers import LeftoversReader
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import SimulatedCrash
from eventfabric.testing.simulation import history_of_deployments as history
from eventfabric.testing.simulation.operators import telling
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.process import Process
from eventfabric.testing.simulation.world import World
from eventfabric.topology import Topology

_AGAIN_SECONDS: Final = 20.0


def close_region(world: World, happening: Happening) -> None:
    """Take a Region out of the fabric: declare it closing in each Region, and wait until the check lets it go.

    Every other time, the Region is cut off before that from the one in which the check runs.
    """
    closing = happening.region
    if world.closing or len(world.plan.regions) == 1:
        return
    world.closing = closing
    with _under_way(world):
        _close(world, happening, closing)


def _close(world: World, happening: Happening, closing: str) -> None:
    stream = world.topology.stream(world.plan.stream)
    topology, closed = _closing(world.topology, closing), replace(stream, closing=(closing,))
    for region in world.plan.regions:
        _until_done(world, region, lambda by: by.declare_stream(closed), topology)
    staying = tuple(region for region in world.plan.regions if region != closing)
    if happening.number % 2:
        random = Random(f"{world.plan.seed} {closing}")
        seconds = random.uniform(CLOSING_SECONDS, 2 * CLOSING_SECONDS)
        apart = Happening(random.uniform(0, 30), "cut", staying[0], closing, seconds)
        world.schedule.spawn(f"apart {closing}", _cut_off, world, apart)
    without = replace(stream, definition=replace(stream.definition, regions=staying))
    while _is_refused(world, staying[0], without):
        if world.healed:
            return
        world.schedule.pause(_AGAIN_SECONDS)
    world.note(history.RegionTakenOut, "operator", region=closing)
    for region in staying:
        _until_done(world, region, lambda by: by.declare_stream(without), world.topology)


def end_subscription(world: World, happening: Happening) -> None:
    """Retire a subscription of the plan in all Regions. Whatever it has not delivered by then, it never does."""
    name = world.plan.subscriptions[happening.number % len(world.plan.subscriptions)].name
    stream = world.topology.stream(world.plan.stream)
    with _under_way(world):
        for region in world.plan.regions:
            _until_done(
                world, region, lambda by: by.declare_state(stream, name, State.RETIRED), world.topology
            )
            world.note(history.Retired, "operator", region=region, subscription=name)


@contextmanager
def _under_way(world: World) -> Iterator[None]:
    """Have whoever reads all out in the end wait for this."""
    world.deployments += 1
    yield
    world.deployments -= 1


def _cut_off(world: World, happening: Happening) -> None:
    world.schedule.pause(happening.after_seconds)
    with telling(world, happening, end="join"):
        world.cut(happening.region, happening.other)
        world.schedule.pause(happening.seconds)
        world.join(happening.region, happening.other)


def _until_done(world: World, region: str, call: Callable[[Deployer], object], topology: Topology) -> None:
    """Deploy something in a Region, again and again until it succeeds."""
    request = f"operator {world.schedule.steps}"
    while True:
        while region in world.lost:
            world.schedule.wait(f"region/{region}")
        process = Process(world, f"operator {region} {world.schedule.steps}", region)
        try:
            call(Deployer(topology, Region(region), process.ports, "operator", request))
        except (EventFabricError, SimulatedCrash):
            world.schedule.pause(_AGAIN_SECONDS)
        else:
            return


def _is_refused(world: World, region: str, stream: StreamTopology) -> bool:
    """Tell if the check of a Region's deployment refuses a stream that lacks a Region, or gives no answer."""
    process = Process(world, f"check {world.schedule.steps}", region)
    checker = Checker(
        world.topology,
        Region(region),
        process.ports,
        LeftoversReader(process.ports, one_after_another),
        one_after_another,
    )
    try:
        return any(checker.of_regions(stream))
    except (EventFabricError, SimulatedCrash):
        return True


def _closing(topology: Topology, region: str) -> Topology:
    definition = topology.definition
    return Topology(replace(definition, fabric=replace(definition.fabric, closing=(region,))))


CLOSES: Final[dict[str, Callable[[World, Happening], None]]] = {
    function.__name__: function for function in (close_region, end_subscription)
}
