"""Codec of marks as DynamoDB items, each of a bounded size whatever the numbers of lanes and subscriptions.

    marks/0003           `m` the marks of lanes 1,536 to 2,047: MessagePack, by lane number, without cursors
    marks/0003/billing   `m` cursors of `billing` in these lanes: MessagePack, by lane number, epoch and sequence

Each item has its version in `v`, and is written only if its content changed, or could not be read.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec

from eventfabric import limits
from eventfabric.errors import UndecodableItemError
from eventfabric.model import Mark, Marks, Region, StreamName, next_count, part_of
from eventfabric.wire import fields
from eventfabric.wire.keys import Item, marks_key, part_of_marks

T = TypeVar("T")
_encode = msgspec.msgpack.Encoder().encode
_decode_marks = msgspec.msgpack.Decoder(dict[int, Mark]).decode
_decode_cursors = msgspec.msgpack.Decoder(dict[int, tuple[int, int]]).decode
_NUMBERS_MAX: Final = limits.LANES_MAX * limits.LANES_MAX.bit_length()
"""Numbers of lanes. With each generation a stream has twice as many, and never more than LANES_MAX."""


def changed_items(
    stream: StreamName, origin: Region, region: Region, read: Marks, to: Marks
) -> list[tuple[Item, int | None]]:
    """Return the items in which marks differ from those read, each with the version that was read; None: it has none.

    Items that could not be read are written anew as well: what they remember is worth no more than one pass.
    """
    before, after = _parts(read), _parts(to)
    changed: list[tuple[Item, int | None]] = []
    for part in sorted(before.keys() | after.keys() | read.unreadable.keys()):
        content, is_unreadable = after.get(part, {}), part in read.unreadable
        if content == before.get(part, {}) and not is_unreadable:
            continue
        version = read.versions.get(part, 0)
        item = marks_key(stream, origin, region, part)
        item["m"] = {"B": _encode(content)}
        item["v"] = {"N": str(next_count(version))}
        # A version that cannot be read cannot be a condition either.
        changed.append((item, None if is_unreadable and not version else version))
    return changed


def from_items(items: list[Item]) -> Marks:
    """Decode marks item by item. Those that cannot be read are left out, and named in `unreadable`."""
    versions: dict[str, int] = {}
    unreadable: dict[str, UndecodableItemError] = {}
    lanes: dict[int, Mark] = {}
    cursors: defaultdict[int, dict[str, tuple[int, int]]] = defaultdict(dict)
    for item in items:
        fields.region_and_kind(item)
        part = part_of_marks(item)
        subscription = part.partition("/")[2]
        try:
            # Part by part: what is spoilt must not cost the memory of all other lanes, nor stop their
            # publishers.
            versions[part] = fields.whole(item, "v")
            if subscription:
                for number, stood_at in _lanes(item, part, _decode_cursors).items():
                    cursors[number][subscription] = stood_at
            else:
                lanes |= _lanes(item, part, _decode_marks)
        except UndecodableItemError as error:
            unreadable[part] = error
    # A cursor says nothing without the mark of its lane, which may have been unreadable.
    marked = {number: replace(mark, cursors=cursors.get(number, {})) for number, mark in lanes.items()}
    return Marks(marked, versions, unreadable)


def _lanes(item: Item, part: str, decode: Callable[[bytes], dict[int, T]]) -> dict[int, T]:
    """Decode the content of an item, by lane number. All lanes must be those of its part."""
    lanes = fields.packed(item, "m", decode)
    own = part.partition("/")[0]
    if any(number >= _NUMBERS_MAX or part_of(number) != own for number in lanes):
        fields.refuse(item, "m", "lanes of another part", f"those of part {own}, below {_NUMBERS_MAX}")
    return lanes


def _parts(marks: Marks) -> dict[str, dict[int, Any]]:
    """Return the content of each item, by its part of the sort key."""
    parts: defaultdict[str, dict[int, Any]] = defaultdict(dict)
    for number, mark in marks.lanes.items():
        part = part_of(number)
        # Cursors have items of their own, so that no item grows with the number of subscriptions.
        parts[part][number] = replace(mark, cursors={})
        for subscription, stood_at in mark.cursors.items():
            parts[f"{part}/{subscription}"][number] = stood_at
    return parts
