"""Owns an event's data as it is stored: JSON text, bytes or nothing, decoded only where somebody looks."""

from collections.abc import Sequence as Seq
from decimal import Decimal
from enum import IntEnum
from math import isfinite
from re import DOTALL
from re import compile as regex
from typing import Any, cast

import msgspec

from eventfabric import limits
from eventfabric.errors import InvalidEventError, Problem

# By name, so that equal values have equal bytes. It raises where a name is no text: `_encode_otherwise` looks there.
_encoder = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_encode, _encode_lines = _encoder.encode, _encoder.encode_lines
_encode_any_names = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder().decode
_decode_exactly = msgspec.json.Decoder(float_hook=Decimal).decode
_encode_sorted = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode
_N, _I, _PLUS = b"NI+"
_SURELY_SHALLOW_BYTES = 2 * limits.DATA_DEPTH_MAX
"""Each list and object takes two bytes at least."""
_STRINGS = regex(rb'"(?:[^"\\]|\\.)*"', DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SQUARE = bytes.maketrans(b"{}", b"[]")


class Kind(IntEnum):
    """What the bytes of a payload are."""

    NONE = 0
    JSON = 1
    BINARY = 2


class Payload(msgspec.Struct, frozen=True, array_like=True):
    """The data of one event: its kind and its bytes."""

    kind: int
    content: bytes

    @classmethod
    def of(cls, data: object) -> "Payload":
        """The stored form of `data`; InvalidEventError where it is not JSON (NaN and infinities included)."""
        if data is None:
            return NO_DATA
        if isinstance(data, bytes | bytearray | memoryview):
            return cls(Kind.BINARY, bytes(data))
        return cls(Kind.JSON, encode_json(data))

    def __repr__(self) -> str:
        return f"Payload({Kind(self.kind).name}, {len(self.content):,} bytes)"

    def decode(self) -> Any:
        """Plain JSON values, bytes, or None."""
        if self.kind == Kind.JSON:
            return _decode(self.content)
        return None if self.kind == Kind.NONE else self.content


NO_DATA = Payload(Kind.NONE, b"")


def encode_json(data: object) -> bytes:
    """`data` as JSON text, names in order; InvalidEventError says where it is not JSON that every reader takes."""
    if data.__class__ is msgspec.Raw:
        return checked_json(bytes(cast(Any, data)))
    try:
        text = _encode(data)
    except (TypeError, ValueError, OverflowError, RecursionError, UnicodeError) as error:
        return _encode_otherwise(data, error)
    if text.rfind(b"null") >= 0:
        _refuse_non_finite(data, "data")
    if (_N in text or _I in text or _PLUS in text) and _may_hold_odd_number(text):
        _refuse_non_finite(data, "data")
        checked_json(text)
    if len(text) > _SURELY_SHALLOW_BYTES:
        check_depth(text)
    return text


def encode_dicts(values: Seq[object]) -> list[bytes] | None:
    """Each of these dicts as JSON text, in one call; None where one is none, or `encode_json` has to look at it."""
    if set(map(type, values)) != {dict}:
        return None
    try:
        lines = _encode_lines(values)
        if _may_hold_null(lines):
            for value in values:
                _refuse_non_finite(value, "data")
    except (TypeError, ValueError, OverflowError, RecursionError, UnicodeError, InvalidEventError):
        return None
    if _may_hold_odd_number(lines):
        return None
    texts = lines.split(b"\n")[:-1]
    if len(texts) != len(values):
        return None  # JSON that is not ours may have ends of lines of its own
    if max(map(len, texts)) > _SURELY_SHALLOW_BYTES:
        # Each opens one at least, so none opens more than what is left of them all.
        opened = lines.count(b"{") + lines.count(b"[") - (len(texts) - 1)
        if opened > limits.DATA_DEPTH_MAX and any(map(_may_be_deep, texts)):
            return None
    return texts


def _may_hold_null(text: bytes) -> bool:
    """Whether JSON text may hold a null, as which encoders write NaN and infinities, in silence."""
    # CPython finds a word from behind in three quarters of the time, and in a quarter where the text is a run of one of
    # its letters; and one byte in a thirtieth. This runs for every event.
    return text.rfind(b"null") >= 0


def _may_hold_odd_number(text: bytes) -> bool:
    """Whether JSON text may hold a decimal that nobody reads back: none that is finite, or too large for a float."""
    return (
        (_N in text and text.rfind(b"NaN") >= 0)
        or (_I in text and text.rfind(b"Inf") >= 0)
        or (_PLUS in text and text.rfind(b"E+") >= 0)
    )


def checked_json(text: bytes) -> bytes:
    """JSON text from elsewhere, if whoever reads it back can; InvalidEventError."""
    try:
        msgspec.json.decode(text)
    except RecursionError as error:
        raise InvalidEventError([_TOO_DEEP]) from error
    except ValueError as error:  # msgspec's and Unicode's errors are ValueErrors
        raise InvalidEventError([Problem("data", str(error), "JSON that can be read back")]) from error
    check_depth(text)
    return text


def check_depth(text: bytes) -> None:
    """Refuse JSON text of more lists and objects within one another than every reader takes. InvalidEventError."""
    if _may_be_deep(text):
        brackets = _STRINGS.sub(b"", text).translate(_SQUARE, _NO_BRACKETS)
        for _ in range(limits.DATA_DEPTH_MAX):
            brackets = brackets.replace(b"[]", b"")  # the innermost
        if brackets:
            raise InvalidEventError([_TOO_DEEP])


def _may_be_deep(text: bytes) -> bool:
    return text.count(b"[") + text.count(b"{") > limits.DATA_DEPTH_MAX


_TOO_DEEP = Problem(
    "data",
    "lists and objects nested deeper",
    f"at most {limits.DATA_DEPTH_MAX} within one another, which every reader takes",
)


def canonical_json(text: bytes) -> bytes:
    """JSON text as it would be with sorted names and no spaces; numbers keep their digits."""
    return _encode_sorted(_decode_exactly(text))


def _encode_otherwise(data: Any, error: Exception) -> bytes:
    """Data whose names are not all text, or a pydantic model; else the error that it was refused with."""
    if isinstance(error, RecursionError):
        raise InvalidEventError([_TOO_DEEP]) from error
    # A pydantic model is known by its shape: importing pydantic here would cost every start.
    dump_json = getattr(data, "model_dump_json", None)
    try:
        text = _encode_any_names(data) if dump_json is None else dump_json().encode()
    except (TypeError, ValueError, OverflowError, RecursionError, UnicodeError) as refused:
        raise _not_json(data, refused) from refused
    if b"null" in text or _may_hold_odd_number(text):
        _refuse_non_finite(data if dump_json is None else data.model_dump(), "data")
    try:
        checked_json(text)
    except InvalidEventError as unreadable:
        if not isinstance(unreadable.__cause__, msgspec.DecodeError):
            raise
        # The encoder writes such names without quotation marks.
        problem = Problem("data", f"a name that is a Decimal ({unreadable.__cause__})", "names that are text")
        raise InvalidEventError([problem]) from unreadable
    _refuse_doubled_names(text)
    return text


def _refuse_doubled_names(text: bytes) -> None:
    """Refuse two names of one object that are the same text, as 1 and "1" are: readers see one of them."""

    def look(pairs: list[tuple[str, object]]) -> None:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            doubled = next(name for name in names if names.count(name) > 1)
            found = f"two names that are {doubled!r:.80} in JSON"
            raise InvalidEventError([Problem("data", found, "names that differ as text")])

    from json import loads  # rarely wanted, and costs a start

    loads(text, object_pairs_hook=look)


def _not_json(data: object, error: Exception) -> InvalidEventError:
    return InvalidEventError([Problem("data", f"{type(data).__name__} ({error})", _ALLOWED)])


_ALLOWED = (
    "any value that encodes to JSON: dict, list, str, int, float, bool, None, dataclasses, pydantic models"
)


def _refuse_non_finite(value: object, path: str) -> None:
    if isinstance(value, float | Decimal):
        if not (value.is_finite() if isinstance(value, Decimal) else isfinite(value)):
            raise InvalidEventError([Problem(path, repr(value), "a finite number")])
    elif isinstance(value, dict):
        for name, inner in value.items():
            _refuse_non_finite(inner, f"{path}.{name}")
    elif isinstance(value, list | tuple | set | frozenset):
        for index, inner in enumerate(value):
            _refuse_non_finite(inner, f"{path}[{index}]")
    elif not isinstance(value, str | bytes | int | None):
        fields = (
            getattr(value, "__struct_fields__", None) or getattr(value, "__dataclass_fields__", None) or ()
        )
        for name in fields:
            _refuse_non_finite(getattr(value, name), f"{path}.{name}")
