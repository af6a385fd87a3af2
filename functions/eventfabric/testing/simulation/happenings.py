"""Happenings: Regions and links lost, clocks moved, code deployed, while a fabric works.

A happening's `what` is the name of a function here, in closing.py, crediting.py, deploying.py, looking_up.py,
moving.py, offering.py, operators.py, registering.py, splitting.py, spoiling.py, tampering.py or troubling.py.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from msgspec.structs import replace

from eventfabric.services.reconciliation import pass_bounds
from eventfabric.testing.simulation.closing import CLOSES
from eventfabric.testing.simulation.crediting import CREDITS
from eventfabric.testing.simulation.deploying import DEPLOYS
from eventfabric.testing.simulation.functions import RelayPoller, reconcile_in
from eventfabric.testing.simulation.looking_up import LOOKS
from eventfabric.testing.simulation.mending import lose_and_mend
from eventfabric.testing.simulation.moving import MOVES
from eventfabric.testing.simulation.offering import OFFERS
from eventfabric.testing.simulation.operators import OPERATORS, tell, telling
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.registering import REGISTERS
from eventfabric.testing.simulation.splitting import SPLITS
from eventfabric.testing.simulation.spoiling import SPOILERS
from eventfabric.testing.simulation.tampering import TAMPERERS
from eventfabric.testing.simulation.troubling import TROUBLES
from eventfabric.testing.simulation.world import World

_PASSES_A_DAY: Final = 5
_PASS_SECONDS: Final = 900.0
_EXPIRY: Final = "x"


def begin(world: World, happening: Happening, number: int) -> None:
    """Let a happening take place at its time, unless faults have ended by then."""

    def happen() -> None:
        world.schedule.pause(happening.after_seconds)
        if not world.healed:
            HAPPENINGS[happening.what](world, happening)

    world.schedule.spawn(f"{happening.what} {number}", happen)


def region_loss(world: World, happening: Happening) -> None:
    """Lose a Region for a while."""
    if world.lost:
        return
    tell(world, happening)
    world.lose(happening.region)
    world.schedule.pause(happening.seconds)
    if happening.region in world.lost:
        world.return_of(happening.region)
        tell(world, happening, what="region_return")


def silence(world: World, happening: Happening) -> None:
    """Let a Region's services give no reply for a while, whether they do what they are asked or not."""
    with telling(world, happening, end="silence_end"):
        world.silent.add(happening.region)
        world.schedule.pause(happening.seconds)
        world.silent.discard(happening.region)


def cut(world: World, happening: Happening) -> None:
    """Cut two Regions off from each other for a while."""
    with telling(world, happening, end="join"):
        world.cut(happening.region, happening.other)
        world.schedule.pause(happening.seconds)
        world.join(happening.region, happening.other)


def clock(world: World, happening: Happening) -> None:
    """Let the clocks of a Region's machines jump."""
    tell(world, happening, f"{happening.number} ms")
    world.move_clock(happening.region, happening.number)


def producer_clock(world: World, happening: Happening) -> None:
    """Set the clocks of only a Region's producers hours off. Machines that start later are right again."""
    tell(world, happening, f"{happening.number - 1} h")
    for process in world.processes:
        if process.region == happening.region and process.name.startswith("producer"):
            process.clock.skew_ms += 3_600_000 * (happening.number - 1)


def outage(world: World, happening: Happening) -> None:
    """Take down for a while what is downstream of a subscription."""
    name = world.plan.subscriptions[happening.number % len(world.plan.subscriptions)].name
    tell(world, happening, name)
    world.down.add(name)
    world.schedule.pause(happening.seconds)
    world.down.discard(name)
    tell(world, happening, name, what="outage_end")


def deploy(world: World, happening: Happening) -> None:
    """Deploy new code: every function starts a new process; running instances go on to their end."""
    world.code += 1
    tell(world, happening, f"version {world.code}")


def mend(world: World, happening: Happening) -> None:
    """Deploy new code with which every event is handled, except those that fail permanently."""
    world.is_mended = True
    deploy(world, happening)


def split(world: World, happening: Happening) -> None:
    """Split each shard of a Region's stream in two."""
    tell(world, happening)
    before = world.shards[happening.region]
    world.shards[happening.region] = 2 * before
    for shard in range(before, 2 * before):
        RelayPoller(world, happening.region, shard).start()


