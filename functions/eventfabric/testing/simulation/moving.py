"""Changes of a stream's Regions in the simulation: another becomes the first, one leaves, one joins.

Nobody registers while the deployment is made that decides it, as in a pipeline that deploys one thing after another.
Tables stay where they are, and whoever reads there goes by what is declared.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Final

from eventfabric.errors import EventFabricError
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.catalogue.facts import declared_stream
from eventfabric.services.catalogue.lane import newest
from eventfabric.services.catalogue.leftovers import LeftoversReader
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.testing.memory.faults import SimulatedCrash
from eventfabric.testing.simulation.operators import tell, telling
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.process import Process
from eventfabric.testing.simulation.registering import deployed_stream, register
from eventfabric.testing.simulation.registry import lags
from eventfabric.testing.simulation.world import World

_AGAIN_SECONDS: Final = 5.0
_AMID_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 120.0
_HALT_SECONDS: Final = (20.0, 90.0)


def move_first(world: World, happening: Happening) -> None:
    """Make another Region the stream's first, once it has all that the former one has registered."""
    first, *others = world.registry.regions
    with _change(world, happening) as is_begun:
        if is_begun and others:
            own = happening.region if happening.region in others else others[0]
            if _is_soon(world, lambda: not _lags(world, own, behind=first)):
                _deploy(
                    world, happening, (own, *(region for region in world.registry.regions if region != own))
                )


def leave_region(world: World, happening: Happening) -> None:
    """Take a Region out of the stream, once the check of what it leaves behind lets it go.

    Every other time, replication to the Region in which the check runs stands still before that.
    """
    if happening.number % 2:
        _halt_amid(world, happening)
    with _change(world, happening) as is_begun:
        leaving = happening.region
        staying = tuple(region for region in world.registry.regions if region != leaving)
        if not is_begun or not staying or leaving not in world.registry.regions:
            return
        if _is_soon(world, lambda: _may_leave(world, staying[0], Region(leaving))):
            _deploy(world, happening, staying)


def join_region(world: World, happening: Happening) -> None:
    """Have a Region join the stream, every other time as the first, once its replica is complete."""
    with _change(world, happening) as is_begun:
        own, before = happening.region, world.registry.regions
        if not is_begun or own in before:
            return
        if _is_soon(world, lambda: not any(_lags(world, own, behind=region) for region in before)):
            for region in before:
                world.registry.declared(own, world.registry.named[region])
            _deploy(world, happening, (own, *before) if happening.number % 2 else (*before, own))


@contextmanager
def _change(world: World, happening: Happening) -> Iterator[bool]:
    """Provide if one may begin: one change after another, and none while a registration is under way."""
    registry = world.registry
    if registry.is_changing or len(world.plan.regions) == 1:
        yield False
        return
    registry.is_changing = registry.is_held = True
    world.deployments += 1
    while registry.under_way:
        world.schedule.pause(1.0)
    yield True
    world.deployments -= 1
    registry.is_changing = registry.is_held = False


def _deploy(world: World, happening: Happening, regions: tuple[str, ...]) -> None:
    """Deploy the stream in these Regions, the first one first: from then on, that registers."""
    registry = world.registry
    request = f"{happening.what} {world.schedule.steps}"
    left = [region for region in registry.regions if region not in regions]
    registry.deploy(regions)
    stream = deployed_stream(world)
    for region in regions:
        _until_done(world, region, request, lambda by: by.declare_stream(stream))
        registry.declared(region, regions)
        if region == regions[0]:
            registry.is_held = False
            tell(world, happening, " ".join(regions))
    for region in left if happening.number < len(regions) else ():  # otherwise, its table went first
        _until_done(world, region, request, lambda by: by.declare_stream_gone(stream))


def _until_done(world: World, region: str, request: str, call: Callable[[Deployer], object]) -> None:
    while True:
        while region in world.lost:
            world.schedule.wait(f"region/{region}")
        process = Process(world, f"stack {region} {world.schedule.steps}", region)
        try:
            call(Deployer(world.topology, Region(region), process.ports, "operator", request))
        except (EventFabricError, SimulatedCrash):
            world.schedule.pause(_AGAIN_SECONDS)
        else:
            return


def _is_soon(world: World, is_so: Callable[[], bool]) -> bool:
    """Wait for something. Return False if the operator gives up."""
    until_us = world.schedule.now_us + int(_PATIENCE_SECONDS * 1_000_000)
    while not is_so():
        if world.schedule.now_us > until_us:
            return False
        world.schedule.pause(_AGAIN_SECONDS)
    return True


def _lags(world: World, region: str, *, behind: str) -> bool:
    return lags(world.cloud, world.plan.stream, region, behind=behind, regions=world.plan.regions)


def _may_leave(world: World, region: str, leaving: Region) -> bool:
    """Tell if the check of a Region's deployment finds nothing that another leaves behind."""
    process = Process(world, f"check {world.schedule.steps}", region)
    try:
        stream = deployed_stream(world)
        lane = DeclarationLane.of(Region(region), StreamName(stream.name))
        own = newest(process.ports.log_of(stream), lane)
        was = stream if own is None else declared_stream(stream.fabric, own.declaration)
        return not any(LeftoversReader(process.ports, one_after_another)(was, (), leaving))
    except (EventFabricError, SimulatedCrash):
        return False


def _halt_amid(world: World, happening: Happening) -> None:
    """Halt the replication of a Region that is about to leave, while schemas are registered before and after that."""
    random = Random(f"{world.plan.seed} apart {happening.after_seconds}")
    others = [region for region in world.registry.regions if region != happening.region]
    if not others:
        return
    apart = Happening(0.0, "halt", happening.region, others[0], random.uniform(*_HALT_SECONDS))
    world.schedule.spawn(f"apart {world.schedule.steps}", _halt, world, apart)
    for number in range(2):
        after_seconds = happening.after_seconds + number
        own = Happening(after_seconds, "register", happening.region, number=happening.number)
        world.schedule.spawn(f"amid {number} {world.schedule.steps}", _register_later, world, own, number)
    world.schedule.pause(_AMID_SECONDS)


def _register_later(world: World, happening: Happening, number: int) -> None:
    world.schedule.pause(number * 2 * _AMID_SECONDS)
    register(world, happening)


def _halt(world: World, happening: Happening) -> None:
    with telling(world, happening, end="join"):
        world.halt(happening.region, happening.other)
        world.schedule.pause(happening.seconds)
        world.join(happening.region, happening.other)


MOVES: Final[dict[str, Callable[[World, Happening], None]]] = {
    function.__name__: function for function in (move_first, leave_region, join_region)
}
