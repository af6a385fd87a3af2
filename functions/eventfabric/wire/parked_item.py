"""Codec of parked keys as DynamoDB items.

`i` parking id, `k` key, `m` state, `q` the waiting places (MessagePack: base, sequence, base, sequence, ...), `d` due
(milliseconds since 1970), `f` the failure (JSON), `g` set if an attempt was begun, `r` the replacement, `v` version,
`w` token of the write. If replays wait: `y`, how many places in a row are none, then how many are, and so on
(MessagePack). If more wait than `q` lists: `b` base and sequence from which on the log has them, and the two
sequences between which those are replays (MessagePack). In a lane into which another was split: `z`, how many of the
first places stand in which lane above, as its generation and that number, in turn (MessagePack); `o` the generation of
the lane above in whose log the rest begins.
"""

from collections.abc import Iterable
from itertools import chain, groupby, pairwise, repeat

import msgspec

from eventfabric import limits
from eventfabric.model import (
    Failure,
    Lane,
    LaneKey,
    Parked,
    ParkedState,
    Place,
    Region,
    Rest,
    SequenceNumber,
    alone_at,
    digest_of_id,
    key_parking_id,
)
from eventfabric.wire import fields
from eventfabric.wire.keys import Item, parked_key

_decode_places = msgspec.msgpack.Decoder(list[int]).decode
_decode_rest = msgspec.msgpack.Decoder(tuple[int, int, int, int]).decode
_ID_CHARACTERS_MAX = 2 * limits.KEY_BYTES_MAX
"""Most characters of an id: the key, or a sequence, after a prefix that tells one from the other."""
_STATES = [state.value for state in ParkedState]
_decode_failure = msgspec.json.Decoder(Failure).decode


def to_item(key: LaneKey, region: Region, parked: Parked, *, token: bytes) -> Item:
    """Encode a Region's parked key."""
    item = parked_key(key, region, parked.id)
    places = [number for place in parked.waiting for number in (place.base, place.sequence)]
    item["i"] = {"S": parked.id}
    item["k"] = {"S": parked.key}
    item["m"] = {"S": parked.state.value}
    item["q"] = {"B": msgspec.msgpack.encode(places)}
    item["d"] = {"N": str(parked.due_ms)}
    item["f"] = fields.as_json(parked.failure)
    item["v"] = {"N": str(parked.version)}
    item["w"] = {"B": token}
    # Written only if there are replays: most keys have none.
    if any(place.replay for place in parked.waiting):
        item["y"] = {"B": msgspec.msgpack.encode(_replay_runs(parked.waiting))}
    if parked.rest is not None:
        # Its end is the cursor's, and is not stored here: so nothing is written as events come to wait.
        rest = parked.rest
        numbers = (rest.base, rest.sequence, rest.replay_from, rest.replay_until)
        item["b"] = {"B": msgspec.msgpack.encode(numbers)}
    if parked.attempting:
        item["g"] = {"BOOL": True}
    if parked.replacement is not None:
        item["r"] = {"B": parked.replacement}
    item.update(_lanes_above(parked))
    return item


def _lanes_above(parked: Parked) -> Item:
    """Encode which events wait in lanes above: those of a key that was parked there as a seal ended the lane."""
    item: Item = {}
    above = [place.lane for place in parked.waiting if place.lane is not None]
    if above:
        runs = [(lane.generation, len(list(places))) for lane, places in groupby(above)]
        item["z"] = {"B": msgspec.msgpack.encode([number for run in runs for number in run])}
    if parked.rest is not None and parked.rest.lane is not None:
        item["o"] = {"N": str(parked.rest.lane.generation)}
    return item


def from_item(item: Item) -> Parked:
    """Decode a parked key. UndecodableItemError if the item is not one, or its fields contradict each other."""
    parked = Parked(
        id=fields.text(item, "i", characters_max=_ID_CHARACTERS_MAX),
        key=fields.text(item, "k", characters_max=limits.KEY_BYTES_MAX),
        state=_state(item),
        waiting=_waiting(item),
        due_ms=fields.milliseconds(item, "d"),
        failure=fields.json(item, "f", _decode_failure),
        attempting=fields.flag(item, "g"),
        replacement=fields.octets(item, "r") if "r" in item else None,
        version=fields.whole(item, "v"),
        rest=_rest(item) if "b" in item else None,
    )
    _check(item, parked)
    return parked


