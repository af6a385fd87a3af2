"""What was decided about a dead letter, to DynamoDB item and back: action `c`, failure `f` (JSON), time `u`, who `o`,
replacement `r`. Discarded with what waited behind it: `q` key, sequences, and from which on and before which one the
log has the others (MessagePack).
"""

from collections.abc import Iterable, Iterator

import msgspec

from eventfabric.model.cursor import LaneKey
from eventfabric.model.identity import Region, Sequence
from eventfabric.model.parked import Dropped, Failure, Settled
from eventfabric.wire.keys import SK, Item, ledger_region_and_kind, settled_key

_decode_dropped = msgspec.msgpack.Decoder(tuple[str, list[int], int, int]).decode
_decode_failure = msgspec.json.Decoder(Failure).decode


def to_item(key: LaneKey, region: Region, settled: Settled) -> Item:
    """The item of a decision."""
    item = settled_key(key, region, settled.sequence)
    item["c"] = {"S": settled.action}
    item["f"] = {"S": msgspec.json.encode(settled.failure).decode()}
    item["u"] = {"N": str(settled.at_ms)}
    item["o"] = {"S": settled.by}
    if settled.replacement is not None:
        item["r"] = {"B": settled.replacement}
    if settled.dropped is not None:
        dropped = settled.dropped
        content = (dropped.key, dropped.sequences, dropped.since, dropped.until)
        item["q"] = {"B": msgspec.msgpack.encode(content)}
    return item


def from_item(item: Item) -> Settled:
    """The decision of an item; KeyError or ValueError where it is not one."""
    return Settled(
        sequence=Sequence(int(item[SK]["S"].rpartition("/")[2])),
        action=item["c"]["S"],
        failure=_decode_failure(item["f"]["S"]),
        at_ms=int(item["u"]["N"]),
        by=item["o"]["S"],
        replacement=bytes(item["r"]["B"]) if "r" in item else None,
        dropped=_dropped_of(bytes(item["q"]["B"])) if "q" in item else None,
    )


def _dropped_of(content: bytes) -> Dropped:
    key, sequences, since, until = _decode_dropped(content)
    return Dropped(key, tuple(map(Sequence, sequences)), Sequence(since), Sequence(until))


def decided_by(items: Iterable[Item], region: Region | None) -> Iterator[Settled]:
    """The decisions of items, of one Region or (None) of all."""
    for item in items:
        if region in (None, ledger_region_and_kind(item)[0]):
            yield from_item(item)
