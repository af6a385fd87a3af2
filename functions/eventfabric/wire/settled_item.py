"""Codec of decisions about dead letters as DynamoDB items.

`c` action, `f` failure (JSON), `u` time, `o` who decided, `r` replacement; expiry `expiration` if events expire. If it
was discarded with what waited behind it: `q` key, sequences, and from which sequence on and before which one the log
has the others (MessagePack).
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from eventfabric import limits
from eventfabric.model import Dropped, Failure, LaneKey, Region, SequenceNumber, Settled
from eventfabric.wire import fields
from eventfabric.wire.keys import EXPIRY, SK, Item, settled_key

_decode_dropped = msgspec.msgpack.Decoder(tuple[str, list[int], int, int]).decode
_ACTIONS: Final = ("discarded", "edited")
_SEQUENCE_DIGITS: Final = 20
_decode_failure = msgspec.json.Decoder(Failure).decode


def to_item(key: LaneKey, region: Region, settled: Settled) -> Item:
    """Encode a decision."""
    item = settled_key(key, region, settled.sequence)
    item["c"] = {"S": settled.action}
    item["f"] = fields.as_json(settled.failure)
    item["u"] = {"N": str(settled.at_ms)}
    item["o"] = {"S": settled.by}
    if settled.replacement is not None:
        item["r"] = {"B": settled.replacement}
    # It may expire by any Region's clock: nothing begins anew without it.
    if settled.expires_seconds is not None:
        item[EXPIRY] = {"N": str(settled.expires_seconds)}
    if settled.dropped is not None:
        dropped = settled.dropped
        content = (dropped.key, dropped.sequences, dropped.since, dropped.until)
        item["q"] = {"B": msgspec.msgpack.encode(content)}
    return item


def from_item(item: Item) -> Settled:
    """Decode a decision. UndecodableItemError if the item is not one."""
    _, digits = fields.region_and_kind(item)
    return Settled(
        sequence=_sequence(item, digits),
        action=_action(item),
        failure=fields.json(item, "f", _decode_failure),
        at_ms=fields.milliseconds(item, "u"),
        by=fields.text(item, "o", characters_max=limits.ITEM_BYTES_MAX),
        replacement=fields.octets(item, "r") if "r" in item else None,
        dropped=_dropped(item) if "q" in item else None,
        expires_seconds=fields.whole(item, EXPIRY) if EXPIRY in item else None,
    )


def _dropped(item: Item) -> Dropped:
    key, sequences, since, until = fields.packed(item, "q", _decode_dropped)
    return Dropped(key, tuple(map(SequenceNumber, sequences)), SequenceNumber(since), SequenceNumber(until))


def _action(item: Item) -> str:
    action = fields.text(item, "c", characters_max=max(map(len, _ACTIONS)))
    if action not in _ACTIONS:
        fields.refuse(item, "c", repr(action), " or ".join(_ACTIONS))
    return action


def _sequence(item: Item, digits: str) -> SequenceNumber:
    # Only the form that `settled_key` writes, so that a decision has one key.
    if len(digits) != _SEQUENCE_DIGITS or not (digits.isascii() and digits.isdigit()):
        fields.refuse(item, SK, f"{digits!r:.80}", f"a sequence in {_SEQUENCE_DIGITS} digits")
    return SequenceNumber(int(digits))


def decided_by(items: Iterable[Item], region: Region | None) -> Iterator[Settled]:
    """Yield the decisions of items, of one Region or (None) of all."""
    for item in items:
        if region in (None, fields.region_and_kind(item)[0]):
            yield from_item(item)
