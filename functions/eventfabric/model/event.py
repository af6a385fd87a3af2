"""The event as users see it, and the bounds of what an event may be."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from re import ASCII
from re import compile as regex
from typing import Any, Required, TypedDict, cast, overload

from eventfabric import limits
from eventfabric.errors import InvalidEventError, Problem
from eventfabric.model.identity import Lane, Region, SequenceNumber
from eventfabric.model.payload import NO_DATA, Payload

HeaderValue = str | int | bool
_HEADER_NAME = regex(rf"[a-z0-9]{{1,{limits.HEADER_NAME_CHARACTERS_MAX}}}\Z")
_RFC_3339 = regex(
    r"\d{4}-\d\d-\d\d[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)",
    ASCII,
)
_SECONDS = slice(17, 19)
HOPS = "fabrichops"
"""Header of an event that a handler published: the number of handlers through which it came."""
_RESERVED = frozenset({"specversion", "id", "source", "type", "time", "partitionkey", "data", "data_base64"})


class EventFields(TypedDict, total=False):
    """Keyword arguments of Event, and of every method that publishes one. Event describes them."""

    key: Required[str]
    type: Required[str]
    data: object
    id: str | None
    headers: Mapping[str, HeaderValue] | None
    time: datetime | str | None
    source: str | None


class Event:
    """One fact. Events are equal by content, and never change after they are made.

    Args:
        type: what happened, at most 128 characters.
        key: the key in whose order the event belongs, 1 to 1,024 bytes of UTF-8.
        data: any JSON value, bytes, or an object that encodes to JSON (dataclass, pydantic model, msgspec Struct).
        id: at most 128 characters; default: a UUIDv7, given at publish.
        time: when it happened (aware datetime, or RFC 3339 text kept to the letter); default: now, at publish.
        source: who says so, a URI reference; default: the fabric's, at publish.
        headers: CloudEvents extension attributes: names of lower-case letters and digits, values str, int or bool.

    `origin`, `lane` and `sequence` are its place in the log; None before it is published. `later`: for an event that
    came late, the event of its key that was published later, in another Region, and handed out before.
    """

    __slots__ = (
        "_payload",
        "_time",
        "headers",
        "id",
        "key",
        "lane",
        "later",
        "origin",
        "sequence",
        "source",
        "type",
    )

    def __init__(
        self,
        *,
        type: str,
        key: str,
        data: object = None,
        id: str | None = None,
        time: datetime | str | None = None,
        source: str | None = None,
        headers: Mapping[str, HeaderValue] | None = None,
    ) -> None:
        self.id = exact(id)
        self.type = exact(type)
        self.key = exact(key)
        self.source = exact(source)
        self.headers: Mapping[str, HeaderValue] = exact_headers(headers) if headers else {}
        self._time = stored_time(time)
        self._payload: Payload = data if isinstance(data, Payload) else Payload.of(data)
        self.origin: Region | None = None
        self.lane: Lane | None = None
        self.sequence: SequenceNumber | None = None
        self.later: Event | None = None

    @property
    def late(self) -> bool:
        """Tell if a later event of its key was handed out before it, as far as its Region knows."""
        return self.later is not None

    @property
    def data(self) -> Any:
        """Payload as plain JSON values or bytes. Decoded anew at each call, so nobody can change it for others."""
        return self._payload.decode()

    @property
    def payload(self) -> Payload:
        """Payload as it is stored."""
        return self._payload

    @property
    def time(self) -> datetime | None:
        """Time at which it happened, aware. Digits finer than microseconds, and the difference between a leap second
        and the last microsecond before it, are only in `time_text`.
        """
        stored = self._time
        if stored is None:
            return None
        if isinstance(stored, int):
            return datetime.fromtimestamp(stored // 1_000_000, UTC).replace(microsecond=stored % 1_000_000)
        return _parsed(stored)

    @property
    def time_text(self) -> str | None:
        """Time at which it happened, as RFC 3339 text."""
        stored = self._time
        if stored is None or isinstance(stored, str):
            return stored
        return (
            datetime.fromtimestamp(stored // 1_000_000, UTC)
            .replace(microsecond=stored % 1_000_000)
            .isoformat()
        )

    @property
    def stored_time(self) -> int | str | None:
        """Time as it is stored: microseconds since 1970, or the RFC 3339 text as it was given."""
        return self._time

    @classmethod
    def from_log(
        cls,
        fields: tuple[str, str, str, int | str, str, dict[str, HeaderValue], Payload],
        lane: Lane,
        sequence: SequenceNumber,
    ) -> "Event":
        """Make the event that a record holds at `sequence`; for decoders."""
        event = cls.__new__(cls)
        event.id, event.type, event.key, event._time, event.source, event.headers, event._payload = fields
        event.origin = lane.origin
        event.lane = lane
        event.sequence = sequence
        event.later = None
        return event

    def copy(self, *, payload: Payload | None = None) -> "Event":
        """Return an independent copy, with another payload if one is given; nothing done to it changes this event."""
        event = Event.__new__(Event)
        event.id, event.type, event.key, event._time = self.id, self.type, self.key, self._time
        event.source, event.headers = self.source, dict(self.headers)
        event._payload = self._payload if payload is None else payload
        event.origin, event.lane, event.sequence = self.origin, self.lane, self.sequence
        event.later = None if self.later is None else self.later.copy()
        return event

    def _content(self) -> tuple[object, ...]:
        return (
            self.id,
            self.type,
            self.key,
            self._time,
            self.source,
            dict(self.headers),
            self._payload,
            self.lane,
            self.sequence,
        )

    def __eq__(self, other: object) -> bool:
        return self._content() == other._content() if isinstance(other, Event) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.id, self.key, self.lane, self.sequence))

    def __repr__(self) -> str:
        place = f", {self.lane}@{self.sequence}" if self.lane else ""
        # No key and no data: not everybody who reads a traceback may see an event's content.
        return f"Event({self.type!r} {self.id!r}, {len(self._payload.content):,} bytes{place})"


def _parsed(text: str) -> datetime:
    """Parse RFC 3339 text. A leap second, which no datetime is, becomes the last microsecond before it. ValueError."""
    text = text.upper()
    if text[_SECONDS] != "60":
        return datetime.fromisoformat(text)
    before = datetime.fromisoformat(text[: _SECONDS.start] + "59" + text[_SECONDS.stop :]).replace(
        microsecond=0
    )
    after = (before + timedelta(seconds=1)).astimezone(UTC)
    if (after.day, after.hour, after.minute) != (1, 0, 0):
        raise ValueError("leap seconds end a month in UTC")
    return before.replace(microsecond=999_999)


def stored_time(time: datetime | str | None) -> int | str | None:
    """Return the form in which a time is stored: microseconds for UTC datetimes, else text. Naive times are refused."""
    if time is None:
        return None
    if isinstance(time, datetime):
        if time.tzinfo is UTC:
            return int(time.replace(microsecond=0).timestamp()) * 1_000_000 + time.microsecond
        time = time.isoformat()
    try:
        if isinstance(time, str) and _RFC_3339.fullmatch(time):
            _parsed(time)
            return exact(time)
    except (ValueError, OverflowError):
        pass  # it has the form, but is not a date
    allowed = "an aware datetime, or RFC 3339 text with a zone"
    raise InvalidEventError([Problem("time", f"{time!r:.80}", allowed)])


@overload
def exact(value: str) -> str: ...
@overload
def exact(value: str | None) -> str | None: ...
def exact(value: str | None) -> str | None:
    """Return the plain str of a value whose class inherits from str, such as a StrEnum; anything else as it is."""
    return str.__str__(value) if isinstance(value, str) else value


def exact_headers(headers: Any) -> Mapping[str, HeaderValue]:
    """Return headers with names and values of Python's own types, made from classes that inherit from these."""
    if not isinstance(headers, Mapping):
        return cast("Mapping[str, HeaderValue]", headers)  # `check_event` refuses it
    return {exact(name): _exact_value(value) for name, value in headers.items()}


