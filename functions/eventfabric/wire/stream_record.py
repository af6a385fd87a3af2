"""What a table's DynamoDB stream says of the log: which lane grew, and to where."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventfabric import limits
from eventfabric.errors import UndecodableItemError, UndecodableMessageError
from eventfabric.model.identity import Lane, Sequence
from eventfabric.wire import fields
from eventfabric.wire.keys import PK, SK, is_record


@dataclass(frozen=True, slots=True)
class Appended:
    """A record arrived in this Region's table: the lane has events up to `tail`. `position` is the stream's own."""

    position: str
    lane: Lane
    tail: Sequence


def from_stream_record(stream_record: Mapping[str, Any]) -> Appended | None:
    """What one record of a DynamoDB stream (in the shape Lambda gets) says; None: nothing about the log.

    A removal is never news: expiry removes, and only in some Regions says so. UndecodableMessageError: an image that is
    no record's.
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
        if not is_record(image):
            return None
        sequence, count = fields.sequence(image, SK), fields.whole(image, "n", least=1)
        tail = Sequence(min(sequence + count, limits.SEQUENCE_MAX))
        return Appended(str(change.get("SequenceNumber", "")), fields.lane(image, PK), tail)
    except UndecodableItemError as error:
        raise UndecodableMessageError(f"not a record of the log: {error}") from error
