"""Runs one plan: first a phase in which everything may fail, then one in which nothing does and all must drain."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from eventfabric import limits
from eventfabric.errors import EventFabricError
from eventfabric.sdk import exits
from eventfabric.sdk.operations import Operations
from eventfabric.testing.simulation import deploying, happenings, history, operators, spoiling
from eventfabric.testing.simulation.functions import QueuePoller, RelayPoller, TimerPoller, reconcile_in
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.history_of_credits import Drained, GivenUp
from eventfabric.testing.simulation.network import Courier
from eventfabric.testing.simulation.plan import Happening, Plan
from eventfabric.testing.simulation.process import Process
from eventfabric.testing.simulation.producers import Producer, Rival
from eventfabric.testing.simulation.schedule import START_MS, StepsExceededError
from eventfabric.testing.simulation.subscribers import handler_for
from eventfabric.testing.simulation.world import World

STEPS_MAX: Final = 240_000
"""Most turns of the phase with faults."""
DRAIN_STEPS_MAX: Final = 120_000
"""Most turns in which everything must drain once nothing fails any more. Few seeds take a tenth of them."""
_ROUND_SECONDS: Final = limits.UNRUNG_SECONDS + 100
_ROUNDS_MIN: Final = 2
_ROUNDS_MAX: Final = 12
"""Most passes of reconciliation: enough to find a replica stalled twice, and to follow that up."""


def simulate(plan: Plan) -> History:
    """Simulate a plan, and return its history. The same plan gives the same history, byte for byte."""
    return simulate_in(World(plan, handlers=handler_for))


def simulate_in(world: World) -> History:
    """Simulate the plan of a new world, and return its history."""
    with exits.apart(), _bounded(world.plan.bounds):
        try:
            quiet, why = _run(world)
            world.note(
                history.Ended,
                "world",
                steps=world.schedule.steps,
                quiet=quiet,
                why=why,
                waiting=world.waiting(),
                ends=world.ends(),
                circuits=world.circuits(),
            )
        finally:
            world.schedule.close()
    return History(world.plan, world.entries)


def _replay_ahead(world: World, entries: Iterable[history.AnyEntry]) -> bool:
    """Let operators replay subscriptions ahead of a table that was created anew. Return True if there are any."""
    if not any(happening.what == "made_anew" for happening in world.plan.happenings):
        return False
    names = [subscription.name for subscription in world.plan.subscriptions]
    ahead = {
        (entry.region, names.index(entry.subscription))
        for entry in entries
        if isinstance(entry, history.Found) and entry.finding in ("cursor_ahead", "cursor_broken")
    }
    for region, number in sorted(ahead):
        happening = Happening(0.0, "replay", region, number=number)
        world.schedule.spawn(f"replay {region} {number}", operators.replay_from_start, world, happening)
    return bool(ahead)


@contextmanager
def _bounded(bounds: Mapping[str, int]) -> Iterator[None]:
    """Lower some of the library's bounds for a while. ValueError for a name that is no bound."""
    before = {name: getattr(limits, name, None) for name in bounds}
    for name, bound in bounds.items():
        if not isinstance(before[name], int):
            raise ValueError(f"bounds: found {name}, allowed: a whole number of eventfabric.limits")
        setattr(limits, name, bound)
    try:
        yield
    finally:
        for name, usual in before.items():
            setattr(limits, name, usual)


def _run(world: World) -> tuple[bool, str]:
    _start(world)
    seconds = [publish.after_seconds for publish in world.plan.publishes]
    last_seconds = max(
        [*seconds, *(happening.after_seconds for happening in world.plan.happenings)], default=0.0
    )
    try:
        world.schedule.run(
            until_us=START_MS * 1000 + int(last_seconds * 1_000_000) + 30_000_000, steps_max=STEPS_MAX
        )
        _heal(world)
        world.schedule.spawn("read out", deploying.read_out, world)
        world.schedule.run(steps_max=DRAIN_STEPS_MAX)
        if world.has_gates:
            world.note(Drained, "world")
        if world.redrives:
            _redrive(world)
            world.schedule.run(steps_max=DRAIN_STEPS_MAX)
        for number in range(_ROUNDS_MAX):
            before = len(world.entries)
            world.schedule.now_us += _ROUND_SECONDS * 1_000_000
            for region in world.plan.regions:
                # The first pass verifies everything anew, even what was verified before somebody changed it.
                world.schedule.spawn(f"reconcile {region}", reconcile_in, world, region, full=number == 0)
            world.schedule.run(steps_max=DRAIN_STEPS_MAX)
            _have_tried_again(world)
            if _set_aside(world, world.entries[before:]) | _replay_ahead(world, world.entries[before:]):
                world.schedule.run(steps_max=DRAIN_STEPS_MAX)
            if number + 1 >= _ROUNDS_MIN and not _is_mending(world.entries[before:]):
                break
        deploying.tell_abandoned(world)
        _tell_given_up(world)
    except StepsExceededError as error:
        return False, str(error)
    return True, ""


