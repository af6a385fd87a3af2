"""A record's payload: there and back through each codec, and nothing but typed refusals."""

import sys
from contextlib import suppress
from dataclasses import replace
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfabric.errors import UndecodableRecordError
from eventfabric.limits import RECORD_PAYLOAD_BYTES_MAX
from eventfabric.model import (
    EMPTY_TAIL,
    Batch,
    BatchId,
    Event,
    Generation,
    Lane,
    LaneIndex,
    Record,
    Region,
    record_at,
)
from eventfabric.wire.payload_codec import Attributes, encode_event, pack, pack_columns, stored, unpack
from tests.support.strategies import events as any_events

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LANE = Lane(Region("us-east-1"), Generation(0), LaneIndex(7))
TIMES = ("2026-11-23T00:00:00Z", "2026-11-23T01:00:00+01:00")
ROWS, ROWS_ZSTD, PLAIN, ZSTD = 1, 2, 3, 4


def record_of(payload: bytes, count: int = 1) -> Record:
    batch = Batch(BatchId(b"b" * 16), count, frozenset({"placed"}), payload)
    return record_at(EMPTY_TAIL, LANE, batch, now_ms=0, retention_seconds=None)


def packed(*events: Event) -> bytes:
    return pack([stored(event) for event in events])


def in_columns(*events: Event) -> bytes:
    """Pack events like a publisher: neighbours that are alike share their attributes."""
    ids, keys, contents, runs, starts = (
        list[str](),
        list[str](),
        list[bytes](),
        list[Attributes](),
        list[int](),
    )
    for event in events:
        id_, type_, key, time, source, headers, kind, content = stored(event)
        attributes = (type_, time, source, headers, kind)
        if not runs or repr(runs[-1]) != repr(attributes):
            runs.append(attributes)
            starts.append(len(ids))
        ids.append(id_)
        keys.append(key)
        contents.append(content)
    return pack_columns(ids, keys, contents, runs, starts)


def an_event(data: object = None, *, id: str = "1") -> Event:
    return Event(id=id, type="placed", key="k", data=data, time="2026-11-23T00:00:00Z", source="/s")


def reason(payload: bytes, count: int = 1) -> str:
    with pytest.raises(UndecodableRecordError) as raised:
        unpack(record_of(payload, count))
    assert (raised.value.lane, raised.value.sequence) == (LANE, 0)
    return raised.value.reason


@given(st.lists(any_events, min_size=1, max_size=6))
def test_events_come_back_from_a_payload_as_they_were_each_at_its_place(events: list[Event]) -> None:
    record = record_of(packed(*events), len(events))
    for number, (before, after) in enumerate(zip(events, unpack(record), strict=True)):
        assert (after.origin, after.lane, after.sequence) == (LANE.origin, LANE, number)
        before.lane, before.sequence = after.lane, after.sequence
        assert after == before
        assert after.data == before.data


