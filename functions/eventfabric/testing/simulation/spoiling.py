"""Items and messages put among the fabric's own by somebody else: each may cost its own lane, and nothing more.

    far item, junk at a lane's end    set aside by an operator once reconciliation has reported it, see operators.py
    spoiled cursor, parked key, marks, place     put right by an operator at the end of the faults
    strange lanes, garbage in queues             never put right: functions go on without them

A happening's `what` is the name of a function here.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Final

from eventfabric import limits
from eventfabric.model import Lane
from eventfabric.services.lanes.lane_end import lane_end
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.observer import FOREIGN, is_foreign
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.world import World
from eventfabric.wire.keys import PK, SK, Item, is_cursor, is_parked, ledger_region_and_kind, part_of_marks

_FAR: Final = 2**40
_NEAR: Final = (1, 7, 900)
_DIGITS: Final = 200
_GARBAGE_MAX: Final = 40
_GARBAGE_SECONDS: Final = 8.0
_LASTS_SECONDS: Final = 90 * 86_400
"""Lifetime of a foreign item, far beyond that of the stream's own records."""


def far_item(world: World, happening: Happening) -> None:
    """Put a record far behind the end of a lane, like a program with another notion of sequences."""
    lasts = world.plan.retention_days and happening.number % 2
    expiry = {"x": {"N": str(world.time.now_ms() // 1000 + _LASTS_SECONDS)}} if lasts else {}
    _put_behind(world, happening, _FAR + happening.number, _record(world, happening) | expiry)


def junk_item(world: World, happening: Happening) -> None:
    """Put an item that no version could have written at or near a lane's end."""
    random = _random(world, happening)
    distance = random.choice((0, 0, *_NEAR, _FAR))
    _put_behind(world, happening, distance, _record(world, happening) | random.choice(_BEYOND_BOUNDS))


def record_at_the_end(world: World, happening: Happening) -> None:
    """Put a record at a lane's end that does not continue the record before it."""
    _put_behind(world, happening, 0, _record(world, happening))


def strange_lane(world: World, happening: Happening) -> None:
    """Put an item with an invalid lane into the log's table: an index of 200 digits, or a name that is no Region."""
    table, random = _log_of(world, happening.region), _random(world, happening)
    name = random.choice(
        (f"{happening.region}/0.{'9' * _DIGITS}", "nowhere/0.0", f"{happening.region}/0", "lane")
    )
    item = {PK: {"S": name}, SK: {"N": "0"}, **_record(world, happening), **_foreign(happening)}
    table.apply(table.plan("Put", {"Item": item}))
    world.look("tamperer")


def garbage(world: World, happening: Happening) -> None:
    """Send messages that are no doorbells to a subscription's timers, or to its queue in groups of their own."""
    random, region = _random(world, happening), happening.region
    name = world.plan.subscriptions[happening.number % len(world.plan.subscriptions)].name
    stream, lane = world.plan.stream, f'"origin": "{region}", "lane"'
    bodies = (
        "",
        "{",
        "null",
        "[]",
        '{"stream": "other", "origin": "us-east-1", "lane": "0.0", "tail": 1}',
        f'{{"stream": "{stream}", {lane}: "0.{"7" * _DIGITS}", "tail": 1}}',
        f'{{"stream": "{stream}", {lane}: "0.4000", "tail": 1}}',
        f'{{"stream": "{stream}", {lane}: "0.0", "tail": {2**70}}}',
        f'{{"stream": "{stream}", {lane}: "0.0", "tail": -1}}',
    )
    until_us = world.schedule.now_us + round(1_000_000 * happening.seconds)
    for number in range(_GARBAGE_MAX):
        if world.schedule.now_us > until_us or world.healed:
            return
        body = random.choice(bodies)
        if random.random() < 0.3:
            world.cloud.timers(name, region).send(body, delay_seconds=0)
        else:
            queue = world.cloud.queue(name, region)
            queue.send(
                body, group=f"garbage {number}", deduplication_id=f"{happening.after_seconds} {number}"
            )
        for channel in ("queue", "timers"):
            world.schedule.wake(f"{channel}/{region}/{name}")
        world.schedule.pause(_GARBAGE_SECONDS)


def spoil_state(world: World, happening: Happening) -> None:
    """Make a cursor, a parked key, marks or a lane's place unreadable until the faults end."""
    random, region = _random(world, happening), happening.region
    table = world.cloud.regions[region].table(world.topology.ledger_of(world.plan.stream).name)
    items = [item for item in table.items if _is_state(item, region) and not is_foreign(item)]
    if not items:
        return
    item = random.choice(items)
    lane = _lane_of_state(item)
    spoilt = {**item, random.choice([name for name in item if name not in (PK, SK)]): {"SS": ["spoilt"]}}
    _tampered(world, "state spoilt", region, lane, -1)
    table.apply(table.plan("Put", {"Item": spoilt | _foreign(happening)}))
    world.spoilt.append((table, item))
    world.look("tamperer")


def mend_state(world: World) -> None:
    """Restore all spoilt state, as an operator would. Nobody could have changed it meanwhile."""
    for table, item in reversed(world.spoilt):  # what the fabric has overwritten is correct
        if any(
            is_foreign(stored) and (stored[PK], stored[SK]) == (item[PK], item[SK]) for stored in table.items
        ):
            table.apply(table.plan("Put", {"Item": item}))
            world.look("tamperer")
    world.spoilt.clear()


def _is_state(item: Item, region: str) -> bool:
    """Tell if an item is state on which one lane's delivery, or one pass of reconciliation, depends."""
    try:
        writer, kind = ledger_region_and_kind(item)
    except (KeyError, ValueError):
        return False
    lane = len(str(item[PK]["S"]).split("/")) == 4
    return writer == region and ((lane and (is_cursor(kind) or is_parked(kind))) or bool(part_of_marks(item)))


def _lane_of_state(item: Item) -> str:
    """Return the lane that an item of state belongs to; empty for marks, which cover several lanes."""
    parts = str(item[PK]["S"]).split("/")
    return "/".join(parts[2:]) if len(parts) == 4 else ""


def _put_behind(world: World, happening: Happening, distance: int, about: Item) -> None:
    """Put an item `distance` behind the end of one of the Region's own lanes, unless an item is there."""
    region, random = happening.region, _random(world, happening)
    table = _log_of(world, region)
    lane = Lane.parse(f"{region}/0.{random.randrange(world.plan.lanes)}")
    end = lane_end(world.cloud.log(world.plan.stream, region), lane, now_ms=world.time.now_ms())
    sequence = end.tail.sequence + distance
    item = {PK: {"S": str(lane)}, SK: {"N": str(sequence)}, **about, **_foreign(happening)}
    if any((stored[PK], stored[SK]) == (item[PK], item[SK]) for stored in table.items):
        return
    _tampered(world, "far item put" if distance >= _FAR else "item put", region, str(lane), sequence)
    table.apply(table.plan("Put", {"Item": item}))
    world.look("tamperer")


def _record(world: World, happening: Happening) -> Item:
    """Return all attributes of a record of one event except its key, with a random chain."""
    random = _random(world, happening)
    return {
        "n": {"N": "1"},
        "c": {"B": random.randbytes(16)},
        "b": {"B": random.randbytes(16)},
        "h": {"N": str(world.time.now_ms() << 16)},
        "t": {"SS": ["placed"]},
        "d": {"B": b"\x00 not events"},
    }


def _beyond(name: str, value: dict[str, Any]) -> Item:
    return {name: value}


_BEYOND_BOUNDS: Final = (
    _beyond("h", {"N": str(2**64)}),
    _beyond("n", {"N": str(2**64)}),
    _beyond("n", {"N": "0"}),
    _beyond("t", {"NS": ["1"]}),
    _beyond("c", {"B": b""}),
    _beyond("b", {"S": "text"}),
    _beyond("m", {"S": f"us-east-1/0.{'9' * _DIGITS}/0"}),
    _beyond("x", {"N": str(limits.SEQUENCE_MAX * 4)}),
)
"""Attributes of a record that no version writes, and that must not break any reader."""


def _foreign(happening: Happening) -> Item:
    return {FOREIGN: {"S": happening.what}}


def _random(world: World, happening: Happening) -> Random:
    return Random(f"{world.plan.seed} {happening.what} {happening.after_seconds}")


def _log_of(world: World, region: str) -> MemoryTable:
    return world.cloud.log_table(world.plan.stream, region)


def _tampered(world: World, what: str, region: str, lane: str, sequence: int) -> None:
    world.note(history.Tampered, "tamperer", what=what, region=region, lane=lane, sequence=sequence)


_ALL: Final = (far_item, junk_item, record_at_the_end, strange_lane, garbage, spoil_state)
SPOILERS: Final[dict[str, Callable[[World, Happening], None]]] = {
    function.__name__: function for function in _ALL
}
