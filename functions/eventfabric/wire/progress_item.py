"""Codec of a pass's progress as a DynamoDB item: fields by their names as MessagePack in `m`, version in `v`."""

from dataclasses import replace

import msgspec

from eventfabric.errors import UndecodableItemError
from eventfabric.model import Region, StreamName
from eventfabric.model.pass_progress import PassProgress
from eventfabric.wire import fields
from eventfabric.wire.keys import Item, progress_key

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(PassProgress).decode


def to_item(stream: StreamName, region: Region, progress: PassProgress) -> Item:
    """Encode the progress of a Region's pass over a stream."""
    item = progress_key(stream, region)
    item["m"] = {"B": _encode(progress)}
    item["v"] = {"N": str(progress.version or 0)}
    return item


def from_item(item: Item | None) -> PassProgress:
    """Decode progress. An item that cannot be read is worth no more than one pass: none is unfinished then."""
    if item is None:
        return PassProgress()
    try:
        return replace(fields.packed(item, "m", _decode), version=fields.whole(item, "v"))
    except UndecodableItemError:
        return PassProgress(version=None)
