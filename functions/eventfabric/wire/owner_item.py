"""Codec of handovers as DynamoDB items: all fields by their names, as JSON in `f`, and the version in `v`."""

from dataclasses import replace

import msgspec

from eventfabric.model import Owner, Region, Standing, StreamName, SubscriptionName
from eventfabric.wire import circuit_item, fields, start_item
from eventfabric.wire.keys import (
    Item,
    is_circuit,
    is_owner,
    is_seen,
    is_start,
    origin_of,
    owner_key,
)

_decode = msgspec.json.Decoder(Owner).decode


def to_item(stream: StreamName, subscription: SubscriptionName, owner: Owner) -> Item:
    """Encode a handover, which the Region `owner.by` writes."""
    return fields.with_version(owner_key(stream, subscription, owner.by, owner.origin), owner)


def from_item(item: Item) -> Owner:
    """Decode a handover. UndecodableItemError if the item is not one, or not the one that its key names."""
    owner = replace(fields.json(item, "f", _decode), version=fields.whole(item, "v"))
    # Tables are restored, copied and edited: an item may stand under another's key.
    region, kind = fields.region_and_kind(item)
    if (owner.by, owner.origin) != (region, origin_of(kind)):
        fields.refuse(
            item, "f", f"{owner.by!s:.40} {owner.origin!s:.40}", "the Regions that the item's key names"
        )
    return owner


def standing_of(items: list[Item], region: Region) -> Standing:
    """Return a Region's view of a subscription, from all items of the subscription. UndecodableItemError."""
    standing, owners, starts, seen_ms = Standing(), [], {}, 0
    for item in items:
        # Handovers and starts of all Regions count; a circuit and a look at owners only in their own Region.
        writer, kind = fields.region_and_kind(item)
        if is_owner(kind):
            owners.append(from_item(item))
        elif is_start(kind):
            starts[writer] = start_item.from_item(item)
        elif is_seen(kind) and writer == region:
            seen_ms = fields.milliseconds(item, "u")
        elif is_circuit(kind) and writer == region:
            standing = Standing(circuit_item.from_item(item))
    return replace(standing, owners=tuple(owners), starts=starts, seen_ms=seen_ms)
