"""What happens to a fabric while it works: Regions and links lost, clocks moved, code deployed, operators at work.

A happening's `what` is the name of a function here. Operators use what people use: sdk.operations.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from eventfabric.errors import EventFabricError
from eventfabric.memory.faults import SimulatedCrash
from eventfabric.memory.table import MemoryTable
from eventfabric.model.identity import Sequence
from eventfabric.model.start import AtSequence
from eventfabric.sdk.operations import Operations
from eventfabric.simulation import history
from eventfabric.simulation.functions import RelayPoller, reconcile_in
from eventfabric.simulation.plan import Happening
from eventfabric.simulation.process import Process
from eventfabric.simulation.world import World
from eventfabric.wire.keys import Item

_PASSES_A_DAY: Final = 5
_DRAINED: Final = 3
"""By a happening's number, from 0 to 3: a handover that waits for what the other Region still has."""


def begin(world: World, happening: Happening, number: int) -> None:
    """Have it happen in its time; one that comes after the end of the faults does not."""

    def happen() -> None:
        world.schedule.pause(happening.after_seconds)
        if not world.healed:
            HAPPENINGS[happening.what](world, happening)

    world.schedule.spawn(f"{happening.what} {number}", happen)


def _tell(world: World, happening: Happening, outcome: str = "done", *, what: str = "") -> None:
    about = " ".join(part for part in (happening.region, happening.other) if part)
    world.note(history.Happened, "world", what=what or happening.what, about=about, outcome=outcome)


def region_loss(world: World, happening: Happening) -> None:
    """A Region is gone for a while."""
    if world.lost:
        return
    _tell(world, happening)
    world.lose(happening.region)
    world.schedule.pause(happening.seconds)
    if happening.region in world.lost:
        world.return_of(happening.region)
        _tell(world, happening, what="region_return")


def silence(world: World, happening: Happening) -> None:
    """A Region's services give no reply for a while, whether they do what they are asked or not."""
    _tell(world, happening)
    world.silent.add(happening.region)
    world.schedule.pause(happening.seconds)
    world.silent.discard(happening.region)
    _tell(world, happening, what="silence_end")


def cut(world: World, happening: Happening) -> None:
    """Two Regions do not reach each other for a while."""
    _tell(world, happening)
    world.cut(happening.region, happening.other)
    world.schedule.pause(happening.seconds)
    world.join(happening.region, happening.other)
    _tell(world, happening, what="join")


def clock(world: World, happening: Happening) -> None:
    """The clocks of a Region's machines jump."""
    _tell(world, happening, f"{happening.number} ms")
    world.move_clock(happening.region, happening.number)


def outage(world: World, happening: Happening) -> None:
    """What is downstream of a subscription is down for a while."""
    name = world.plan.subscriptions[happening.number % len(world.plan.subscriptions)].name
    _tell(world, happening, name)
    world.down.add(name)
    world.schedule.pause(happening.seconds)
    world.down.discard(name)
    _tell(world, happening, name, what="outage_end")


def deploy(world: World, happening: Happening) -> None:
    """New code: every function starts anew, its instances that run go on to their end."""
    world.code += 1
    _tell(world, happening, f"version {world.code}")


def mend(world: World, happening: Happening) -> None:
    """New code in which nothing fails that can be mended."""
    world.is_mended = True
    deploy(world, happening)


def split(world: World, happening: Happening) -> None:
    """The shards of a Region's stream split in two."""
    _tell(world, happening)
    before = world.shards[happening.region]
    world.shards[happening.region] = 2 * before
    for shard in range(before, 2 * before):
        RelayPoller(world, happening.region, shard).start()


def reconcile(world: World, happening: Happening) -> None:
    """A pass of reconciliation."""
    if happening.region not in world.lost:
        reconcile_in(world, happening.region, full=happening.number == 1)


def expire(world: World, happening: Happening) -> None:
    """Expiry removes what is past its time from a Region's own lanes."""
    table = world.cloud.regions[happening.region].table(world.topology.stream(world.plan.stream).table.name)
    now_seconds = world.time.now_ms() // 1000
    for item in table.items:
        is_own = str(item["pk"]["S"]).startswith(f"{happening.region}/")
        if is_own and "x" in item and int(item["x"]["N"]) < now_seconds:
            table.write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})
    world.look("expiry")


def days_pass(world: World, happening: Happening) -> None:
    """Nobody publishes for days; reconciliation runs as it does on its schedule, and expiry removes what is old.

    Its passes do not fail: of the many that a day has, enough succeed.
    """
    _tell(world, happening, f"{happening.number} days")
    for _ in range(_PASSES_A_DAY * happening.number):
        world.schedule.pause(86_400 / _PASSES_A_DAY)
        before, world.is_calm = world.is_calm, True
        for region in world.plan.regions:
            if region not in world.lost:
                reconcile_in(world, region)
                expire(world, Happening(0, "expire", region))
        world.is_calm = before


def lose_copy(world: World, happening: Happening) -> None:
    """Somebody deletes a record of a Region's copy of another's lane."""
    found = _a_copy(world, happening)
    if found is not None:
        table, item = found
        _tampered(world, "copy lost", happening.region, item)
        table.write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})
        world.look("tamperer")