def reconcile(world: World, happening: Happening) -> None:
    """Run a pass of reconciliation."""
    if happening.region not in world.lost:
        reconcile_in(world, happening.region, full=happening.number == 1)


def cut_pass(world: World, happening: Happening) -> None:
    """Run a pass in several invocations: the time of each is over in the middle of it."""
    random = Random(f"{world.plan.seed} cut_pass {happening.after_seconds}")
    for number in range(2 + happening.number):
        if happening.region in world.lost or world.healed:
            return
        seconds = random.uniform(0.005, 0.3) * world.plan.slowness
        reconcile_in(
            world,
            happening.region,
            full=happening.number == 1 and number == 0,
            within_seconds=pass_bounds.PASS_MARGIN_SECONDS + seconds,
        )
        world.schedule.pause(random.uniform(1, 30))


def twin_passes(world: World, happening: Happening) -> None:
    """Run two passes at once, as one does that takes longer than the time from one to the next."""
    for number in range(2):
        world.schedule.spawn(f"twin {number} {happening.after_seconds}", reconcile, world, happening)


def settings(world: World, happening: Happening) -> None:
    """Deploy other settings of the subscriptions: immediate tries, attempts, and when a circuit opens."""
    plan, number = world.plan, happening.number
    changed = tuple(
        replace(
            subscription,
            immediate=number % 3,
            attempts=subscription.attempts + number,
            parked_keys=(2, 100)[number % 2],
            failure_ratio=(0.5, 1.0)[number % 2],
            concurrency=1 + number if subscription.concurrency > 1 else 1,
        )
        for subscription in plan.subscriptions
    )
    world.deploy_settings(replace(plan, subscriptions=changed))
    deploy(world, happening)


def reorder(world: World, happening: Happening) -> None:
    """Deploy the other `order` for every subscription: give up the order of keys, or keep it from now on."""
    plan = world.plan
    changed = {"key": "none", "none": "key"}
    subscriptions = tuple(
        replace(subscription, order=changed[subscription.order]) for subscription in plan.subscriptions
    )
    world.deploy_settings(replace(plan, subscriptions=subscriptions))
    deploy(world, happening)


def passes(world: World, happening: Happening) -> None:
    """Run passes of reconciliation, as often as they are scheduled."""
    while not world.healed:
        reconcile(world, happening)
        world.schedule.pause(_PASS_SECONDS)


def expire(world: World, happening: Happening) -> None:
    """Expire items of a Region's log that are past their time, whoever wrote them; this replicates."""
    table = world.cloud.log_table(world.plan.stream, happening.region)
    table.expire(_EXPIRY, world.time.now_ms() // 1000)
    world.look("expiry")


def days_apart(world: World, happening: Happening) -> None:
    """Cut a Region off from another for days in which nobody publishes."""
    with telling(world, happening, end="join"):
        world.cut(happening.region, happening.other)
        days_pass(world, happening)
        world.join(happening.region, happening.other)


def days_pass(world: World, happening: Happening) -> None:
    """Let days pass in which nobody publishes; reconciliation runs on its schedule, and expiry removes what is old.

    The passes do not fail: of the many that a day has, enough succeed.
    """
    tell(world, happening, f"{happening.number} days")
    for _ in range(_PASSES_A_DAY * happening.number):
        world.schedule.pause(86_400 / _PASSES_A_DAY)
        before, world.is_calm = world.is_calm, True
        for region in world.plan.regions:
            if region not in world.lost:
                reconcile_in(world, region)
                expire(world, Happening(0, "expire", region))
        world.is_calm = before


def lose_record(world: World, happening: Happening) -> None:
    """Lose a record in a lane of its origin, until an operator repairs that."""
    lose_and_mend(world, happening, lambda: reconcile_in(world, happening.region, full=True))


_ALL: Final = (
    region_loss,
    silence,
    cut,
    clock,
    outage,
    deploy,
    mend,
    settings,
    reorder,
    producer_clock,
    split,
    reconcile,
    cut_pass,
    twin_passes,
    passes,
    expire,
    days_pass,
    days_apart,
    lose_record,
)
HAPPENINGS: Final[dict[str, Callable[[World, Happening], None]]] = {
    **{function.__name__: function for function in _ALL},
    **CLOSES,
    **CREDITS,
    **DEPLOYS,
    **REGISTERS,
    **MOVES,
    **LOOKS,
    **OFFERS,
    **OPERATORS,
    **SPLITS,
    **SPOILERS,
    **TAMPERERS,
    **TROUBLES,
}
