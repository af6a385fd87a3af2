"""Codec of the start of a subscription's lanes in a Region as a DynamoDB item: `t`, the hybrid time of the append."""

from eventfabric import limits
from eventfabric.model import HybridTime, Region, StreamName, SubscriptionName
from eventfabric.wire import fields
from eventfabric.wire.keys import Item, start_key


def to_item(stream: StreamName, subscription: SubscriptionName, region: Region, time: HybridTime) -> Item:
    """Encode a Region's start."""
    # No expiry: without it, lanes that are quiet so far would begin with another moment than the others.
    return {**start_key(stream, subscription, region), "t": {"N": str(time)}}


def from_item(item: Item) -> HybridTime:
    """Decode the time of a start. UndecodableItemError if the item is not one."""
    return HybridTime(fields.whole(item, "t", most=limits.HYBRID_TIME_MAX))
