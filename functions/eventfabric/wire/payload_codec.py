"""Codec of a record's events. The first byte names the codec, so that it can change and old records stay readable.

An event is the row (id, type, key, time, source, headers, kind, content); kind 0 is no data, 1 JSON text, 2 bytes.
Codec 3: MessagePack array of the eight columns of a record's rows; a column of equal values holds the value once.
Codec 4: codec 3 compressed by zstd. Codecs 1 and 2, of earlier versions: an array of rows, plain and by zstd.
docs/decisions/0023-columns-under-zstd.md says why.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise, repeat
from typing import Annotated, Final, TypeVar, cast

import msgspec
from msgspec import Meta

from eventfabric import limits
from eventfabric.errors import InvalidEventError, Problem, RecordBoundsError, UndecodableRecordError
from eventfabric.model import Event, HeaderValue, Lane, Payload, Record, SequenceNumber, sequences_from

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

T = TypeVar("T")
ROWS = 1
"""Codec of rows without compression."""
_ROWS_ZSTD = 2
_COLUMNS = 3
_COLUMNS_ZSTD = 4
_ZSTD_LEVEL = 1
_ZSTD_OPTIONS = {
    int(zstd.DecompressionParameter.window_log_max): limits.RECORD_PAYLOAD_BYTES_MAX.bit_length() - 1
}
"""Largest window of a frame: a frame may ask for a window of any size, whatever is in it."""
SMALL_BYTES: Final = 512
"""Size from which payloads are compressed. Below, that costs more time than it saves: a write unit holds 1 KiB."""

Row = tuple[str, str, str, int | str, str, Mapping[str, HeaderValue], int, bytes]
"""An event as it is stored."""
Attributes = tuple[str, int | str, str, Mapping[str, HeaderValue], int]
"""Attributes that events published one after the other often share: type, time, source, headers and kind."""

# Bounds of readers, checked while decoding: they accept at least all that a publisher may write, and nothing
# that, once columns are spread, is larger than a record of that many events can be.
_Id = Annotated[str, Meta(max_length=limits.ID_CHARACTERS_MAX)]
_Type = Annotated[str, Meta(max_length=limits.TYPE_CHARACTERS_MAX)]
_Key = Annotated[str, Meta(max_length=limits.KEY_BYTES_MAX)]
_Time = Annotated[int, Meta(ge=-62_135_596_800_000_000, le=253_402_300_799_999_999)] | str
"""Microseconds since 1970 within the years 1 to 9999, or text."""
_Source = Annotated[str, Meta(max_length=limits.SOURCE_CHARACTERS_MAX)]
_Headers = Annotated[dict[str, str | int | bool], Meta(max_length=limits.HEADERS_MAX)]
_Kind = Annotated[int, Meta(ge=0, le=2)]
_Stored = tuple[_Id, _Type, _Key, _Time, _Source, _Headers, _Kind, bytes]
_OF_RECORD = Meta(max_length=limits.RECORD_EVENTS_MAX)
_Columns = tuple[
    Annotated[list[_Id], _OF_RECORD],
    Annotated[list[_Type], _OF_RECORD],
    Annotated[list[_Key], _OF_RECORD],
    Annotated[list[_Time], _OF_RECORD],
    Annotated[list[_Source], _OF_RECORD],
    Annotated[list[_Headers], _OF_RECORD],
    Annotated[list[_Kind], _OF_RECORD],
    Annotated[list[bytes], _OF_RECORD],
]
_decode_events = msgspec.msgpack.Decoder(Annotated[list[_Stored], _OF_RECORD]).decode
_decode_event = msgspec.msgpack.Decoder(_Stored).decode
_decode_columns = msgspec.msgpack.Decoder(_Columns).decode

RECORD_OVERHEAD_BYTES: Final = 32
"""Most bytes that `pack` adds to the bytes of the rows, each encoded by itself."""

_encode = msgspec.msgpack.Encoder().encode


def encode_event(row: Row) -> bytes:
    """Encode one row, as an event stands alone beside the log. InvalidEventError if it cannot be encoded."""
    try:
        return _encode(row)
    except UnicodeError as error:
        raise InvalidEventError(_surrogates(row)) from error
    except TypeError as error:  # a value of somebody's own class, such as one that inherits from str
        problem = Problem("event", str(error), "attributes of Python's own types")
        raise InvalidEventError([problem]) from error


def _surrogates(row: Row) -> list[Problem]:
    """Return a problem for each attribute whose text has no UTF-8."""
    named: list[tuple[str, object]] = [("id", row[0]), ("type", row[1]), ("key", row[2]), ("source", row[4])]
    named += [(f"headers.{name}"[:80], value) for name, value in row[5].items()]
    return [
        Problem(name, "a lone surrogate", "text that encodes to UTF-8")
        for name, value in named
        if isinstance(value, str) and value.encode("utf-8", "replace").decode() != value
    ]


def stored(
    event: Event, *, id: str | None = None, time: int | str | None = None, source: str | None = None
) -> Row:
    """Return the row of an event. What replaces a missing id, time (as it is stored) or source must be given."""
    payload, own_time = event.payload, event.stored_time
    id = id if event.id is None else event.id
    time = time if own_time is None else own_time
    source = source if event.source is None else event.source
    assert id is not None
    assert time is not None
    assert source is not None
    return id, event.type, event.key, time, source, event.headers or {}, payload.kind, payload.content


def pack(rows: Sequence[Row]) -> bytes:
    """Encode a record's payload from the rows of its events (at most 65,535 of them)."""
    ids, types, keys, times, sources, headers, kinds, contents = zip(*rows, strict=True)
    return _pack(ids, keys, contents, _alike(types, times, sources, headers, kinds))


