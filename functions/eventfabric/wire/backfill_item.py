"""Codec of backfills and slices as DynamoDB items: all fields by their names, as JSON in `f`.

A backfill has its version in `v`. A slice has its progress in `at`, so that no write sets it back.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec

from eventfabric import limits
from eventfabric.errors import UndecodableItemError
from eventfabric.model import DeclarationLane, Region, SchemaLane
from eventfabric.model.backfill import Backfill, SliceProgress, SliceStart
from eventfabric.wire import fields
from eventfabric.wire.keys import PK, SK, Item, backfill_key, slice_key

T = TypeVar("T")
_NEW: Final = f"attribute_not_exists({PK})"
_AFTER_ALL: Final = "~"
"""Text that sorts after every Region's name."""
_decode_backfill = msgspec.json.Decoder(Backfill).decode
_decode_slice = msgspec.json.Decoder(SliceProgress).decode


def to_item(backfill: Backfill) -> Item:
    """Encode a backfill."""
    return fields.with_version(backfill_key(backfill.id, backfill.target), backfill)


def from_item(item: Item) -> Backfill:
    """Decode a backfill. UndecodableItemError if it is not one, or not the one that the item's key names."""
    # The version outside the JSON counts: it is the one that writes compare.
    backfill = replace(fields.json(item, "f", _decode_backfill), version=fields.whole(item, "v"))
    _check_key(item, backfill_key(backfill.id, backfill.target))
    return backfill


def slice_to_item(backfill_id: str, progress: SliceProgress) -> Item:
    """Encode a slice and its progress."""
    of = progress.slice
    key = slice_key(backfill_id, of.target, of.lane, of.start.sequence)
    return {**key, "f": fields.as_json(progress), "at": {"N": str(progress.at.sequence)}}


def slice_from_item(item: Item) -> SliceProgress:
    """Decode a slice. UndecodableItemError if it is not one, or not the one that the item's key names."""
    progress = fields.json(item, "f", _decode_slice)
    of = progress.slice
    fields.text(item, PK, characters_max=limits.PARTITION_KEY_BYTES_MAX)
    for kind in (DeclarationLane, SchemaLane):
        declarations = kind.of(of.lane.origin, of.stream)
        if item.get(SK) == slice_key("", of.target, declarations, of.start.sequence)[SK]:
            # In the JSON, a lane of declarations looks like one of the origin's first lanes.
            of = replace(of, lane=declarations)
            progress = replace(progress, slice=of)
    # The partition key names the backfill, which the slice itself does not know: that part is not compared.
    _check_key(item, {**slice_key("", of.target, of.lane, of.start.sequence), PK: item[PK]})
    if progress.at.sequence < of.start.sequence:
        fields.refuse(
            item, "f", f"at {progress.at.sequence}", f"{of.start.sequence} or later, where it begins"
        )
    return progress


def _check_key(item: Item, key: Item) -> None:
    if {PK: item.get(PK), SK: item.get(SK)} != key:
        fields.refuse(item, "f", "another's", "what the item's key names")


def new_slice(backfill_id: str, progress: SliceProgress) -> dict[str, Any]:
    """Return the put of a slice that nobody noted before."""
    # A plan that is made again after an interruption finds the
    # same slices, and must not set their progress back.
    return {"Item": slice_to_item(backfill_id, progress), "ConditionExpression": _NEW}


def saved_slice(backfill_id: str, progress: SliceProgress) -> dict[str, Any]:
    """Return the put of a slice's progress, on condition that the stored one is not further."""
    item = slice_to_item(backfill_id, progress)
    return {
        "Item": item,
        "ConditionExpression": f"{_NEW} OR #at <= :at",
        "ExpressionAttributeNames": {"#at": "at"},
        "ExpressionAttributeValues": {":at": item["at"]},
    }


def sort_key_after(backfill_id: str, region: Region, place: SliceStart | None) -> dict[str, Any]:
    """Return the sort key at which a Region's slices go on: after a place, or with the first one."""
    if place is None:
        return {"S": f"{region}/"}
    # A longer key sorts after the slice at that place, and before every later one.
    return {"S": slice_key(backfill_id, region, *place)[SK]["S"] + "/"}


def sort_key_end(region: Region) -> dict[str, Any]:
    """Return the sort key before which a Region's slices end."""
    return {"S": f"{region}/{_AFTER_ALL}"}


def backfills_of(items: Iterable[Item], unreadable: Callable[[UndecodableItemError], None]) -> list[Backfill]:
    """Decode backfills one by one. `unreadable` is told of those that cannot be read, which are left out."""
    return list(_readable(items, from_item, unreadable))


def slices_of(
    items: Iterable[Item], unreadable: Callable[[UndecodableItemError], None]
) -> list[SliceProgress]:
    """Decode slices one by one. `unreadable` is told of those that cannot be read, which are left out."""
    return list(_readable(items, slice_from_item, unreadable))


def _readable(
    items: Iterable[Item], decode: Callable[[Item], T], unreadable: Callable[[UndecodableItemError], None]
) -> Iterator[T]:
    for item in items:
        try:
            yield decode(item)
        except UndecodableItemError as error:
            unreadable(error)
