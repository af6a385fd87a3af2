"""What a table's DynamoDB stream says of the log: which lane grew, and to where."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventfabric.model.identity import Lane, Sequence
from eventfabric.wire.keys import is_record, lane_of


@dataclass(frozen=True, slots=True)
class Appended:
    """A record arrived in this Region's table: the lane has events up to `tail`. `position` is the stream's own."""

    position: str
    lane: Lane
    tail: Sequence


def from_stream_record(stream_record: Mapping[str, Any]) -> Appended | None:
    """What one record of a DynamoDB stream (in the shape Lambda gets) says; None: nothing about the log.

    A removal is never news: expiry removes, and only in some Regions says so. ValueError: an image that is no record.
    """
    if stream_record.get("eventName") == "REMOVE":
        return None
    change = stream_record["dynamodb"]
    image = change.get("NewImage")
    if image is None:
        return None
    try:
        if not is_record(image):
            return None
        tail = Sequence(int(image["sk"]["N"]) + int(image["n"]["N"]))
        return Appended(str(change["SequenceNumber"]), lane_of(image), tail)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a record of the log: {error}") from error
