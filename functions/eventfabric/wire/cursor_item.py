"""Cursor to DynamoDB item and back.

`s` next sequence, `a` base (first sequence of the record that holds it), `c` chain before the base, `v` version,
`e` epoch, `g` whether the event at `s` is being attempted by itself, and `n` after how many crashes, `w` token of the
write (lets a consumer recognise its own commit after a lost reply), `u` milliseconds since 1970 of the write. Where
keys are parked: `l` base and sequence of the first event that waits, `p` digest of the keys. Where it is not 0: `r` the
sequence before which events are replays, `b` the first sequence that was ever to be delivered. The roster of the parked
keys: `t` when those are due that retry, by the digest of their id (MessagePack), `d` how the digests of the dead begin.
"""

from typing import Final

import msgspec

from eventfabric.model.cursor import Cursor, LaneKey
from eventfabric.model.identity import Chain, Region, Sequence
from eventfabric.model.parked import Place
from eventfabric.model.roster import Roster, packed_dead, unpacked_dead
from eventfabric.wire.keys import Item, cursor_key

WRITTEN: Final = "u"
_decode_retrying = msgspec.msgpack.Decoder(dict[bytes, int]).decode


def to_item(key: LaneKey, region: Region, cursor: Cursor, *, token: bytes, now_ms: int) -> Item:
    """The item of a Region's cursor."""
    item = cursor_key(key, region)
    item["s"] = {"N": str(cursor.sequence)}
    item["a"] = {"N": str(cursor.base)}
    item["c"] = {"B": cursor.chain}
    item["v"] = {"N": str(cursor.version)}
    item["e"] = {"N": str(cursor.epoch)}
    item["w"] = {"B": token}
    item[WRITTEN] = {"N": str(now_ms)}
    if cursor.attempting:
        item["g"] = {"BOOL": True}
    if cursor.crashes:
        item["n"] = {"N": str(cursor.crashes)}
    if cursor.low is not None:
        item["l"] = {"L": [{"N": str(cursor.low.base)}, {"N": str(cursor.low.sequence)}]}
        item["p"] = {"B": cursor.parked}
    if cursor.replay_until:
        item["r"] = {"N": str(cursor.replay_until)}
    if cursor.began:
        item["b"] = {"N": str(cursor.began)}
    if cursor.roster.retrying:
        item["t"] = {"B": msgspec.msgpack.encode(cursor.roster.retrying)}
    if cursor.roster.dead:
        item["d"] = {"B": packed_dead(cursor.roster)}
    return item


def from_item(item: Item) -> Cursor:
    """The cursor of an item; KeyError or ValueError where it is not one."""
    return Cursor(
        sequence=Sequence(int(item["s"]["N"])),
        base=Sequence(int(item["a"]["N"])),
        chain=Chain(bytes(item["c"]["B"])),
        version=int(item["v"]["N"]),
        epoch=int(item["e"]["N"]),
        attempting="g" in item,
        crashes=int(item["n"]["N"]) if "n" in item else 0,
        written_ms=int(item[WRITTEN]["N"]),
        low=_place(item["l"]["L"]) if "l" in item else None,
        parked=bytes(item["p"]["B"]) if "p" in item else b"",
        replay_until=Sequence(int(item["r"]["N"]) if "r" in item else 0),
        began=Sequence(int(item["b"]["N"]) if "b" in item else 0),
        roster=Roster(
            _decode_retrying(bytes(item["t"]["B"])) if "t" in item else {},
            unpacked_dead(bytes(item["d"]["B"])) if "d" in item else (),
        ),
    )


def _place(values: list[dict[str, str]]) -> Place:
    base, sequence = (Sequence(int(value["N"])) for value in values)
    return Place(base, sequence)


def token_of(item: Item) -> bytes:
    """The token of the write that made this item."""
    return bytes(item["w"]["B"])