@given(st.lists(any_events, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_events_in_columns_are_the_same_events_as_in_rows(some: list[Event], random: Random) -> None:
    events = [event for event in some for _ in range(random.randint(1, 4))]
    assert unpack(record_of(in_columns(*events), len(events))) == unpack(
        record_of(packed(*events), len(events))
    )


def test_headers_that_python_finds_equal_stay_apart() -> None:
    events = [
        Event(id="1", type="t", key="k", time=TIMES[0], source="/s", headers={"a": value})
        for value in (True, 1, 1, True)
    ]
    for payload in (packed(*events), in_columns(*events)):
        assert [repr(event.headers["a"]) for event in unpack(record_of(payload, 4))] == [
            "True",
            "1",
            "1",
            "True",
        ]


def test_a_small_payload_is_plain_and_a_large_one_compressed_where_that_helps() -> None:
    assert packed(an_event())[0] == PLAIN
    large = packed(an_event("a" * 10_000))
    assert large[0] == ZSTD
    assert len(large) < 1000
    assert unpack(record_of(large))[0].data == "a" * 10_000


def test_bytes_that_do_not_compress_stay_as_they_are() -> None:
    noise = Random(0).randbytes(10_000)
    assert packed(an_event(noise))[0] == PLAIN


@pytest.mark.parametrize("codec", [0, 5, 0x63, 255])
def test_another_codec_is_named_with_those_that_this_version_reads(codec: int) -> None:
    assert (
        reason(bytes([codec]) + packed(an_event())[1:]) == f"found codec {codec}, this version reads 1 to 4"
    )


def test_an_empty_payload_is_undecodable() -> None:
    assert reason(b"").startswith("found codec 0")


@pytest.mark.parametrize("data", ["short", "long " * 500], ids=["plain", "zstd"])
def test_a_payload_cut_anywhere_is_undecodable(data: str) -> None:
    whole = packed(an_event(data))
    for length in range(len(whole)):
        assert reason(whole[:length])


@given(st.sampled_from([ROWS, ROWS_ZSTD, PLAIN, ZSTD]), st.binary(max_size=60))
def test_arbitrary_bytes_are_refused_as_undecodable_and_never_otherwise(codec: int, garbage: bytes) -> None:
    record = record_of(bytes([codec]) + garbage)
    with suppress(UndecodableRecordError):
        assert len(unpack(record)) == 1


@pytest.mark.parametrize("count", [1, 3])
def test_a_count_that_the_payload_does_not_hold_is_undecodable(count: int) -> None:
    payload = packed(an_event(), an_event())
    assert reason(payload, count) == f"holds 2 events where its count says {count}"


def test_a_payload_that_would_inflate_beyond_bounds_is_refused_before_it_does() -> None:
    bomb = bytes([ZSTD]) + zstd.compress(bytes(100 * RECORD_PAYLOAD_BYTES_MAX), 9)
    assert "too much memory" in reason(bomb)
    streamed = zstd.ZstdCompressor(1)  # says nowhere how much it holds
    pieces = [streamed.compress(bytes(RECORD_PAYLOAD_BYTES_MAX // 8)) for _ in range(9)] + [streamed.flush()]
    assert reason(bytes([ZSTD]) + b"".join(pieces))


def test_the_largest_payload_that_a_publisher_may_pack_is_read_back() -> None:
    data = "a" * (RECORD_PAYLOAD_BYTES_MAX - 200)
    assert unpack(record_of(packed(an_event(data))))[0].data == data


@pytest.mark.parametrize("field", range(8))
def test_an_event_with_a_field_of_another_type_is_undecodable(field: int) -> None:
    row: list[object] = list(stored(an_event("x")))
    row[field] = [1.5]
    assert reason(bytes([ROWS, 0xDC, 0, 1]) + msgspec.msgpack.encode(row))
    assert reason(bytes([PLAIN]) + msgspec.msgpack.encode([[value] for value in row]))


def rows_of(*events: Event) -> bytes:
    """A payload as earlier versions wrote it."""
    return (
        b"\xdc" + len(events).to_bytes(2, "big") + b"".join(encode_event(stored(event)) for event in events)
    )


@pytest.mark.parametrize("data", ["short", "long " * 500])
def test_what_earlier_versions_wrote_is_read(data: str) -> None:
    events = [an_event(data, id=str(number)) for number in range(3)]
    rows = rows_of(*events)
    for payload in (bytes([ROWS]) + rows, bytes([ROWS_ZSTD]) + zstd.compress(rows, 1)):
        assert [(event.id, event.data) for event in unpack(record_of(payload, 3))] == [
            (str(n), data) for n in range(3)
        ]


def test_the_bytes_of_each_codec_are_as_they_have_always_been() -> None:
    event = an_event({"n": 1})
    time, data = b"\xb42026-11-23T00:00:00Z", b'\xc4\x07{"n":1}'
    old = b"\x01\xdc\x00\x01\x98\xa11\xa6placed\xa1k" + time + b"\xa2/s\x80\x01" + data
    new = b"\x03\x98\x91\xa11\x91\xa6placed\x91\xa1k\x91" + time + b"\x91\xa2/s\x91\x80\x91\x01\x91" + data
    assert packed(event) == new
    for payload in (old, packed(event)):
        (read,) = unpack(record_of(payload))
        read.lane = read.sequence = None
        assert (read, read.data) == (event, {"n": 1})


def test_what_is_alike_in_all_rows_is_stored_once_and_what_differs_keeps_its_place() -> None:
    alike = [an_event(number) for number in range(100)]
    assert len(packed(*alike)) < len(bytes([ROWS]) + rows_of(*alike)) / 2
    mixed = [
        Event(
            id=str(n),
            type="ab"[n % 2],
            key=f"k{n % 3}",
            data=n,
            source=f"/{n % 2}",
            time=TIMES[n % 2],
            headers={"a": n} if n % 2 else {},
        )
        for n in range(6)
    ]
    read = unpack(record_of(packed(*mixed), 6))
    assert [(r.id, r.type, r.key, r.data, r.source, r.stored_time, r.headers) for r in read] == [
        (m.id, m.type, m.key, m.data, m.source, m.stored_time, m.headers) for m in mixed
    ]


def test_a_header_that_is_true_does_not_become_one() -> None:
    pair = [
        Event(id=i, type="t", key="k", source="/", time=TIMES[0], headers={"a": v})
        for i, v in (("1", True), ("2", 1))
    ]
    assert [type(event.headers["a"]) for event in unpack(record_of(packed(*pair), 2))] == [bool, int]


def test_each_event_has_headers_of_its_own() -> None:
    first, second = unpack(record_of(packed(an_event(), an_event()), 2))
    assert first.headers is not second.headers


@pytest.mark.parametrize("column", range(8))
def test_columns_that_are_not_equally_long_are_undecodable(column: int) -> None:
    columns = [list(values) for values in zip(*[stored(an_event(n)) for n in range(3)], strict=True)]
    del columns[column][-1:]
    payload = bytes([PLAIN]) + msgspec.msgpack.encode(columns)
    assert reason(payload, 3).startswith(("columns of", "holds 2 events"))


def test_a_record_is_bound_to_its_payload_bit_for_bit() -> None:
    record = record_of(packed(an_event()))
    assert not replace(record, payload=record.payload + b"\0").extends(EMPTY_TAIL.chain)
