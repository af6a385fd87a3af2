"""Codec of the end of a lane: its newest records, and its place as a DynamoDB item.

The place has `q` next sequence, `c` chain and `h` time of the record before it.

`e`: time at which that record may expire. The place itself has no expiry: a deletion by expiry replicates, and another
Region's clock or copy must not take the place away.
"""

from typing import Any

from eventfabric import limits
from eventfabric.errors import UndecodableItemError, UndecodableRecordError
from eventfabric.model import HybridTime, Lane, Recent, Record, SequenceNumber, Tail
from eventfabric.wire import fields, record_item
from eventfabric.wire.keys import PLACE_SEQUENCE, Item, is_place, place_key


def put(lane: Lane, tail: Tail) -> dict[str, Any]:
    """Return the put of a lane's place, on condition that no later one is noted."""
    noted: Item = {"q": {"N": str(tail.sequence)}, "c": {"B": tail.chain}, "h": {"N": str(tail.time)}}
    if tail.expires_at is not None:
        noted["e"] = {"N": str(tail.expires_at)}
    # It never goes back: what is published before the place of something that stood there is not delivered.
    return {
        "Item": {**place_key(lane), **noted},
        "ConditionExpression": "attribute_not_exists(pk) OR q < :q",
        "ExpressionAttributeValues": {":q": {"N": str(tail.sequence)}},
    }


def from_item(item: Item) -> Tail:
    """Decode a place. UndecodableRecordError if this version cannot read it."""
    try:
        return Tail(
            SequenceNumber(fields.whole(item, "q", least=1)),
            fields.chain(item, "c"),
            HybridTime(fields.whole(item, "h", most=limits.HYBRID_TIME_MAX)),
            fields.whole(item, "e") if "e" in item else None,
        )
    except UndecodableItemError as error:
        raise UndecodableRecordError(
            fields.key_text(item), PLACE_SEQUENCE, f"not a lane's place: {error}"
        ) from error


def recent(items: list[Item], *, more: bool) -> Recent:
    """Return the newest items of a lane, as they were read: its records, and its place if that is among them."""
    records: list[Record] = []
    unreadable: list[SequenceNumber] = []
    place: Tail | None = None
    for item in items:
        if is_place(item):
            place = from_item(item)
            continue
        try:
            records.append(record_item.from_item(item))
        except UndecodableRecordError as error:
            unreadable.append(SequenceNumber(error.sequence))
    return Recent(tuple(records), tuple(unreadable), place, more)
