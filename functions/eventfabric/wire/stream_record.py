"""Records of a table's DynamoDB stream, read as news of the log: which lane grew, and up to where."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventfabric import limits
from eventfabric.errors import UndecodableItemError, UndecodableMessageError
from eventfabric.model import Lane, SequenceNumber
from eventfabric.wire import fields
from eventfabric.wire.keys import PK, SK, is_record


@dataclass(frozen=True, slots=True)
class RecordNews:
    """News of a record in this Region's table: the lane has events up to `tail`. `position`: in the DynamoDB stream."""

    position: str
    lane: Lane
    tail: SequenceNumber


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
        return RecordNews(str(change.get("SequenceNumber", "")), fields.lane(image, PK), tail)
    except UndecodableItemError as error:
        raise UndecodableMessageError(f"not a record of the log: {error}") from error
