"""Records of a table's DynamoDB stream, read as news of the log: which lane grew, and up to where."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventfabric import limits
from eventfabric.errors import UndecodableItemError, UndecodableMessageError
from eventfabric.model import HybridTime, Lane, SequenceNumber
from eventfabric.wire import fields
from eventfabric.wire.keys import PK, SK, Item, is_record
from eventfabric.wire.record_item import SEAL, time_of, types_of


@dataclass(frozen=True, slots=True)
class RecordNews:
    """News of a record in this Region's table: the lane has events up to `tail`. `position`: in the DynamoDB stream.

    What only tells if somebody wants the record is None where it cannot be read: then it may be wanted.
    """

    position: str
    lane: Lane
    tail: SequenceNumber
    sequence: SequenceNumber | None = None
    types: frozenset[str] | None = None
    time: HybridTime | None = None
    is_seal: bool = False
    """True if the record ends its lane: then all who read the lane want it, whatever their filters are."""


def from_stream_record(stream_record: Mapping[str, Any]) -> RecordNews | None:
    """Decode one record of a DynamoDB stream (in the shape Lambda gets). None if it says nothing about the log.

    A removal is never news: expiry removes records, and only some Regions report that. UndecodableMessageError: an
    image that is not a record's.
    """
    if stream_record.get("eventName") == "REMOVE":
        return None
    change = stream_record.get("dynamodb")
    if not isinstance(change, Mapping):
        raise UndecodableMessageError("found no change of an item, allowed: a record of a DynamoDB stream")
    image = change.get("NewImage")
    if image is None:
        return None
    try:
        fields.text(image, PK, characters_max=limits.NOTE_CHARACTERS_MAX)
        # Places, notes and interventions are in the same table.
        if not is_record(image):
            return None
        sequence, count = fields.sequence(image, SK), fields.whole(image, "n", least=1)
        # A doorbell for it must be decodable, whatever stands in the table.
        tail = SequenceNumber(min(sequence + count, limits.SEQUENCE_MAX))
        lane, position = fields.lane(image, PK), change.get("SequenceNumber")
        known = position if isinstance(position, str) else ""
        return RecordNews(known, lane, tail, sequence, _types(image), _time(image), SEAL in image)
    except UndecodableItemError as error:
        raise UndecodableMessageError(f"not a record of the log: {error}") from error


def _types(image: Item) -> frozenset[str] | None:
    """Return the types of the record's events; None if it has none that can be read, as a skip."""
    try:
        return types_of(image)
    except UndecodableItemError:
        return None


def _time(image: Item) -> HybridTime | None:
    """Return the time of the record's append, if it can be read."""
    try:
        return time_of(image)
    except UndecodableItemError:
        return None
