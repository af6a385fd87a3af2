"""Readers of the fields of DynamoDB items, each with its bounds. UndecodableItemError names the item and the field.

Every decoder of an item reads all its fields through this module. What stands in a table may come from another version,
from another program, or from somebody who means harm. It may cost the lane or subscription that it belongs to, and
nothing else.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache
from math import isfinite
from typing import Any, Final, NoReturn, Protocol, TypeVar

import msgspec

from eventfabric import limits
from eventfabric.errors import UndecodableItemError
from eventfabric.model import CHAIN_BYTES, PIN_BYTES, Chain, Lane, Region, SequenceNumber, parse_log_lane
from eventfabric.wire.keys import PK, SK, Item, lane_key_of, ledger_region_and_kind

T = TypeVar("T")
BATCH_ID_BYTES: Final = 16
_DIGITS_MAX: Final = 20
# Clients of DynamoDB differ in the types that they use for sets and bytes.
_SETS: Final = (list, set, frozenset, tuple)
_BYTES: Final = (bytes, bytearray)
_MISSING: Final = (KeyError, TypeError, IndexError)
_lane_of = lru_cache(limits.LANES_MAX)(Lane.parse)
_log_lane_of = lru_cache(limits.LANES_MAX)(parse_log_lane)
"""Lanes by their text. Cached, since all records of a page name one lane."""


class Versioned(Protocol):
    """Value that counts its writes."""

    @property
    def version(self) -> int:
        """Number of the last write."""
        ...


def key_text(item: Item) -> str:
    """Return the key of an item as one text, for errors; long values are cut."""
    parts = (item[name] for name in (PK, SK) if isinstance(item, dict) and name in item)
    values = [next(iter(part.values()), "?") if isinstance(part, dict) else "?" for part in parts]
    return " ".join(f"{value!s:.120}" for value in values) or "?"


def whole(item: Item, name: str, *, least: int = 0, most: int = limits.SEQUENCE_MAX) -> int:
    """Read a whole number that is not negative."""
    # The usual case first: this runs for several fields of every record.
    try:
        digits = item[name]["N"]
    except _MISSING:
        digits = _value(item, name, "N")
    return _whole(item, name, digits, least, most)


def _whole(item: Item, name: str, digits: object, least: int, most: int) -> int:
    # Python's int() also takes signs, underscores and the digits of all scripts.
    if isinstance(digits, str) and len(digits) <= _DIGITS_MAX and digits.isascii() and digits.isdigit():
        value = int(digits)
        if least <= value <= most:
            return value
    refuse(item, name, f"{digits!s:.40}", f"a whole number from {least} to {most}")


def sequence(item: Item, name: str) -> SequenceNumber:
    """Read a sequence."""
    return SequenceNumber(whole(item, name))


def place(
    item: Item, base: SequenceNumber, sequence: SequenceNumber, name: str
) -> tuple[SequenceNumber, SequenceNumber]:
    """Check that a sequence lies in the record that begins at `base`, or right after it. Return both."""
    if not base <= sequence <= base + limits.RECORD_EVENTS_MAX:
        refuse(
            item,
            name,
            f"{sequence} in a record that begins at {base}",
            f"at most {limits.RECORD_EVENTS_MAX} on",
        )
    return sequence, base


def sequences(item: Item, name: str, *, count: int) -> list[SequenceNumber]:
    """Read a list of `count` sequences."""
    values = _value(item, name, "L")
    if not isinstance(values, list) or len(values) != count:
        refuse(item, name, type(values).__name__, f"{count} numbers")
    return [
        SequenceNumber(
            _whole(item, name, value.get("N") if isinstance(value, dict) else None, 0, limits.SEQUENCE_MAX)
        )
        for value in values
    ]


def lane(item: Item, name: str) -> Lane:
    """Read a lane of a stream."""
    return _lane(item, name, _lane_of)


def log_lane(item: Item, name: str) -> Lane:
    """Read a lane of a log: one of the stream, or one of declarations."""
    return _lane(item, name, _log_lane_of)


def _lane(item: Item, name: str, parse: Callable[[str], Lane]) -> Lane:
    value = text(item, name, characters_max=limits.NOTE_CHARACTERS_MAX)
    try:
        return parse(value)
    except ValueError:
        refuse(item, name, f"{value!r:.80}", "<origin>/<generation>.<index>")


def lane_above(item: Item, name: str) -> Lane:
    """Read the generation of a lane above the one to which an item of the ledger belongs. Return that lane."""
    return lane_of_generation(item, name, whole(item, name))


def lane_of_generation(item: Item, name: str, generation: int) -> Lane:
    """Return the lane of a generation above the one to which an item of the ledger belongs; see `lane_above`."""
    text(item, PK, characters_max=limits.ITEM_BYTES_MAX)
    try:
        lane = lane_key_of(item).lane
    except ValueError:
        refuse(item, PK, "another key", "that of a lane")
    if not 0 <= generation < lane.generation:
        refuse(item, name, f"generation {generation}", f"an earlier one than the lane's, {lane.generation}")
    return lane.above(generation)


def milliseconds(item: Item, name: str) -> int:
    """Read a time in milliseconds since 1970."""
    return whole(item, name, most=limits.MILLISECONDS_MAX)


def text(item: Item, name: str, *, characters_max: int) -> str:
    """Read a text."""
    value = _value(item, name, "S")
    if not isinstance(value, str) or len(value) > characters_max:
        found = f"{len(value):,} characters" if isinstance(value, str) else type(value).__name__
        refuse(item, name, found, f"text of at most {characters_max:,} characters")
    return value


def texts(item: Item, name: str, *, count_max: int, characters_max: int) -> frozenset[str]:
    """Read a set of texts that is not empty."""
    values = _value(item, name, "SS")
    found = type(values).__name__
    if isinstance(values, _SETS) and 0 < len(values) <= count_max:
        found = "another kind of value, or a longer one"
        try:  # raises if one of them is not text
            fits = len("".join(values)) <= characters_max or max(map(len, values)) <= characters_max
        except TypeError:
            fits = False
        if fits:
            return frozenset(values)
    refuse(item, name, found, f"a set of 1 to {count_max} texts of at most {characters_max} characters")


def octets(item: Item, name: str, *, least: int = 0, most: int = limits.ITEM_BYTES_MAX) -> bytes:
    """Read bytes."""
    value = _value(item, name, "B")
    if isinstance(value, _BYTES) and least <= len(value) <= most:
        return bytes(value)
    found = f"{len(value):,} bytes" if isinstance(value, _BYTES) else type(value).__name__
    allowed = f"{least} bytes" if least == most else f"{least:,} to {most:,} bytes"
    refuse(item, name, found, allowed)


def chain(item: Item, name: str, *, may_be_unknown: bool = False) -> Chain:
    """Read a chain or a pin. `may_be_unknown`: or nothing, if the record that it would be of has expired."""
    value = octets(item, name, most=PIN_BYTES)
    if len(value) not in (CHAIN_BYTES, PIN_BYTES) and (value or not may_be_unknown):
        refuse(item, name, f"{len(value)} bytes", f"{CHAIN_BYTES} or {PIN_BYTES} bytes")
    return Chain(value)


def flag(item: Item, name: str) -> bool:
    """Read a mark, which is False if it is absent."""
    if name not in item:
        return False
    value = _value(item, name, "BOOL")
    if not isinstance(value, bool):
        refuse(item, name, type(value).__name__, "true or false")
    return value


def as_json(value: object) -> dict[str, Any]:
    """Encode a dataclass as JSON text, which `json` reads."""
    return {"S": msgspec.json.encode(value).decode()}


def with_version(key: Item, value: Versioned) -> Item:
    """Encode a dataclass, with its version outside the JSON as well: a write's condition can compare nothing in it."""
    return {**key, "f": as_json(value), "v": {"N": str(value.version)}}