def _exact_value(value: HeaderValue) -> HeaderValue:
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__int__(value)
    return exact(value) if isinstance(value, str) else value


def check_event(
    *,
    id: object,
    type: object,
    key: object,
    source: object,
    headers: Mapping[str, HeaderValue] | None,
    by_producer: bool = False,
) -> None:
    """Raise InvalidEventError with every problem of an event's attributes; return if there is none.

    `by_producer`: no handler publishes it, so it may not have the header HOPS, which would be believed.
    """
    # One chained comparison for the common case: this runs for every event that is published.
    if (
        isinstance(key, str)
        and isinstance(type, str)
        and isinstance(id, str)
        and isinstance(source, str)
        and 0 < len(key) <= limits.KEY_BYTES_MAX // 4
        and 0 < len(type) <= limits.TYPE_CHARACTERS_MAX
        and 0 < len(id) <= limits.ID_CHARACTERS_MAX
        and 0 < len(source) <= limits.SOURCE_CHARACTERS_MAX
        and not headers
    ):
        return
    problems = [
        *_text_problems("id", id, limits.ID_CHARACTERS_MAX),
        *_text_problems("type", type, limits.TYPE_CHARACTERS_MAX),
        *_text_problems("source", source, limits.SOURCE_CHARACTERS_MAX),
        *_key_problems(key),
        *_header_problems(headers or {}, by_producer=by_producer),
    ]
    if problems:
        raise InvalidEventError(problems)


