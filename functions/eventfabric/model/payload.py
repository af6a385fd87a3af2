"""An event's data as it is stored: JSON text, bytes or nothing. Decoded only when somebody looks at it."""

from collections.abc import Sequence
from decimal import Decimal
from enum import IntEnum
from math import isfinite
from re import DOTALL
from re import compile as regex
from typing import Any, cast

import msgspec

from eventfabric import limits
from eventfabric.errors import InvalidEventError, Problem

# Names are sorted, so that equal values have equal bytes. Raises if one is not text: see `_encode_otherwise`.
_encoder = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_encode, _encode_lines = _encoder.encode, _encoder.encode_lines
_encode_any_names = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder().decode
_decode_exactly = msgspec.json.Decoder(float_hook=Decimal).decode
_encode_sorted = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode
_N, _I, _PLUS = b"NI+"
_SURELY_SHALLOW_BYTES = 2 * limits.DATA_DEPTH_MAX
"""Text up to this size cannot be too deep, since each list and object takes at least two bytes."""
_STRINGS = regex(rb'"(?:[^"\\]|\\.)*"', DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SQUARE = bytes.maketrans(b"{}", b"[]")


class Kind(IntEnum):
    """Meaning of a payload's bytes."""

    NONE = 0
    JSON = 1
    BINARY = 2


class Payload(msgspec.Struct, frozen=True, array_like=True):
    """Data of one event: its kind and its bytes."""

    kind: int
    content: bytes

    @classmethod
    def of(cls, data: object) -> "Payload":
        """Return the stored form of `data`. InvalidEventError if it is not JSON (NaN and infinities included)."""
        if data is None:
            return NO_DATA
        if isinstance(data, bytes | bytearray | memoryview):
            return cls(Kind.BINARY, bytes(data))
        return cls(Kind.JSON, encode_json(data))

    def __repr__(self) -> str:
        return f"Payload({Kind(self.kind).name}, {len(self.content):,} bytes)"

    def decode(self) -> Any:
        """Return plain JSON values, bytes, or None."""
        if self.kind == Kind.JSON:
            return _decode(self.content)
        return None if self.kind == Kind.NONE else self.content


NO_DATA = Payload(Kind.NONE, b"")


def encode_json(data: object) -> bytes:
    """Return `data` as JSON text with sorted names. InvalidEventError says where not every reader would accept it."""
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


def encode_dicts(values: Sequence[object]) -> list[bytes] | None:
    """Encode all dicts in one call. None if a value is not a dict, or needs `encode_json` to look at it."""
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
        return None  # JSON that others encoded may contain line breaks
    if max(map(len, texts)) > _SURELY_SHALLOW_BYTES:
        # Each text opens at least one, so none opens more than this remainder.
        opened = lines.count(b"{") + lines.count(b"[") - (len(texts) - 1)
        if opened > limits.DATA_DEPTH_MAX and any(map(_may_be_deep, texts)):
            return None
    return texts


def _may_hold_null(text: bytes) -> bool:
    """Tell if JSON text may hold a null, which encoders silently write for NaN and infinities."""
    # To find a word, CPython takes three quarters of the time from behind, and a quarter if the text is a run
    # of one of its letters; to find one byte, it takes a thirtieth. This runs for every event.
    return text.rfind(b"null") >= 0


def _may_hold_odd_number(text: bytes) -> bool:
    """Tell if JSON text may hold a decimal that no reader takes back: not finite, or too large for a float."""
    return (
        (_N in text and text.rfind(b"NaN") >= 0)
        or (_I in text and text.rfind(b"Inf") >= 0)
        or (_PLUS in text and text.rfind(b"E+") >= 0)
    )


def checked_json(text: bytes) -> bytes:
    """Return JSON text from elsewhere, if all readers can take it back; else raise InvalidEventError."""
    try:
        msgspec.json.decode(text)
    except RecursionError as error:
        raise InvalidEventError([_TOO_DEEP]) from error
    except ValueError as error:  # the errors of msgspec and of Unicode are ValueErrors
        raise InvalidEventError([Problem("data", str(error), "JSON that can be read back")]) from error
    check_depth(text)
    return text


def check_depth(text: bytes) -> None:
    """Refuse JSON text with deeper nesting of lists and objects than every reader accepts. InvalidEventError."""
    if _may_be_deep(text):
        brackets = _STRINGS.sub(b"", text).translate(_SQUARE, _NO_BRACKETS)
        for _ in range(limits.DATA_DEPTH_MAX):
            brackets = brackets.replace(b"[]", b"")  # the innermost pairs
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
    """Return JSON text with sorted names and no spaces; numbers keep their digits."""
    return _encode_sorted(_decode_exactly(text))


def _encode_otherwise(data: Any, error: Exception) -> bytes:
    """Encode data with names that are not text, or a pydantic model; else raise the error that refused the data."""
    if isinstance(error, RecursionError):
        raise InvalidEventError([_TOO_DEEP]) from error
    # A pydantic model is recognised by its shape: importing pydantic here would slow down every start.
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
        # The encoder writes names that are Decimals without quotation marks.
        problem = Problem("data", f"a name that is a Decimal ({unreadable.__cause__})", "names that are text")
        raise InvalidEventError([problem]) from unreadable
    _refuse_doubled_names(text)
    return text


def _refuse_doubled_names(text: bytes) -> None:
    """Refuse two names of one object that are equal as text, such as 1 and "1": readers see only one of them."""

    def look(pairs: list[tuple[str, object]]) -> None:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            doubled = next(name for name in names if names.count(name) > 1)
            found = f"two names that are {doubled!r:.80} in JSON"
            raise InvalidEventError([Problem("data", found, "names that differ as text")])

    from json import loads  # rarely needed, and slows down a start

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
        _refuse_non_finite_fields(value, path)


def _refuse_non_finite_fields(value: object, path: str) -> None:
    names = getattr(value, "__struct_fields__", None) or getattr(value, "__dataclass_fields__", None)
    for name in names or ():
        _refuse_non_finite(getattr(value, name), f"{path}.{name}")
