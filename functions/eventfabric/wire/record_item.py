"""Record to DynamoDB item and back. Attributes: see the catalogue in keys.py and the table in docs/architecture.md."""

from typing import Any

from eventfabric.errors import UndecodableRecordError
from eventfabric.model.identity import BatchId, Chain, HybridTime, Lane, Sequence
from eventfabric.model.record import Note, Recent, Record, Tail
from eventfabric.wire import place_item
from eventfabric.wire.keys import Item, is_place, lane_of, record_key

HEADER_ATTRIBUTES = ("pk", "sk", "n", "c", "b", "h", "t")
"""All attributes but the payload, the note and the expiry."""


def to_item(record: Record) -> Item:
    """The item of a record."""
    item = record_key(record.lane, record.sequence)
    item["n"] = {"N": str(record.count)}
    item["c"] = {"B": record.chain}
    item["b"] = {"B": record.batch_id}
    item["h"] = {"N": str(record.time)}
    item["t"] = {"SS": sorted(record.types)}
    item["d"] = {"B": record.payload}
    if record.note is not None:
        item["m"] = {"S": f"{record.note.lane}/{record.note.sequence}"}
    if record.expires_at is not None:
        item["x"] = {"N": str(record.expires_at)}
    return item


def conditional_put(record: Record) -> dict[str, Any]:
    """The put of a record where nobody wrote; a refusal returns what stands there."""
    return {
        "Item": to_item(record),
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def from_item(item: Item) -> Record:
    """The record of an item; UndecodableRecordError where this version cannot read it."""
    try:
        record = Record(
            lane=lane_of(item),
            sequence=Sequence(int(item["sk"]["N"])),
            count=int(item["n"]["N"]),
            chain=Chain(bytes(item["c"]["B"])),
            batch_id=BatchId(bytes(item["b"]["B"])),
            time=HybridTime(int(item["h"]["N"])),
            types=frozenset(item["t"]["SS"]),
            payload=bytes(item["d"]["B"]),
            expires_at=int(item["x"]["N"]) if "x" in item else None,
            note=_note(item["m"]["S"]) if "m" in item else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _undecodable(item, f"attribute {error} is missing or not as this version writes it") from error
    if record.count < 1:
        raise _undecodable(item, f"found {record.count} events, allowed: at least 1")
    return record


def recent(items: list[Item], *, more: bool) -> Recent:
    """The newest items of a lane, as they were read: its records, and its place if that is among them."""
    records: list[Record] = []
    unreadable: list[Sequence] = []
    place: Tail | None = None
    for item in items:
        if is_place(item):
            place = place_item.from_item(item)
            continue
        try:
            records.append(from_item(item))
        except UndecodableRecordError as error:
            unreadable.append(Sequence(error.sequence))
    return Recent(tuple(records), tuple(unreadable), place, more)


def _note(text: str) -> Note:
    lane, _, sequence = text.rpartition("/")
    return Note(Lane.parse(lane), Sequence(int(sequence)))


def _undecodable(item: Item, reason: str) -> UndecodableRecordError:
    lane: Lane | str = str(item.get("pk", {}).get("S", "?"))
    sequence = item.get("sk", {}).get("N", "-1")
    return UndecodableRecordError(lane, int(sequence) if sequence.lstrip("-").isdecimal() else -1, reason)
