"""Records lost or changed behind the fabric's back, and tables created anew; reconciliation and people repair them.

A happening's `what` is the name of a function here.
"""

from collections.abc import Callable
from typing import Final

from eventfabric.model import (
    START,
    Chain,
    Cursor,
    Lane,
    LaneKey,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.operators import tell
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.world import World
from eventfabric.wire.keys import Item, is_record


def lose_copy(world: World, happening: Happening) -> None:
    """Delete a record of a Region's copy of another Region's lane."""
    copied = _a_copy(world, happening)
    if copied is not None:
        _lose(world, *copied)


def change_copy(world: World, happening: Happening) -> None:
    """Change a record of a Region's copy of another Region's lane."""
    copied = _a_copy(world, happening)
    if copied is not None:
        table, item = copied
        chain = bytes(item["c"]["B"])
        _tampered(world, "copy changed", happening.region, item)
        table.apply(table.plan("Put", {"Item": {**item, "c": {"B": bytes([chain[0] ^ 1]) + chain[1:]}}}))
        world.look("tamperer")


def _a_copy(world: World, happening: Happening) -> tuple[MemoryTable, Item] | None:
    """Return a record of another Region's lane, with its table; None if there is none."""
    table = world.cloud.regions[happening.region].table(world.log_table)
    copies = _copies(world, happening.region)
    return (table, copies[happening.number % len(copies)]) if copies else None


def _copies(world: World, region: str) -> list[Item]:
    """Return the records of other Regions' lanes in a Region; none if all share one table."""
    if world.plan.durability == "quorum":
        return []
    table = world.cloud.regions[region].table(world.log_table)
    return [
        item for item in table.items if is_record(item) and not str(item["pk"]["S"]).startswith(f"{region}/")
    ]


def _lose(world: World, table: MemoryTable, item: Item) -> None:
    _tampered(world, "copy lost", table.region, item)
    table.apply(table.plan("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}}))
    world.look("tamperer")


def _tampered(world: World, what: str, region: str, item: Item) -> None:
    lane, sequence = str(item["pk"]["S"]), int(item["sk"]["N"])
    world.note(history.Tampered, "tamperer", what=what, region=region, lane=lane, sequence=sequence)


def hole(world: World, happening: Happening) -> None:
    """Lose a record as it arrives in a replica while no other Region answers; then let all but its origin answer."""
    region, known = happening.region, len(_copies(world, happening.region))
    while len(_copies(world, region)) <= known:
        world.schedule.wait(f"changes/{region}")
        if world.healed:
            return
    table, item = world.cloud.regions[region].table(world.log_table), _copies(world, region)[-1]
    _lose(world, table, item)
    tell(world, happening)
    for silent in ([name for name in world.plan.regions if name != region], [_origin_of(item)]):
        world.mute(region, silent)
        world.schedule.pause(happening.seconds / 2)
    world.mute(region, ())
    tell(world, happening, what="hole_end")


def _origin_of(item: Item) -> str:
    return str(item["pk"]["S"]).partition("/")[0]


def made_anew(world: World, happening: Happening) -> None:
    """Create the log's table anew under a ledger that remembers its lanes: cursors are ahead of them."""
    region, ahead = happening.region, 1 + 3 * happening.number
    if any(
        str(item["pk"]["S"]).startswith(f"{region}/")
        for item in world.cloud.regions[region].table(world.log_table).items
    ):
        return  # too late: something is there already
    ledger = world.cloud.ledger(region)
    for subscription in world.topology.subscriptions_in(region):
        for index in range(world.plan.lanes):
            lane = f"{region}/0.{index}"
            key = LaneKey(
                StreamName(world.plan.stream), SubscriptionName(subscription.name), Lane.parse(lane)
            )
            if ledger.state(key).cursors:
                continue
            stands = Cursor(SequenceNumber(ahead), SequenceNumber(ahead), Chain(bytes([ahead]) * 16))
            world.note(
                history.Tampered, "tamperer", what="made anew", region=region, lane=lane, sequence=ahead
            )
            ledger.commit(key, START, stands)
    world.look("tamperer")


_ALL: Final = (lose_copy, change_copy, hole, made_anew)
TAMPERERS: Final[dict[str, Callable[[World, Happening], None]]] = {
    function.__name__: function for function in _ALL
}
