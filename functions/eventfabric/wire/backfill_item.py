"""Backfill and slice to DynamoDB item and back: their fields by their names, as JSON in `f`.

A backfill has its version in `v`; a slice has in `at` how far it is, so that it never goes back.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec

from eventfabric import limits
from eventfabric.errors import UndecodableItemError
from eventfabric.model.backfill import Backfill
from eventfabric.model.identity import Lane, Region, Sequence
from eventfabric.model.slice import SliceProgress
from eventfabric.wire import fields
from eventfabric.wire.keys import PK, SK, Item, backfill_key, slice_key

T = TypeVar("T")
_NEW: Final = f"attribute_not_exists({PK})"
_AFTER_ALL: Final = "~"
"""Sorts behind every Region's name."""
_decode_backfill = msgspec.json.Decoder(Backfill).decode
_decode_slice = msgspec.json.Decoder(SliceProgress).decode


def to_item(backfill: Backfill) -> Item:
    """The item of a backfill."""
    item = backfill_key(backfill.id, backfill.target)
    item["f"] = {"S": msgspec.json.encode(backfill).decode()}
    item["v"] = {"N": str(backfill.version)}
    return item


def from_item(item: Item) -> Backfill:
    """The backfill of an item; UndecodableItemError where it is not one, or not the one that its key names."""
    backfill = replace(fields.json(item, "f", _decode_backfill), version=fields.whole(item, "v"))
    _check_key(item, backfill_key(backfill.id, backfill.target))
    return backfill


def slice_to_item(backfill_id: str, progress: SliceProgress) -> Item:
    """The item of a slice."""
    of = progress.slice
    item = slice_key(backfill_id, of.target, of.lane, of.start.sequence)
    item["f"] = {"S": msgspec.json.encode(progress).decode()}
    item["at"] = {"N": str(progress.at.sequence)}
    return item


def slice_from_item(item: Item) -> SliceProgress:
    """The slice of an item; UndecodableItemError where it is not one, or not the one that its key names."""
    progress = fields.json(item, "f", _decode_slice)
    of = progress.slice
    fields.text(item, PK, characters_max=limits.PARTITION_KEY_BYTES_MAX)
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
    """The put of a slice that nobody noted before."""
    return {"Item": slice_to_item(backfill_id, progress), "ConditionExpression": _NEW}


def saved_slice(backfill_id: str, progress: SliceProgress) -> dict[str, Any]:
    """The put of a slice that is no further yet."""
    item = slice_to_item(backfill_id, progress)
    return {
        "Item": item,
        "ConditionExpression": f"{_NEW} OR #at <= :at",
        "ExpressionAttributeNames": {"#at": "at"},
        "ExpressionAttributeValues": {":at": item["at"]},
    }


def sort_key_after(backfill_id: str, region: Region, place: tuple[Lane, Sequence] | None) -> dict[str, Any]:
    """The sort key from which a Region's slices go on: behind a place, or at the first."""
    if place is None:
        return {"S": f"{region}/"}
    return {"S": slice_key(backfill_id, region, *place)[SK]["S"] + "/"}


def sort_key_end(region: Region) -> dict[str, Any]:
    """The sort key before which a Region's slices end."""
    return {"S": f"{region}/{_AFTER_ALL}"}


def backfills_of(items: Iterable[Item], unreadable: Callable[[UndecodableItemError], None]) -> list[Backfill]:
    """The backfills of items, one by one; told of those that cannot be read, which are left out."""
    return list(_readable(items, from_item, unreadable))


def slices_of(
    items: Iterable[Item], unreadable: Callable[[UndecodableItemError], None]
) -> list[SliceProgress]:
    """The slices of items, one by one; told of those that cannot be read, which are left out."""
    return list(_readable(items, slice_from_item, unreadable))


def _readable(
    items: Iterable[Item], decode: Callable[[Item], T], unreadable: Callable[[UndecodableItemError], None]
) -> Iterator[T]:
    for item in items:
        try:
            yield decode(item)
        except UndecodableItemError as error:
            unreadable(error)
