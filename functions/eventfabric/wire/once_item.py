"""Codec of the note that an event was published once: its place, and digests by which it is recognised.

`l` lane, `s` sequence, `x` expiry (that of the record), `f` digests of key, type and data (16 bytes each, in that
order).
"""

from hashlib import blake2b
from typing import Final

from eventfabric.model import Kind, Lane, Record, SequenceNumber, canonical_json
from eventfabric.wire import fields
from eventfabric.wire.keys import Item, once_key
from eventfabric.wire.payload_codec import Row

_DIGEST_BYTES: Final = 16
_FIELDS: Final = ("key", "type", "data")


def to_item(record: Record, row: Row) -> Item:
    """Encode the note beside the record that holds this one event."""
    event_id, source = row[0], row[4]
    item = once_key(record.lane.origin, source, event_id)
    item["l"] = {"S": str(record.lane)}
    item["s"] = {"N": str(record.sequence)}
    # Digests, and not the record's place alone: they tell what differs even once the record has expired.
    item["f"] = {"B": b"".join(_digests(row))}
    # The note goes when its record goes: after that, the same id may be published again.
    if record.expires_at is not None:
        item["x"] = {"N": str(record.expires_at)}
    return item


def place_of(item: Item) -> tuple[Lane, SequenceNumber]:
    """Return the place of the event that the note is about. UndecodableItemError."""
    return fields.lane(item, "l"), fields.sequence(item, "s")


def differing(item: Item, row: Row) -> list[str]:
    """Return which of key, type and data differ between the event of the row and the one that the note is about.

    Time and headers describe the publishing, and may differ from one try to the next.
    """
    size = len(_FIELDS) * _DIGEST_BYTES
    noted = fields.octets(item, "f", least=size, most=size)
    return [
        name
        for number, (name, digest) in enumerate(zip(_FIELDS, _digests(row), strict=True))
        if noted[number * _DIGEST_BYTES : (number + 1) * _DIGEST_BYTES] != digest
    ]


def _digests(row: Row) -> list[bytes]:
    _, type_, key, _, _, _, kind, content = row
    # Compared as JSON values: the order of names and the spacing do not count.
    data = canonical_json(content) if kind == Kind.JSON else content
    return [
        blake2b(part, digest_size=_DIGEST_BYTES).digest()
        for part in (key.encode(), type_.encode(), bytes((kind,)) + data)
    ]