def _check(item: Item, parked: Parked) -> None:
    """Refuse fields that are valid one by one, but cannot be true together."""
    _, kind = fields.region_and_kind(item)
    # Readers look parked keys up by the digest in the sort key.
    if not kind.endswith(digest_of_id(parked.id).hex()):
        fields.refuse(item, "i", "the id of another key", "the one whose digest the item's key ends with")
    if parked.id != key_parking_id(parked.key) and not _is_of_an_event(parked):
        fields.refuse(item, "i", f"{parked.id!r:.80}", "the id of its key, or of an event up to its first")
    if parked.attempting and parked.state is ParkedState.DEAD:
        fields.refuse(item, "g", "an attempt of a dead key", "none")
    if parked.waiting and parked.rest is not None and parked.rest.sequence <= parked.waiting[-1].sequence:
        fields.refuse(item, "b", f"{parked.rest.sequence}", "a sequence behind those that are listed")


def _is_of_an_event(parked: Parked) -> bool:
    """Tell if an id is that of the first event, or of one before it: others may have come to wait behind that."""
    sequence = alone_at(parked.id)
    return sequence is not None and sequence <= parked.first.sequence


def _rest(item: Item) -> Rest:
    base, sequence, replay_from, replay_until = map(SequenceNumber, fields.packed(item, "b", _decode_rest))
    fields.place(item, base, sequence, "b")
    if replay_from > replay_until:
        fields.refuse(item, "b", f"replays from {replay_from} to {replay_until}", "an end that is not before")
    lane = fields.lane_above(item, "o") if "o" in item else None
    return Rest(base, sequence, replay_from, replay_until, lane)


def _state(item: Item) -> ParkedState:
    text = fields.text(item, "m", characters_max=max(map(len, ParkedState)))
    if text not in _STATES:
        fields.refuse(item, "m", repr(text), " or ".join(_STATES))
    return ParkedState(text)


def _waiting(item: Item) -> tuple[Place, ...]:
    """Decode the places, at least one, in order."""
    numbers = fields.packed(item, "q", _decode_places)
    sequences = numbers[1::2]
    in_order = all(earlier < later for earlier, later in pairwise(sequences))
    is_bounded = all(
        0 <= later - first < limits.RECORD_EVENTS_MAX
        for first, later in zip(numbers[::2], sequences, strict=False)
    )
    is_empty = not numbers and "b" not in item  # else all that waits stands in the log
    if is_empty or len(numbers) % 2 or not in_order or not is_bounded:
        fields.refuse(
            item, "q", f"{len(numbers)} numbers", "pairs of a record's sequence and an event's, in order"
        )
    return tuple(
        Place(SequenceNumber(base), SequenceNumber(sequence), replay, lane)
        for base, sequence, replay, lane in zip(
            numbers[::2], sequences, _replays(item), _lanes(item), strict=False
        )
    )


def _replay_runs(waiting: tuple[Place, ...]) -> list[int]:
    runs = [len(list(places)) for _, places in groupby(waiting, key=lambda place: place.replay)]
    return [0, *runs] if waiting[0].replay else runs


def _replays(item: Item) -> Iterable[bool]:
    """Yield for each waiting place if it is a replay; without end."""
    runs = fields.packed(item, "y", _decode_places) if "y" in item else []
    flags = chain.from_iterable(repeat(bool(number % 2), length) for number, length in enumerate(runs))
    return chain(flags, repeat(False))


def _lanes(item: Item) -> Iterable[Lane | None]:
    """Return for each waiting place the lane above in which it stands, None for those in the own lane; without end."""
    runs = fields.packed(item, "z", _decode_places) if "z" in item else []
    generations, counts = runs[::2], runs[1::2]
    in_order = all(earlier < later for earlier, later in pairwise(generations))
    if len(runs) % 2 or not in_order or any(count < 0 for count in counts):
        fields.refuse(
            item, "z", f"{len(runs)} numbers", "pairs of a generation, in order, and a number of places"
        )
    lanes = [fields.lane_of_generation(item, "z", generation) for generation in generations]
    named = chain.from_iterable(repeat(lane, count) for lane, count in zip(lanes, counts, strict=True))
    return chain(named, repeat(None))
