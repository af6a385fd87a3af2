"""Envelopes: what a record says about its events beside their data, which is never decoded, however much that is."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Raw

from eventfabric.contracts.identity import DATA_SCHEMA
from eventfabric.errors import UndecodableRecordError
from eventfabric.model import HeaderValue, Record
from eventfabric.wire.payload_codec import ROWS, decompressed

_Headers = Mapping[str, HeaderValue]
_decode_columns = msgspec.msgpack.Decoder(
    tuple[Raw, list[str], Raw, Raw, list[str], list[dict[str, str | int | bool]], Raw, Raw]
).decode
_decode_rows = msgspec.msgpack.Decoder(
    list[tuple[Raw, str, Raw, Raw, str, dict[str, str | int | bool], Raw, Raw]]
).decode


class Envelope(NamedTuple):
    """Facts about an event beside its data. Many events have equal ones."""

    type: str
    source: str
    schema: str = ""
    """URI of the schema that its producer checked it against; empty: it names none."""


def envelopes_of(record: Record) -> list[Envelope]:
    """Return the envelope of each event of a record, in order. UndecodableRecordError if it cannot be read."""
    if record.is_without_events:
        return []
    try:
        return envelopes_in(record.payload, record.count)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UndecodableRecordError(record.lane, record.sequence, f"{error!s:.200}") from error


def envelopes_in(payload: bytes, count: int) -> list[Envelope]:
    """Return the envelopes of `count` events from the payload of their record. MsgspecError, ValueError."""
    codec, plain = decompressed(payload)
    if codec == ROWS:
        return _checked([_envelope(row[1], row[4], row[5]) for row in _decode_rows(plain)], count)
    _, types, _, _, sources, headers, _, _ = _decode_columns(plain)
    columns = [_spread(column, count) for column in (types, sources, headers)]
    return _checked([_envelope(*row) for row in zip(*columns, strict=True)], count)


def _envelope(type_: str, source: str, headers: _Headers) -> Envelope:
    return Envelope(type_, source, str(headers.get(DATA_SCHEMA, "")))


def _spread(column: Sequence[object], count: int) -> Sequence[object]:
    """Return a column with a value for each event: of equal values, only one is stored."""
    return list(column) * count if len(column) == 1 else column


def _checked(envelopes: list[Envelope], count: int) -> list[Envelope]:
    if len(envelopes) != count:
        raise ValueError(f"holds {len(envelopes)} events where its count says {count}")
    return envelopes
