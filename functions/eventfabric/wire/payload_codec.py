"""The events of a record as bytes. The first byte names the codec, so that it can change and old records stay readable.

Codec 1: MessagePack array of events. Codec 2: the same through zstd. An event is the array
[id, type, key, time, source, headers, kind, content]; kind 0 is no data, 1 JSON text, 2 bytes.
"""

import sys
from collections.abc import Sequence as Seq
from typing import Any, Final

import msgspec

from eventfabric import limits
from eventfabric.errors import UndecodableRecordError
from eventfabric.model.event import Event, HeaderValue
from eventfabric.model.identity import Lane, Sequence
from eventfabric.model.payload import Payload
from eventfabric.model.record import Record

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PLAIN = 1
_ZSTD = 2
_ZSTD_LEVEL = 1
_SMALL_BYTES = 512
"""Below this, compression costs more time than it saves bytes: one write unit holds 1 KiB either way."""
_PLAIN_BYTES_MAX = 4 * limits.RECORD_PAYLOAD_BYTES_MAX

_Stored = tuple[str, str, str, int | str, str, dict[str, str | int | bool], int, bytes]
_decode_events = msgspec.msgpack.Decoder(list[_Stored]).decode
_decode_event = msgspec.msgpack.Decoder(_Stored).decode

RECORD_OVERHEAD_BYTES: Final = 8
"""At most so much does `pack` add to the bytes of the events."""

encode_event = msgspec.msgpack.Encoder().encode
"""One event's stored tuple as bytes; `pack` joins them. Typed loosely because it runs for every event published."""


def stored(event: Event) -> tuple[Any, ...]:
    """The tuple that `encode_event` takes, of an event with id, time and source."""
    payload = event.payload
    return (
        event.id,
        event.type,
        event.key,
        event.stored_time,
        event.source,
        event.headers or {},
        payload.kind,
        payload.content,
    )


def pack(encoded: Seq[bytes]) -> bytes:
    """A record's payload out of its events' bytes (at most 65,535 of them)."""
    plain = b"".join((b"\xdc", len(encoded).to_bytes(2, "big"), *encoded))
    if len(plain) >= _SMALL_BYTES:
        compressed = zstd.compress(plain, _ZSTD_LEVEL)
        if len(compressed) < len(plain):
            return bytes((_ZSTD,)) + compressed
    return bytes((_PLAIN,)) + plain


def unpack(record: Record) -> list[Event]:
    """The events of a record, in order; UndecodableRecordError where this version cannot read them."""
    try:
        rows = _decode_events(_plain(record.payload))
    except (msgspec.MsgspecError, zstd.ZstdError, ValueError) as error:
        raise UndecodableRecordError(record.lane, record.sequence, str(error)) from error
    if len(rows) != record.count:
        raise UndecodableRecordError(
            record.lane, record.sequence, f"holds {len(rows)} events where its count says {record.count}"
        )
    lane, first = record.lane, record.sequence
    make = Event.from_log
    return [
        make((id_, type_, key, time, source, headers, Payload(kind, content)), lane, Sequence(first + index))
        for index, (id_, type_, key, time, source, headers, kind, content) in enumerate(rows)
    ]


def unpack_one(encoded: bytes, lane: Lane, sequence: Sequence) -> Event:
    """The event that `encode_event` wrote; UndecodableRecordError."""
    try:
        id_, type_, key, time, source, headers, kind, content = _decode_event(encoded)
        payload = Payload(kind, content)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UndecodableRecordError(lane, sequence, str(error)) from error
    return Event.from_log((id_, type_, key, time, source, headers, payload), lane, sequence)


def _plain(payload: bytes) -> bytes:
    codec = payload[0] if payload else 0
    if codec == _PLAIN:
        return payload[1:]
    if codec == _ZSTD:
        decompressor = zstd.ZstdDecompressor()
        plain = decompressor.decompress(payload[1:], _PLAIN_BYTES_MAX)
        if not decompressor.eof:
            raise ValueError("the compressed payload is cut short or larger than a record may be")
        return plain
    raise ValueError(f"found codec {codec}, this version reads {_PLAIN} and {_ZSTD}")


__all__ = ["HeaderValue", "encode_event", "pack", "stored", "unpack", "unpack_one"]
