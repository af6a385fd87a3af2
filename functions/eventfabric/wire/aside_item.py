"""An item set aside from a lane, to DynamoDB item and back: as it stood there, and who moved it, why and when.

`qb` by whom, `qw` why, `qt` milliseconds since 1970. Its expiry, if it has one, goes with it.
"""

from eventfabric.model.identity import Lane, Sequence
from eventfabric.model.record import Aside
from eventfabric.wire.keys import SK, Item, aside_key


def to_item(stood: Item, aside: Aside) -> Item:
    """The item to keep of one that stood in a lane, whatever that holds."""
    about = {"qb": {"S": aside.by}, "qw": {"S": aside.reason}, "qt": {"N": str(aside.at_ms)}}
    return {**stood, **about, **aside_key(aside.lane, aside.sequence)}


def from_item(item: Item, lane: Lane) -> Aside:
    """What was set aside; KeyError or ValueError where an item says nothing of it."""
    sequence, at_ms = Sequence(int(item[SK]["N"])), int(item["qt"]["N"])
    return Aside(lane, sequence, by=str(item["qb"]["S"]), reason=str(item["qw"]["S"]), at_ms=at_ms)