def pack_columns(
    ids: Sequence[str],
    keys: Sequence[str],
    contents: Sequence[bytes],
    runs: Sequence[Attributes],
    starts: Sequence[int],
) -> bytes:
    """Encode events like `pack`, field by field: those from `starts[n]` to the next start have attributes `runs[n]`."""
    # The usual case: all events have the same attributes.
    if len(runs) == 1:
        return _pack(ids, keys, contents, [(value,) for value in runs[0]])
    lengths = [end - start for start, end in pairwise((*starts, len(ids)))]
    columns = [
        column if len(column) == 1 else tuple(chain.from_iterable(map(repeat, column, lengths)))
        for column in _alike(*zip(*runs, strict=True))
    ]
    return _pack(ids, keys, contents, columns)


def _alike(
    types: Sequence[str],
    times: Sequence[int | str],
    sources: Sequence[str],
    headers: Sequence[Mapping[str, HeaderValue]],
    kinds: Sequence[int],
) -> list[Sequence[object]]:
    """Return columns of attributes as they are stored. Headers are not compared with one another: True equals 1."""
    first = headers[0]
    if all(own is first for own in headers):
        headers = headers[:1]
    elif not any(headers):
        headers = ({},)
    return [_once(types), _once(times), _once(sources), headers, _once(kinds)]


def _pack(
    ids: Sequence[str], keys: Sequence[str], contents: Sequence[bytes], attributes: Sequence[Sequence[object]]
) -> bytes:
    types, times, sources, headers, kinds = attributes
    plain = _encode((ids, types, _once(keys), times, sources, headers, kinds, contents))
    if len(plain) > limits.RECORD_PAYLOAD_BYTES_MAX:  # no reader would unpack it
        raise RecordBoundsError(
            f"{len(plain):,} bytes before compression", f"at most {limits.RECORD_PAYLOAD_BYTES_MAX:,}"
        )
    if len(plain) >= SMALL_BYTES:
        compressed = zstd.compress(plain, _ZSTD_LEVEL)
        # Data that is compressed already may become larger.
        if len(compressed) < len(plain):
            return bytes((_COLUMNS_ZSTD,)) + compressed
    return bytes((_COLUMNS,)) + plain


def _once(column: Sequence[T]) -> Sequence[T]:
    return column[:1] if column.count(column[0]) == len(column) else column


def unpack(record: Record) -> list[Event]:
    """Return the events of a record, in order. UndecodableRecordError if this version cannot read them."""
    return unpack_measured(record)[0]


def unpack_measured(record: Record) -> tuple[list[Event], int]:
    """Return the events of a record, as `unpack` does, and the most bytes of memory that they take."""
    if record.is_without_events:
        return [], 0
    try:
        codec, plain = decompressed(record.payload)
        headers: Sequence[Mapping[str, HeaderValue]]
        if codec == ROWS:
            rows: Sequence[_Stored] = _decode_events(plain)
            headers = [row[5] for row in rows]
        else:
            columns = _decode_columns(plain)
            rows, headers = _rows(columns, record.count), columns[5]
        _check_count(rows, record.count)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UndecodableRecordError(record.lane, record.sequence, f"{error!s:.200}") from error
    lane, first = record.lane, record.sequence
    # Looked up once, since the loop below runs for every event that is delivered.
    make = Event.from_log
    events = [
        make((id_, type_, key, time, source, own, Payload(kind, content)), lane, sequence)
        for sequence, (id_, type_, key, time, source, own, kind, content) in zip(
            sequences_from(first, len(rows)), rows, strict=True
        )
    ]
    # A single dict of headers stands for all rows.
    count = len(headers[0]) * len(rows) if len(headers) == 1 else sum(map(len, headers))
    return events, _in_memory(len(plain), len(rows), count)