def json(item: Item, name: str, decode: Callable[[str], T]) -> T:
    """Read a dataclass from JSON text. All its numbers and lanes must be within their bounds."""
    return decoded(item, name, text(item, name, characters_max=limits.ITEM_BYTES_MAX), decode)


def packed(item: Item, name: str, decode: Callable[[bytes], T]) -> T:
    """Read a value from MessagePack. All its numbers and lanes must be within their bounds."""
    return decoded(item, name, octets(item, name), decode)


S = TypeVar("S", str, bytes)


def decoded(item: Item, name: str, content: S, decode: Callable[[S], T]) -> T:
    """Decode the content of a field, and check all values in it."""
    try:
        value = decode(content)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        refuse(item, name, f"{type(error).__name__} ({error!s:.200})", "as this version writes it")
    # Decoders check types and lengths. Bounds of numbers, lanes and chains are checked here for all items.
    problem = _problem(value, name)
    if problem:
        refuse(item, problem, "a value beyond its bounds", "as this version writes it")
    return value


def region_and_kind(item: Item) -> tuple[Region, str]:
    """Return the Region that writes a ledger item, and the item's kind; see keys.ledger_region_and_kind."""
    text(item, SK, characters_max=1024)
    region, kind = ledger_region_and_kind(item)
    if not (region and kind):
        refuse(item, SK, "another form", "<region>/<kind>")
    return region, kind


def refuse(item: Item, name: str, found: str, allowed: str) -> NoReturn:
    """Raise UndecodableItemError about a field of an item."""
    raise UndecodableItemError(key_text(item), name, f"found {found}, allowed: {allowed}")


def _value(item: Item, name: str, kind: str) -> object:
    try:
        value: object = item[name][kind]
        return value
    except _MISSING:
        attribute: object = item.get(name) if isinstance(item, dict) else None
    kinds = ", ".join(map(str, attribute)) if isinstance(attribute, dict) else type(attribute).__name__
    refuse(item, name, f"{kinds:.40}" if attribute else "nothing", kind)


def _problem(value: object, path: str) -> str | None:
    """Return the path of the first value that is beyond its bounds, or None."""
    match value:
        case str() | None:
            return None
        case int():
            fits = 0 <= value <= (limits.MILLISECONDS_MAX if path.endswith("_ms") else limits.SEQUENCE_MAX)
        case float():
            fits = isfinite(value) and value >= 0
        case bytes():  # the only bytes in decoded values are chains and pins
            fits = len(value) in (0, CHAIN_BYTES, PIN_BYTES)
        case Lane():
            fits = _is_lane(value)
        case _:
            return _problem_inside(value, path)
    return None if fits else path


def _problem_inside(value: object, path: str) -> str | None:
    """Return the path of the first content of a value that is beyond its bounds; the fields of a class have names."""
    match value:
        case list() | tuple():
            return next(filter(None, (_problem(inner, path) for inner in value)), None)
        case dict():
            return _problem([*value.keys(), *value.values()], path)
    for name in _field_names(type(value)):  # type: ignore[arg-type]  # a class is hashable
        problem = _problem(getattr(value, name), f"{path}.{name}")
        if problem is not None:
            return problem
    return None


@cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


def _is_lane(lane: Lane) -> bool:
    try:
        return Lane.parse(str(lane)) == lane
    except ValueError:
        return False
