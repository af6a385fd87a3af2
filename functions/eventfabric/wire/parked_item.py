"""Parked key to DynamoDB item and back.

`i` parking id, `k` key, `m` state, `q` the waiting places (MessagePack: base, sequence, base, sequence, ...), `d` due
(milliseconds since 1970), `f` the failure (JSON), `g` whether an attempt was begun, `r` the replacement, `v` version,
`w` token of the write. Where replays wait: `y`, how many in a row are none, then how many are, and so on (MessagePack).
Where more wait than `q` lists: `b` base and sequence from which on the log has them, and between which sequences those
are replays (MessagePack).
"""

from collections.abc import Iterable
from itertools import chain, groupby, repeat

import msgspec

from eventfabric.model.cursor import LaneKey
from eventfabric.model.identity import Region, Sequence
from eventfabric.model.parked import Failure, Parked, ParkedState, Place, Rest
from eventfabric.wire.keys import Item, parked_key

_decode_places = msgspec.msgpack.Decoder(list[int]).decode
_decode_rest = msgspec.msgpack.Decoder(tuple[int, int, int, int]).decode
_decode_failure = msgspec.json.Decoder(Failure).decode


def to_item(key: LaneKey, region: Region, parked: Parked, *, token: bytes) -> Item:
    """The item of a Region's parked key."""
    item = parked_key(key, region, parked.id)
    places = [number for place in parked.waiting for number in (place.base, place.sequence)]
    item["i"] = {"S": parked.id}
    item["k"] = {"S": parked.key}
    item["m"] = {"S": parked.state.value}
    item["q"] = {"B": msgspec.msgpack.encode(places)}
    item["d"] = {"N": str(parked.due_ms)}
    item["f"] = {"S": msgspec.json.encode(parked.failure).decode()}
    item["v"] = {"N": str(parked.version)}
    item["w"] = {"B": token}
    if any(place.replay for place in parked.waiting):
        item["y"] = {"B": msgspec.msgpack.encode(_replay_runs(parked.waiting))}
    if parked.rest is not None:
        rest = parked.rest
        numbers = (rest.base, rest.sequence, rest.replay_from, rest.replay_until)
        item["b"] = {"B": msgspec.msgpack.encode(numbers)}
    if parked.attempting:
        item["g"] = {"BOOL": True}
    if parked.replacement is not None:
        item["r"] = {"B": parked.replacement}
    return item


def from_item(item: Item) -> Parked:
    """The parked key of an item; KeyError or ValueError where it is not one."""
    numbers = _decode_places(bytes(item["q"]["B"]))
    if len(numbers) % 2:
        raise ValueError(f"{len(numbers)} numbers are no places")
    return Parked(
        id=item["i"]["S"],
        key=item["k"]["S"],
        state=ParkedState(item["m"]["S"]),
        waiting=tuple(
            Place(Sequence(base), Sequence(sequence), replay)
            for base, sequence, replay in zip(numbers[::2], numbers[1::2], _replays(item), strict=False)
        ),
        due_ms=int(item["d"]["N"]),
        failure=_decode_failure(item["f"]["S"]),
        attempting="g" in item,
        replacement=bytes(item["r"]["B"]) if "r" in item else None,
        version=int(item["v"]["N"]),
        rest=Rest(*map(Sequence, _decode_rest(bytes(item["b"]["B"])))) if "b" in item else None,
    )


def _replay_runs(waiting: tuple[Place, ...]) -> list[int]:
    runs = [len(list(places)) for _, places in groupby(waiting, key=lambda place: place.replay)]
    return [0, *runs] if waiting[0].replay else runs


def _replays(item: Item) -> Iterable[bool]:
    """Of each waiting place, whether it is a replay; without end."""
    runs = _decode_places(bytes(item["y"]["B"])) if "y" in item else []
    told = chain.from_iterable(repeat(bool(number % 2), length) for number, length in enumerate(runs))
    return chain(told, repeat(False))
