"""Marks to DynamoDB items and back, each of a bounded size whatever the numbers of lanes and subscriptions.

    marks/0003           `m` the marks of lanes 1,536 to 2,047: MessagePack, by lane index, without cursors
    marks/0003/billing   `m` where billing stood in these lanes: MessagePack, by lane index, epoch and sequence

Each has the version in `v`, and is written only where its content changed.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from eventfabric import limits
from eventfabric.model.identity import LaneIndex, Region, StreamName
from eventfabric.model.marks import Mark, Marks
from eventfabric.wire import fields
from eventfabric.wire.keys import Item, marks_key, part_of_marks

T = TypeVar("T")
_encode = msgspec.msgpack.Encoder().encode
_decode_marks = msgspec.msgpack.Decoder(dict[int, Mark]).decode
_decode_cursors = msgspec.msgpack.Decoder(dict[int, tuple[int, int]]).decode


def changed_items(
    stream: StreamName, origin: Region, region: Region, read: Marks, to: Marks
) -> list[tuple[Item, int]]:
    """The items in which marks differ from those read, each with the version that was read."""
    before, after = _parts(read), _parts(to)
    changed: list[tuple[Item, int]] = []
    for part in sorted(before.keys() | after.keys()):
        content = after.get(part, {})
        if content == before.get(part, {}):
            continue
        version = read.versions.get(part, 0)
        item = marks_key(stream, origin, region, part)
        item["m"] = {"B": _encode(content)}
        item["v"] = {"N": str(version + 1)}
        changed.append((item, version))
    return changed


def from_items(items: list[Item]) -> Marks:
    """The marks of their items; UndecodableItemError where one is none."""
    versions: dict[str, int] = {}
    lanes: dict[LaneIndex, Mark] = {}
    cursors: defaultdict[LaneIndex, dict[str, tuple[int, int]]] = defaultdict(dict)
    for item in items:
        fields.region_and_kind(item)
        part = part_of_marks(item)
        versions[part] = fields.whole(item, "v")
        subscription = part.partition("/")[2]
        if subscription:
            for index, stood_at in _lanes(item, _decode_cursors).items():
                cursors[LaneIndex(index)][subscription] = stood_at
        else:
            lanes |= {LaneIndex(index): mark for index, mark in _lanes(item, _decode_marks).items()}
    marked = {index: replace(mark, cursors=cursors.get(index, {})) for index, mark in lanes.items()}
    return Marks(marked, versions)


def _lanes(item: Item, decode: Callable[[bytes], dict[int, T]]) -> dict[int, T]:
    """What an item says of each of its lanes."""
    lanes = fields.packed(item, "m", decode)
    if len(lanes) > limits.MARKS_ITEM_LANES or any(index >= limits.LANES_MAX for index in lanes):
        fields.refuse(
            item, "m", f"{len(lanes)} lanes", f"at most {limits.MARKS_ITEM_LANES} below {limits.LANES_MAX}"
        )
    return lanes


def _parts(marks: Marks) -> dict[str, dict[int, Any]]:
    """The content of each item, by its part of the sort key."""
    parts: defaultdict[str, dict[int, Any]] = defaultdict(dict)
    for index, mark in marks.lanes.items():
        part = f"{index // limits.MARKS_ITEM_LANES:04d}"
        parts[part][index] = replace(mark, cursors={})
        for subscription, stood_at in mark.cursors.items():
            parts[f"{part}/{subscription}"][index] = stood_at
    return parts
