"""Circuit to DynamoDB item and back: its fields by their names, as JSON in `f`, and the version in `v`."""

from dataclasses import replace

import msgspec

from eventfabric.model.circuit import Circuit
from eventfabric.model.identity import Region, StreamName, SubscriptionName
from eventfabric.wire import fields
from eventfabric.wire.keys import Item, circuit_key

_decode = msgspec.json.Decoder(Circuit).decode


def to_item(stream: StreamName, subscription: SubscriptionName, region: Region, circuit: Circuit) -> Item:
    """The item of a subscription's circuit in a Region."""
    item = circuit_key(stream, subscription, region)
    item["f"] = {"S": msgspec.json.encode(circuit).decode()}
    item["v"] = {"N": str(circuit.version)}
    return item


def from_item(item: Item) -> Circuit:
    """The circuit of an item; UndecodableItemError where it is not one."""
    return replace(fields.json(item, "f", _decode), version=fields.whole(item, "v"))
