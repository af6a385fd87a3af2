"""Services get into trouble for a while: tables throttled, calls denied, queues that cannot be reached.

A happening's `what` is the name of a function here.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from eventfabric.resources import TableTopology
from eventfabric.testing.memory.refusals import KEY_DENIED
from eventfabric.testing.simulation.observer import INVOICES
from eventfabric.testing.simulation.operators import telling
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.trouble import Denial
from eventfabric.testing.simulation.world import World

TroubledTime = AbstractContextManager[None]


def throttled(world: World, happening: Happening) -> None:
    """Throttle a table, or one partition of it, for a while: many of its calls are refused."""
    stream, number = world.topology.stream(world.plan.stream), happening.number
    lane = f"{happening.region}/0.0"
    name, partition = [
        (stream.table.name, ""),
        (world.topology.ledger_of(stream.name).name, ""),
        (stream.table.name, lane),
        (
            world.topology.ledger_of(stream.name).name,
            f"{stream.name}/{world.plan.subscriptions[0].name}/{lane}",
        ),
    ][number]
    table = world.cloud.regions[happening.region].table(name)
    outcome = f"{name} {partition}".rstrip()
    _trouble(world, happening, world.trouble.throttling(table, partition), outcome)


def denied(world: World, happening: Happening) -> None:
    """Change a role or a key by mistake: calls are refused until somebody notices, hours later."""
    stream, number = world.topology.stream(world.plan.stream), happening.number
    ledger, every = (
        world.topology.ledger_of(stream.name).name,
        frozenset(table.name for table in _tables(world)),
    )
    denial = [
        Denial(happening.region, frozenset({ledger})),
        Denial(happening.region, frozenset({ledger}), writes_only=True),
        Denial(happening.region, frozenset({ledger}), part="/step/"),
        Denial(happening.region, every, code=KEY_DENIED),
    ][number]
    outcome = f"{denial.code} {'writes' if denial.writes_only else denial.part}".rstrip()
    _trouble(world, happening, world.trouble.denying(denial), outcome)


def bad_target(world: World, happening: Happening) -> None:
    """Let the stream into which handlers publish refuse calls for a while: a role, a key, or a busy lane."""
    if not world.plan.invoices:
        return
    region, name = happening.region, world.topology.stream(INVOICES).table.name
    table, target = world.cloud.regions[region].table(name), frozenset({name})
    trouble = [
        world.trouble.throttling(table, f"{region}/0.0"),
        world.trouble.denying(Denial(region, target)),
        world.trouble.denying(Denial(region, target, writes_only=True)),
        world.trouble.denying(Denial(region, target, code=KEY_DENIED)),
    ][happening.number]
    _trouble(world, happening, trouble, name)


def _tables(world: World) -> list[TableTopology]:
    return [*(stream.table for stream in world.topology.streams.values()), *world.topology.ledgers]


def no_timers(world: World, happening: Happening) -> None:
    """Make the timers' queues of a Region unreachable for a while."""
    _no_queues(world, happening, "timers")


def no_doorbells(world: World, happening: Happening) -> None:
    """Make the doorbells' queues of a Region unreachable for a while."""
    _no_queues(world, happening, "doorbells")


def silent_queues(world: World, happening: Happening) -> None:
    """Let the queues of a Region accept messages without replying for a while. Its tables work."""
    _no_queues(world, happening, "replies")


def _no_queues(world: World, happening: Happening, queues: str) -> None:
    _trouble(world, happening, world.trouble.away(happening.region, queues), end=f"{queues}_back")


def _trouble(
    world: World, happening: Happening, trouble: TroubledTime, outcome: str = "done", end: str = ""
) -> None:
    with telling(world, happening, outcome, end=end or f"{happening.what}_end"), trouble:
        world.schedule.pause(happening.seconds)


_ALL: Final = (throttled, denied, bad_target, no_timers, no_doorbells, silent_queues)
TROUBLES: Final[dict[str, Callable[[World, Happening], None]]] = {
    function.__name__: function for function in _ALL
}
