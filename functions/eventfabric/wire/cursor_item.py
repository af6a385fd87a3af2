"""Codec of cursors as DynamoDB items.

`s` next sequence, `a` base (first sequence of the record that holds it), `c` chain before the base, `v` version,
`e` epoch, `g` set while the event at `s` is being attempted by itself, `n` number of crashes before that, `h` set
while a run is under way that began there with a doorbell that had been received before, `w` token of the write (lets
a consumer recognise its own commit after a lost reply), `u` milliseconds since 1970 of the write.

If keys are parked: `l` base and sequence of the first event that waits, `p` digest of the keys. If it is not 0: `r`
the sequence before which a replay is under way, `m` the sequence from which on that marks events, `b` the first
sequence that was ever to be delivered. If the subscription holds producers back: `k`, the lane's account as MessagePack
of granted, place, time of decision, time of measurement, rate, best; an older version of this library leaves it out.
The roster of the parked keys: `t` due times of those that retry, by the digest
of their id (MessagePack), `d` the beginnings of the digests of the dead. `f`: parked keys were about to be written
beside it, one by one.

In lanes that were split: `o` the passing that began this lane, `z` the one by which its own children began, each as
`<region>/<epoch>/<version>`; `y` the generation of the lane in which the event of `l` stands, if that is one above.
"""

from dataclasses import astuple
from re import compile as regex
from typing import TYPE_CHECKING, Final

import msgspec

from eventfabric import limits
from eventfabric.errors import UndecodableItemError
from eventfabric.model import (
    DIGEST_BYTES,
    Cursor,
    LaneKey,
    Passing,
    Place,
    Region,
    Roster,
    SequenceNumber,
    packed_dead,
    unpacked_dead,
)
from eventfabric.wire import fields
from eventfabric.wire.keys import Item, cursor_key

if TYPE_CHECKING:
    from eventfabric.model.credit import Account

WRITTEN: Final = "u"
_CREDIT: Final = "k"
_encode_credit = msgspec.msgpack.encode
_decode_credit = msgspec.msgpack.Decoder(tuple[int, int, int, int, float, float]).decode
_PASSING: Final = regex(
    rf"([a-z0-9-]{{1,{limits.REGION_CHARACTERS_MAX}}})/(0|[1-9][0-9]{{0,15}})/(0|[1-9][0-9]{{0,15}})"
)
_PASSING_CHARACTERS_MAX: Final = limits.REGION_CHARACTERS_MAX + 2 * 17
_decode_retrying = msgspec.msgpack.Decoder(dict[bytes, int]).decode
_DIGEST_BYTES_MAX: Final = 16


def to_item(key: LaneKey, region: Region, cursor: Cursor, *, token: bytes, now_ms: int) -> Item:
    """Encode a Region's cursor."""
    item = cursor_key(key, region)
    item["s"] = {"N": str(cursor.sequence)}
    item["a"] = {"N": str(cursor.base)}
    item["c"] = {"B": cursor.chain}
    item["v"] = {"N": str(cursor.version)}
    item["e"] = {"N": str(cursor.epoch)}
    item["w"] = {"B": token}
    item[WRITTEN] = {"N": str(now_ms)}
    # Most cursors have none of the following, so that their items stay small.
    if cursor.attempting:
        item["g"] = {"BOOL": True}
    if cursor.running:
        item["h"] = {"BOOL": True}
    if cursor.crashes:
        item["n"] = {"N": str(cursor.crashes)}
    if cursor.is_announced:
        item["f"] = {"BOOL": True}
    if cursor.low is not None:
        item["l"] = {"L": [{"N": str(cursor.low.base)}, {"N": str(cursor.low.sequence)}]}
        item["p"] = {"B": cursor.parked}
    if cursor.replay_until:
        item["r"] = {"N": str(cursor.replay_until)}
    if cursor.replay_from:
        item["m"] = {"N": str(cursor.replay_from)}
    if cursor.credit is not None:
        item[_CREDIT] = {"B": _encode_credit(astuple(cursor.credit))}
    if cursor.began:
        item["b"] = {"N": str(cursor.began)}
    if cursor.roster.retrying:
        item["t"] = {"B": msgspec.msgpack.encode(cursor.roster.retrying)}
    if cursor.roster.dead:
        item["d"] = {"B": packed_dead(cursor.roster)}
    item.update(_of_splits(cursor))
    return item


def _of_splits(cursor: Cursor) -> Item:
    """Encode what only cursors of lanes have that were split."""
    item: Item = {}
    for name, passing in (("o", cursor.begun), ("z", cursor.past_seal)):
        if passing is not None:
            item[name] = {"S": f"{passing.region}/{passing.epoch}/{passing.version}"}
    if cursor.low is not None and cursor.low.lane is not None:
        item["y"] = {"N": str(cursor.low.lane.generation)}
    return item