def measured(events: Iterable[Event]) -> int:
    """Return the most bytes of memory that some events of a record take."""
    return sum(
        _in_memory(len(event.payload.content) + len(event.key), 1, len(event.headers)) for event in events
    )


def _in_memory(content_bytes: int, events: int, headers: int) -> int:
    return content_bytes + events * limits.EVENT_MEMORY_BYTES + headers * limits.HEADER_MEMORY_BYTES


def unpack_at(record: Record, sequence: SequenceNumber) -> Event:
    """Return the event of a record at a sequence. UndecodableRecordError also if the record holds none there."""
    index = sequence - record.sequence
    if record.is_skip:
        raise UndecodableRecordError(record.lane, record.sequence, "is lost, and the lane went on past it")
    if record.is_seal:
        raise UndecodableRecordError(record.lane, record.sequence, "is a seal, which holds no event")
    if not 0 <= index < record.count:
        reason = f"ends at {record.tail.sequence}, and an event is said to wait in it at {sequence}"
        raise UndecodableRecordError(record.lane, record.sequence, reason)
    return unpack(record)[index]


def _check_count(values: Sequence[object], count: int) -> None:
    if len(values) != count:
        raise ValueError(f"holds {len(values)} events where its count says {count}")


def _rows(columns: _Columns, count: int) -> Sequence[_Stored]:
    """Return the rows of `count` events from their columns. ValueError if one is longer or shorter than the others."""
    ids, types, keys, times, sources, headers, kinds, contents = columns
    _check_count(ids, count)  # before any column is spread to that length
    if len(headers) == 1:
        headers = [dict(headers[0]) for _ in ids]  # each event has its own, since a handler may change it
    spread = [
        column * len(ids) if len(column) == 1 else column for column in (types, keys, times, sources, kinds)
    ]
    if any(len(column) != len(ids) for column in (*spread, headers, contents)):
        raise ValueError(f"columns of {[len(column) for column in columns]} values")
    types, keys, times, sources, kinds = cast(
        tuple[list[str], list[str], list[int | str], list[str], list[int]], spread
    )
    return list(zip(ids, types, keys, times, sources, headers, kinds, contents, strict=True))


def unpack_one(encoded: bytes, lane: Lane, sequence: SequenceNumber) -> Event:
    """Decode the event that `encode_event` wrote. UndecodableRecordError."""
    try:
        id_, type_, key, time, source, headers, kind, content = _decode_event(encoded)
        payload = Payload(kind, content)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UndecodableRecordError(lane, sequence, f"{error!s:.200}") from error
    return Event.from_log((id_, type_, key, time, source, headers, payload), lane, sequence)


def decompressed(payload: bytes) -> tuple[int, bytes]:
    """Return the codec without compression, and the bytes in it. ValueError, also of zstd."""
    codec = payload[0] if payload else 0
    if codec in (ROWS, _COLUMNS):
        if len(payload) > 1 + limits.RECORD_PAYLOAD_BYTES_MAX:
            raise ValueError("the payload is larger than a record may be")
        return codec, payload[1:]
    if codec in (_ROWS_ZSTD, _COLUMNS_ZSTD):
        # Unpacks no more than a record may hold: a small frame can unpack to gigabytes.
        decompressor = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
        try:
            plain = decompressor.decompress(payload[1:], limits.RECORD_PAYLOAD_BYTES_MAX)
        except zstd.ZstdError as error:
            raise ValueError(str(error)) from error
        if not decompressor.eof:
            raise ValueError("the compressed payload is cut short or larger than a record may be")
        return codec - 1, plain
    raise ValueError(f"found codec {codec}, this version reads {ROWS} to {_COLUMNS_ZSTD}")


__all__ = [
    "HeaderValue",
    "Row",
    "encode_event",
    "measured",
    "pack",
    "pack_columns",
    "stored",
    "unpack",
    "unpack_at",
    "unpack_measured",
    "unpack_one",
]
