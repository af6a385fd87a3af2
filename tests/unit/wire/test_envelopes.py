"""Envelopes: what a record says about its events, whatever codec it has, without their data."""

from dataclasses import replace

import msgspec
import pytest

from eventfabric.errors import UndecodableRecordError
from eventfabric.model import BatchId, Event, HeaderValue
from eventfabric.wire.envelopes import Envelope, envelopes_of
from eventfabric.wire.payload_codec import pack, stored, unpack
from tests.unit.wire.test_payload_codec import record_of, rows_of

URI = "eventfabric:orders/Placed/AAAAAAAAAAAAAAAAAAAAAA"


def event(number: int, *, type: str = "Placed", source: str = "/shop", schema: str | None = None) -> Event:
    headers: dict[str, HeaderValue] = {} if schema is None else {"dataschema": schema, "other": number}
    return Event(
        id=str(number),
        type=type,
        key="k",
        source=source,
        data={"n": number, "fill": "x" * 300},
        time="2026-11-01T00:00:00Z",
        headers=headers,
    )


EVENTS = [
    [event(1)],
    [event(1), event(2)],
    [event(1), event(2, type="Paid"), event(3, source="/till", schema=URI)],
    [event(number, schema=URI) for number in range(50)],
]


@pytest.mark.parametrize("events", EVENTS, ids=len)
def test_each_event_has_its_own_in_every_codec(events: list[Event]) -> None:
    expected = [Envelope(own.type, str(own.source), str(own.headers.get("dataschema", ""))) for own in events]
    for payload in (pack([stored(own) for own in events]), b"\x01" + rows_of(*events)):
        record = record_of(payload, len(events))
        assert envelopes_of(record) == expected
        assert len(unpack(record)) == len(events)


def test_data_that_nobody_could_decode_is_not_looked_at() -> None:
    payload = pack([stored(event(1))])
    plain = list(msgspec.msgpack.decode(payload[1:]))
    plain[7] = [msgspec.msgpack.Ext(5, b"anything")]
    assert envelopes_of(record_of(payload[:1] + msgspec.msgpack.encode(plain))) == [
        Envelope("Placed", "/shop")
    ]


def test_a_skip_has_none() -> None:
    record = replace(record_of(b"", 3), types=frozenset(), batch_id=BatchId(bytes(16)))
    assert envelopes_of(record) == []


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("garbage", [b"", b"\x09x", b"\x03\x90", b"\x04xx", b"\x01\x91\x90", b"\x03x"])
def test_what_cannot_be_read_is_undecodable(garbage: bytes, count: int) -> None:
    with pytest.raises(UndecodableRecordError):
        envelopes_of(record_of(garbage, count))


@pytest.mark.parametrize("codec", [pack, None])
def test_a_count_that_the_payload_does_not_hold_is_undecodable(codec: object) -> None:
    events = [event(1), event(2, type="Paid")]
    payload = pack([stored(own) for own in events]) if codec else b"\x01" + rows_of(*events)
    with pytest.raises(UndecodableRecordError):
        envelopes_of(record_of(payload, 3))
