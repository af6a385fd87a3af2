"""An item set aside from a lane, to DynamoDB item and back: as it stood there, and who moved it, why and when.

`qb` by whom, `qw` why, `qt` milliseconds since 1970. Its expiry, if it has one, goes with it.
"""

from eventfabric import limits
from eventfabric.errors import UndecodableItemError
from eventfabric.model.identity import Lane, Sequence
from eventfabric.model.record import Aside
from eventfabric.wire import fields
from eventfabric.wire.keys import SK, Item, aside_key


def to_item(stood: Item, aside: Aside) -> Item:
    """The item to keep of one that stood in a lane, whatever that holds."""
    about = {"qb": {"S": aside.by}, "qw": {"S": aside.reason}, "qt": {"N": str(aside.at_ms)}}
    return {**stood, **about, **aside_key(aside.lane, aside.sequence)}


def from_item(item: Item, lane: Lane) -> Aside:
    """What was set aside; with the field that cannot be read as the reason, where there is one."""
    try:
        return Aside(
            lane,
            fields.sequence(item, SK),
            by=fields.text(item, "qb", characters_max=limits.ITEM_BYTES_MAX),
            reason=fields.text(item, "qw", characters_max=limits.ITEM_BYTES_MAX),
            at_ms=fields.milliseconds(item, "qt"),
        )
    except UndecodableItemError as error:  # it concerns nobody who delivers, and stays listed
        return Aside(lane, Sequence(0), by="?", reason=str(error), at_ms=0)