def from_item(item: Item) -> Cursor:
    """Decode a cursor. UndecodableItemError if the item is not one, or if its fields contradict each other."""
    sequence, base = fields.place(item, fields.sequence(item, "a"), fields.sequence(item, "s"), "s")
    # A new owner needs both to tell if it has all parked keys.
    if ("l" in item) != ("p" in item):
        fields.refuse(item, "p", "one of l and p without the other", "both, where keys are parked")
    return Cursor(
        sequence=sequence,
        base=base,
        chain=fields.chain(item, "c", may_be_unknown=True),
        version=fields.whole(item, "v"),
        epoch=fields.whole(item, "e"),
        attempting=fields.flag(item, "g"),
        running=fields.flag(item, "h"),
        # With CRASHES_MAX crashes an event is not attempted again, so one that is being attempted has fewer.
        crashes=fields.whole(item, "n", most=limits.CRASHES_MAX - ("g" in item)) if "n" in item else 0,
        written_ms=fields.milliseconds(item, WRITTEN),
        low=_low(item) if "l" in item else None,
        parked=fields.octets(item, "p", least=1, most=_DIGEST_BYTES_MAX) if "p" in item else b"",
        replay_until=fields.sequence(item, "r") if "r" in item else SequenceNumber(0),
        replay_from=fields.sequence(item, "m") if "m" in item else SequenceNumber(0),
        began=fields.sequence(item, "b") if "b" in item else SequenceNumber(0),
        credit=_credit(item) if _CREDIT in item else None,
        roster=Roster(_retrying(item) if "t" in item else {}, _dead(item) if "d" in item else ()),
        is_announced=fields.flag(item, "f"),
        begun=_passing(item, "o"),
        past_seal=_passing(item, "z"),
    )


def check_roster(item: Item, cursor: Cursor) -> None:
    """Refuse a cursor unless its roster names keys exactly if the cursor says that some are parked.

    A reader that has all parked keys needs no roster. One that has none would take a key that is not named for free,
    and deliver the events that wait in it.
    """
    if (cursor.low is None) != (cursor.roster.count == 0):
        found = "l without t and d" if cursor.low is not None else "t or d without l"
        fields.refuse(item, "l", found, "keys named in t and d exactly where l says that one waits")


def _credit(item: Item) -> "Account | None":
    """Read a lane's account. None if that cannot be: the next run opens another, and no lane stops for it."""
    from eventfabric.model.credit import Account  # only subscriptions that hold producers back need it

    try:
        granted, place, decided_ms, measured_ms, rate, best = fields.packed(item, _CREDIT, _decode_credit)
    except UndecodableItemError:
        return None
    sequences, times_ms, rates = (granted, place), (decided_ms, measured_ms), (rate, best)
    is_sound = (
        all(0 <= sequence <= limits.SEQUENCE_MAX for sequence in sequences)
        and all(0 <= time_ms <= limits.MILLISECONDS_MAX for time_ms in times_ms)
        and all(0 <= events <= limits.SEQUENCE_MAX for events in rates)  # no NaN is
    )
    if not is_sound:
        return None
    return Account(SequenceNumber(granted), SequenceNumber(place), decided_ms, measured_ms, rate, best)


def _low(item: Item) -> Place:
    base, sequence = fields.sequences(item, "l", count=2)
    fields.place(item, base, sequence, "l")
    return Place(base, sequence, lane=fields.lane_above(item, "y") if "y" in item else None)


def _passing(item: Item, name: str) -> Passing | None:
    if name not in item:
        return None
    text = fields.text(item, name, characters_max=_PASSING_CHARACTERS_MAX)
    match = _PASSING.fullmatch(text)
    if match is None:
        fields.refuse(item, name, f"{text!r:.80}", "<region>/<epoch>/<version>")
    return Passing(Region(match[1]), int(match[2]), int(match[3]))


def _retrying(item: Item) -> dict[bytes, int]:
    retrying = fields.packed(item, "t", _decode_retrying)
    if any(len(digest) != DIGEST_BYTES or due > limits.MILLISECONDS_MAX for digest, due in retrying.items()):
        fields.refuse(
            item, "t", "another digest or time", f"digests of {DIGEST_BYTES} bytes, and milliseconds"
        )
    return retrying


def _dead(item: Item) -> tuple[bytes, ...]:
    content = fields.octets(item, "d")
    try:
        return unpacked_dead(content)
    except ValueError as error:
        fields.refuse(item, "d", str(error), "the beginnings of digests")