def change_copy(world: World, happening: Happening) -> None:
    """Somebody changes a record of a Region's copy of another's lane."""
    found = _a_copy(world, happening)
    if found is not None:
        table, item = found
        chain = bytes(item["c"]["B"])
        _tampered(world, "copy changed", happening.region, item)
        table.write("Put", {"Item": {**item, "c": {"B": bytes([chain[0] ^ 1]) + chain[1:]}}})
        world.look("tamperer")


def _a_copy(world: World, happening: Happening) -> tuple[MemoryTable, Item] | None:
    """A record of another Region's lane; None where there is none."""
    if world.plan.durability == "quorum":
        return None
    table = world.cloud.regions[happening.region].table(world.topology.stream(world.plan.stream).table.name)
    own = (f"{happening.region}/", "once/")
    copies = [item for item in table.items if not str(item["pk"]["S"]).startswith(own)]
    return (table, copies[happening.number % len(copies)]) if copies else None


def _tampered(world: World, what: str, region: str, item: Item) -> None:
    lane, sequence = str(item["pk"]["S"]), int(item["sk"]["N"])
    world.note(history.Tampered, "tamperer", what=what, region=region, lane=lane, sequence=sequence)


@contextmanager
def _operator(world: World, happening: Happening) -> Iterator[tuple[Process, Operations]]:
    """Somebody at work in a Region. What goes wrong ends it, and nothing more."""
    process = Process(world, f"{happening.what} {happening.region} {world.schedule.steps}", happening.region)
    try:
        yield process, Operations(world.topology, happening.region, process.ports)
    except (EventFabricError, SimulatedCrash) as error:
        _tell(world, happening, type(error).__name__)


def redrive(world: World, happening: Happening) -> None:
    """An operator redrives every dead letter of a subscription."""
    with _operator(world, happening) as (_, operations):
        dead = operations.dead_letters(_name(world, happening))
        letters = list(dead.find())
        for letter in letters:
            dead.redrive(letter)
        _tell(world, happening, f"{len(letters)} letters of {_name(world, happening)}")


def discard(world: World, happening: Happening) -> None:
    """An operator discards a subscription's first dead letter."""
    with _operator(world, happening) as (_, operations):
        dead = operations.dead_letters(_name(world, happening))
        letter = next(dead.find(), None)
        if letter is not None:
            dead.discard(letter)
            _tell(world, happening, letter.place)


def replay(world: World, happening: Happening) -> None:
    """An operator replays a subscription from a sequence on."""
    with _operator(world, happening) as (process, operations):
        name = _name(world, happening)
        # Noted before: what is handed out again from now on may be because of it.
        process.tell(history.Happened, what="replay_begins", about=f"{happening.region} {name}")
        one = operations.replay(name)
        plans = one.plan(AtSequence(Sequence(happening.number)))
        for plan in plans:
            one.carry_out(plan)
        _tell(world, happening, f"{name} from {happening.number}")


def pause(world: World, happening: Happening) -> None:
    """An operator pauses a subscription for a while."""
    name = _name(world, happening)
    with _operator(world, happening) as (_, operations):
        operations.pause(name, "simulated")
        _tell(world, happening, name)
    world.schedule.pause(happening.seconds)
    with _operator(world, happening) as (_, operations):
        operations.resume(name)
        _tell(world, happening, name, what="resume")


def failover(world: World, happening: Happening) -> None:
    """A Region takes over what another delivers; drained now and then, where the other answers."""
    with _operator(world, happening) as (process, operations):
        _tell(world, happening, "begins")
        one = operations.failover(happening.other)
        drains = happening.number == _DRAINED and world.reaches(happening.region, happening.other)
        if drains:
            one.drain(process.breathe)
        one.hand_over("simulated")
        if drains:
            one.release(process.breathe)
        _tell(world, happening)


def failback(world: World, happening: Happening) -> None:
    """A Region takes back what is its own."""
    with _operator(world, happening) as (_, operations):
        _tell(world, happening, "begins")
        for one in operations.failback():
            one.hand_over("simulated")
        _tell(world, happening)


def backfill(world: World, happening: Happening) -> None:
    """An operator copies what a Region's log lacks from another's."""
    if world.plan.durability != "replicated":
        return
    with _operator(world, happening) as (process, operations):
        process.tell(history.Happened, what="backfill_begins", about=f"{happening.region} {happening.other}")
        report = operations.backfill(
            world.plan.stream, source=happening.other, slice_events=1 + happening.number
        )
        process.tell(
            history.Backfilled, region=happening.region, source=happening.other,
            state=report.backfill.state.value,
        )  # fmt: skip


def _name(world: World, happening: Happening) -> str:
    return world.plan.subscriptions[happening.number % len(world.plan.subscriptions)].name


_ALL: Final = (
    region_loss,
    silence,
    cut,
    clock,
    outage,
    deploy,
    mend,
    split,
    reconcile,
    expire,
    days_pass,
    lose_copy,
    change_copy,
    redrive,
    discard,
    replay,
    pause,
    failover,
    failback,
    backfill,
)
HAPPENINGS: Final[dict[str, Callable[[World, Happening], None]]] = {one.__name__: one for one in _ALL}
