"""Codec of records as DynamoDB items. For the attributes see the catalogue in keys.py and docs/architecture.md."""

from typing import Any, Final

from eventfabric import limits
from eventfabric.errors import UndecodableItemError, UndecodableRecordError
from eventfabric.model import SEAL_ID, BatchId, HybridTime, Lane, Note, Record, SkippedBy, children_text
from eventfabric.wire import fields
from eventfabric.wire.keys import PK, SK, Item, record_key

SEAL: Final = "s"
"""Attribute of a seal, by which it is known even where only headers are read: the lane's children."""
HEADER_ATTRIBUTES = ("pk", "sk", "n", "c", "b", "h", "t", "x", SEAL)
"""All attributes but the payload and the note."""
_KNOWN = frozenset((*HEADER_ATTRIBUTES, "d", "m", "qb", "qw", "qt"))
"""All attributes that this version knows."""
_NOT_OF_SEALS: Final = ("b", "d", "m", "qb", "t", "x")
_NO_PAYLOAD: dict[str, Any] = {"B": b""}
"""Payload with which a header is decoded."""


def to_item(record: Record) -> Item:
    """Encode a record."""
    item = {**(record.unknown or {}), **record_key(record.lane, record.sequence)}
    item["n"] = {"N": str(record.count)}
    item["c"] = {"B": record.chain}
    item["h"] = {"N": str(record.time)}
    if record.is_seal:
        # Without a batch id, so that a version that knows no seals can read neither all of it nor its header: by the
        # header alone, it would take a seal for a skip, and append behind it.
        item[SEAL] = {"S": record.payload.decode()}
        return item
    item["b"] = {"B": record.batch_id}
    # A skip has neither types nor a payload: this is how readers know it.
    if record.types:
        item["t"] = {"SS": sorted(record.types)}
        item["d"] = {"B": record.payload}
    if record.skipped is not None:
        skipped = record.skipped
        item |= {"qb": {"S": skipped.by}, "qw": {"S": skipped.reason}, "qt": {"N": str(skipped.at_ms)}}
    if record.note is not None:
        item["m"] = {"S": f"{record.note.lane}/{record.note.sequence}"}
    if record.expires_at is not None:
        item["x"] = {"N": str(record.expires_at)}
    return item


def conditional_put(record: Record) -> dict[str, Any]:
    """Return the put of a record where nobody wrote. A refusal returns the item that stands there."""
    # The item in the way tells a publisher if it is its own, and the next tail, without a read.
    return {
        "Item": to_item(record),
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def from_item(item: Item) -> Record:
    """Decode a record. UndecodableRecordError if this version cannot read it."""
    try:
        return _record(item)
    except UndecodableItemError as error:
        raise _undecodable(item, f"attribute {error.field}: {error.reason}") from error


def _record(item: Item) -> Record:
    if SEAL in item:
        return _seal(item)
    sequence = fields.sequence(item, SK)
    # An item without types that holds a payload is no skip: its missing types make it unreadable.
    is_skip = "t" not in item and item.get("d") in (None, _NO_PAYLOAD)
    # A skip may stand for many lost records.
    most = limits.FAR_EVENTS if is_skip else limits.RECORD_EVENTS_MAX
    count = fields.whole(item, "n", least=1, most=most)
    # The tail after it must be a sequence as well.
    if sequence + count > limits.SEQUENCE_MAX:
        fields.refuse(item, SK, str(sequence), f"a tail of at most {limits.SEQUENCE_MAX}")
    return Record(
        lane=fields.log_lane(item, PK),
        sequence=sequence,
        count=count,
        chain=fields.chain(item, "c"),
        batch_id=BatchId(fields.octets(item, "b", least=fields.BATCH_ID_BYTES, most=fields.BATCH_ID_BYTES)),
        time=time_of(item),
        types=types_of(item) if not is_skip else frozenset(),
        payload=fields.octets(item, "d") if not is_skip else b"",
        expires_at=fields.whole(item, "x") if "x" in item else None,
        note=_note(item) if "m" in item else None,
        skipped=_skipped(item) if is_skip and "qb" in item else None,
        unknown=_unknown(item),
    )


def _seal(item: Item) -> Record:
    lane, sequence = fields.lane(item, PK), fields.sequence(item, SK)
    children = children_text(lane)
    for name in _NOT_OF_SEALS:
        if name in item and item[name] != _NO_PAYLOAD:  # as in a header that is decoded
            fields.refuse(item, name, "an attribute of other records", "none in a seal")
    if fields.text(item, SEAL, characters_max=limits.NOTE_CHARACTERS_MAX) != children:
        fields.refuse(item, SEAL, "other lanes", f"{children}, the lane's children")
    fields.whole(item, "n", least=1, most=1)
    if sequence + 1 > limits.SEQUENCE_MAX:
        fields.refuse(item, SK, str(sequence), f"a tail of at most {limits.SEQUENCE_MAX}")
    return Record(
        lane=lane,
        sequence=sequence,
        count=1,
        chain=fields.chain(item, "c"),
        batch_id=SEAL_ID,
        time=time_of(item),
        types=frozenset(),
        payload=children.encode(),
        unknown=_unknown(item),
    )


def _unknown(item: Item) -> Item | None:
    """Return the attributes that this version does not know; None for most records, which have none."""
    if _KNOWN.issuperset(item):
        return None
    return {name: value for name, value in item.items() if name not in _KNOWN}


def time_of(item: Item) -> HybridTime:
    """Read the time of the append. UndecodableItemError."""
    return HybridTime(fields.whole(item, "h", most=limits.HYBRID_TIME_MAX))


def types_of(item: Item) -> frozenset[str]:
    """Read the types of the events. UndecodableItemError."""
    return fields.texts(
        item, "t", count_max=limits.RECORD_TYPES_MAX, characters_max=limits.TYPE_CHARACTERS_MAX
    )


def _skipped(item: Item) -> SkippedBy:
    return SkippedBy(
        by=fields.text(item, "qb", characters_max=limits.ITEM_BYTES_MAX),
        reason=fields.text(item, "qw", characters_max=limits.ITEM_BYTES_MAX),
        at_ms=fields.milliseconds(item, "qt"),
    )


def _note(item: Item) -> Note:
    text = fields.text(item, "m", characters_max=limits.NOTE_CHARACTERS_MAX)
    lane, _, sequence = text.rpartition("/")
    # Read as a field, so that the bounds of sequences hold for it, too.
    number = {SK: {"N": sequence}}
    try:
        return Note(Lane.parse(lane), fields.sequence(number, SK))
    except (ValueError, UndecodableItemError):
        fields.refuse(item, "m", f"{text!r:.80}", "<lane>/<sequence>")


def _undecodable(item: Item, reason: str) -> UndecodableRecordError:
    lane, _, digits = fields.key_text(item).rpartition(" ")
    return UndecodableRecordError(
        lane, int(digits) if digits.isdecimal() and len(digits) < 20 else -1, reason
    )