def _have_tried_again(world: World) -> None:
    """Have producers that are held back try again, since a pass may have let them go on."""
    if any(world.held.values()):
        world.schedule.wake("held back")
        world.schedule.run(steps_max=DRAIN_STEPS_MAX)


def _tell_given_up(world: World) -> None:
    for name, ids in world.held.items():
        if ids:
            world.note(GivenUp, name, ids=ids)


def _is_mending(entries: Iterable[history.AnyEntry]) -> bool:
    """Tell if a pass repaired something, or found something that a later one repairs."""
    lasting = ("dead", "divergence", "expires_soon", "expired_unread", "stale_owner", "abandoned")
    return any(isinstance(entry, history.Found) and entry.finding not in lasting for entry in entries)


def _set_aside(world: World, entries: Iterable[history.AnyEntry]) -> bool:
    """Let operators set aside items that a pass reported in their Regions' own lanes. Return True if it did."""
    regions = {
        entry.region
        for entry in entries
        if isinstance(entry, history.Found)
        and entry.finding in operators.SET_ASIDE
        and entry.lane.startswith(f"{entry.region}/")
    }
    for region in sorted(regions):
        happening = Happening(0.0, "quarantine", region)
        world.schedule.spawn(f"quarantine {region}", operators.quarantine, world, happening)
    return bool(regions)


def _start(world: World) -> None:
    plan, topology = world.plan, world.topology
    for region in plan.regions:
        for shard in range(plan.shards):
            RelayPoller(world, region, shard).start()
    for link in world.cloud.links:
        Courier(world, link).start()
    for subscription in plan.subscriptions:
        for region in topology.subscription(subscription.name).regions:
            TimerPoller(world, region, subscription.name).start()
            for number in range(subscription.consumers):
                QueuePoller(world, region, subscription.name, number).start()
    for number in range(len(plan.producers)):
        Producer(world, number).start()
    for number in range(plan.rivals):
        Rival(world, number).start()
    deploying.start(world)
    for number, happening in enumerate(plan.happenings):
        happenings.begin(world, happening, number)


def _heal(world: World) -> None:
    """End all faults: Regions are back, links joined, handlers mended, and what was paused goes on."""
    world.healed = world.is_mended = True
    world.down.clear()
    world.silent.clear()
    world.code += 1
    for region in list(world.lost):
        world.return_of(region)
    for region in world.plan.regions:
        for other in world.plan.regions:
            world.join(region, other)
    spoiling.mend_state(world)
    world.note(history.Healed, "world")
    for region in world.plan.regions:
        for subscription in world.topology.subscriptions_in(region):
            world.schedule.spawn(
                f"resume {subscription.name} {region}", _resume, world, region, subscription.name
            )


def _redrive(world: World) -> None:
    """Redrive every dead letter once more, now that nothing fails by the simulation's doing."""
    for region in world.plan.regions:
        for number in range(len(world.plan.subscriptions)):
            again = Happening(0.0, "redrive", region, number=number)
            world.schedule.spawn(f"redrive {number} {region}", operators.redrive, world, again)


def _resume(world: World, region: str, name: str) -> None:
    operations = Operations(world.topology, region, Process(world, f"resume {name} {region}", region).ports)
    for _ in range(10):
        try:
            if operations.circuit(name).state.value != "paused" or operations.resume(name):
                return
        except EventFabricError:
            continue
