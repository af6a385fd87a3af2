"""Codec of circuits as DynamoDB items: all fields by their names, as JSON in `f`, and the version in `v`."""

from dataclasses import replace

import msgspec

from eventfabric.model import Circuit, Region, StreamName, SubscriptionName
from eventfabric.wire import fields
from eventfabric.wire.keys import Item, circuit_key

_decode = msgspec.json.Decoder(Circuit).decode


def to_item(stream: StreamName, subscription: SubscriptionName, region: Region, circuit: Circuit) -> Item:
    """Encode the circuit of a subscription in a Region."""
    return fields.with_version(circuit_key(stream, subscription, region), circuit)


def from_item(item: Item) -> Circuit:
    """Decode a circuit. UndecodableItemError if the item is not one."""
    return replace(fields.json(item, "f", _decode), version=fields.whole(item, "v"))
