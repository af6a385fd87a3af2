"""Where a subscription's lanes begin in a Region, to DynamoDB item and back: `t`, the hybrid time of the append."""

from eventfabric import limits
from eventfabric.model.identity import HybridTime, Region, StreamName, SubscriptionName
from eventfabric.wire import fields
from eventfabric.wire.keys import Item, start_key


def to_item(stream: StreamName, subscription: SubscriptionName, region: Region, time: HybridTime) -> Item:
    """The item of a Region's start."""
    return {**start_key(stream, subscription, region), "t": {"N": str(time)}}


def from_item(item: Item) -> HybridTime:
    """The time of an item; UndecodableItemError where it is not one."""
    return HybridTime(fields.whole(item, "t", most=limits.HYBRID_TIME_MAX))