def _text_problems(name: str, value: object, most: int) -> list[Problem]:
    if not isinstance(value, str):
        return [Problem(name, f"{value!r:.80}", f"text of 1 to {most} characters")]
    if not 0 < len(value) <= most:
        return [Problem(name, f"{len(value)} characters", f"1 to {most} characters")]
    return []


def _key_problems(key: object) -> list[Problem]:
    allowed = f"text of 1 to {limits.KEY_BYTES_MAX} bytes of UTF-8"
    if not isinstance(key, str):
        return [Problem("key", f"{key!r:.80}", allowed)]
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return [Problem("key", "a lone surrogate", allowed)]
    return [] if 0 < size <= limits.KEY_BYTES_MAX else [Problem("key", f"{size} bytes", allowed)]


def _header_problems(headers: object, *, by_producer: bool) -> list[Problem]:
    if not isinstance(headers, Mapping):
        return [Problem("headers", f"{headers!r:.80}", "a mapping of names to values")]
    problems = []
    if len(headers) > limits.HEADERS_MAX:
        problems.append(Problem("headers", f"{len(headers)} headers", f"at most {limits.HEADERS_MAX}"))
    for name, value in headers.items():
        if not isinstance(name, str) or name in _RESERVED or not _HEADER_NAME.match(name):
            problems.append(
                Problem(
                    f"headers.{name}"[:80],
                    "the name",
                    "1 to 20 lower-case letters and digits, none of CloudEvents' own attribute names",
                )
            )
        problems += _header_value_problems(name, value)
    if by_producer and HOPS in headers:
        problems.append(Problem(f"headers.{HOPS}", "the name", "only in what a handler publishes"))
    return problems


def _header_value_problems(name: object, value: object) -> list[Problem]:
    if isinstance(value, str):
        if len(value) <= limits.HEADER_VALUE_CHARACTERS_MAX:
            return []
        allowed = f"at most {limits.HEADER_VALUE_CHARACTERS_MAX} characters"
        return [Problem(f"headers.{name}", f"{len(value)} characters", allowed)]
    if isinstance(value, bool) or (isinstance(value, int) and -(2**31) <= value < 2**31):
        return []
    return [Problem(f"headers.{name}"[:80], f"{value!r:.80}", "text, a bool or a 32-bit integer")]


__all__ = ["HOPS", "NO_DATA", "Event", "HeaderValue", "check_event", "exact", "exact_headers", "stored_time"]
