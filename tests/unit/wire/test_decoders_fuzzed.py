"""Fuzzed decoders: whatever stands in an item or a message, they raise one typed error or return a value."""

from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventfabric import limits
from eventfabric.errors import (
    MalformedCloudEventError,
    UndecodableItemError,
    UndecodableMessageError,
    UndecodableRecordError,
)
from eventfabric.model import (
    EMPTY_TAIL,
    BatchId,
    Doorbell,
    HybridTime,
    Record,
    SequenceNumber,
)
from eventfabric.wire import (
    record_item,
)
from eventfabric.wire.cloudevent import parse_cloudevent
from eventfabric.wire.doorbell import from_body, to_body
from eventfabric.wire.payload_codec import encode_event, unpack, unpack_one
from eventfabric.wire.stream_record import from_stream_record
from tests.support.stored_items import ITEMS, LANE, RECORD, ROW, STREAM, TOKEN

NUMBERS: Final = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(["", "-0", "1.5", "1E+30", "1_0", " 5 ", "٣", "NaN", "9" * 5000, str(2**64), str(2**53)]),
)
JSON: Final = st.sampled_from(
    ["", "null", "[]", "{}", '{"version":-1}', "[" * 5000, '{"x":' + "[" * 5000, "1e999", '"\\ud800"']
)
ATTRIBUTES: Final = st.one_of(
    st.none(),
    st.just({}),
    NUMBERS.map(lambda text: {"N": text}),
    st.text(max_size=40).map(lambda text: {"S": text}),
    JSON.map(lambda text: {"S": text}),
    st.binary(max_size=40).map(lambda content: {"B": content}),
    st.lists(st.text(max_size=5), max_size=3).map(lambda texts: {"SS": texts}),
    st.lists(NUMBERS, max_size=3).map(lambda numbers: {"NS": numbers}),
    st.lists(st.binary(max_size=3), max_size=3).map(lambda contents: {"BS": contents}),
    st.lists(NUMBERS.map(lambda text: {"N": text}), max_size=3).map(lambda values: {"L": values}),
    st.sampled_from(
        [{"BOOL": False}, {"BOOL": "x"}, {"NULL": True}, {"M": {}}, {"S": 5}, {"N": 5}, {"B": "x"}, 7]
    ),
)


@pytest.mark.parametrize("kind", ITEMS)
def test_a_good_item_is_read(kind: str) -> None:
    item, decode = ITEMS[kind]
    decode(item)


@pytest.mark.parametrize("kind", ITEMS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_an_item_with_any_fields_is_read_or_refused_by_its_own_error(kind: str, data: st.DataObject) -> None:
    good, decode = ITEMS[kind]
    item = dict(good)
    names = st.sampled_from([*good, "g", "x", "n", "l", "r", "y", "m", "p"])
    for name in data.draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        attribute: Any = data.draw(ATTRIBUTES)
        if attribute is None:
            item.pop(name, None)
        else:
            item[name] = attribute
    try:
        decode(item)
    except (UndecodableItemError, UndecodableRecordError) as error:
        assert len(str(error)) < 1_000
    else:
        decode(item)


@pytest.mark.parametrize("kind", ["backfill", "slice", "circuit", "owner", "parked", "settled"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_json_with_any_values_is_read_or_refused_by_its_own_error(kind: str, data: st.DataObject) -> None:
    good, decode = ITEMS[kind]
    content: Any = msgspec.json.decode(good["f"]["S"])
    where = content
    while isinstance(where, dict) and where:
        name = data.draw(st.sampled_from(sorted(where)))
        if not isinstance(where[name], dict) or data.draw(st.booleans()):
            where[name] = data.draw(
                st.integers(-(2**70), 2**70)
                | st.text(max_size=9)
                | st.none()
                | st.just([])
                | st.floats(0, 1e300)
            )
            break
        where = where[name]
    item = {**good, "f": {"S": msgspec.json.encode(content).decode() if _encodes(content) else "1"}}
    try:
        decode(item)
    except UndecodableItemError as error:
        assert error.field.startswith("f")


def _encodes(content: object) -> bool:
    try:
        msgspec.json.encode(content)
    except (OverflowError, ValueError, msgspec.MsgspecError):
        return False
    return True


VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
PAYLOADS: Final = st.one_of(
    st.binary(max_size=100),
    st.tuples(st.sampled_from(b"\1\3"), VALUES).map(
        lambda pair: bytes([pair[0]]) + msgspec.msgpack.encode(pair[1])
    ),
    st.lists(st.lists(VALUES, max_size=2), min_size=8, max_size=8).map(
        lambda columns: b"\3" + msgspec.msgpack.encode(columns)
    ),
    st.tuples(st.sampled_from(b"\2\4"), st.binary(max_size=60)).map(lambda pair: bytes([pair[0]]) + pair[1]),
)


@settings(max_examples=150, deadline=None)
@given(PAYLOADS, st.integers(1, limits.RECORD_EVENTS_MAX))
def test_any_payload_is_unpacked_or_refused_as_undecodable(payload: bytes, count: int) -> None:
    made = Record(
        LANE,
        SequenceNumber(0),
        count,
        EMPTY_TAIL.chain,
        BatchId(TOKEN),
        HybridTime(0),
        frozenset({"t"}),
        payload,
    )
    try:
        assert len(unpack(made)) == count
    except UndecodableRecordError as error:
        assert (error.lane, error.sequence) == (LANE, 0)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60) | VALUES.map(msgspec.msgpack.encode) | st.just(encode_event(ROW)))
def test_any_replacement_is_read_or_refused_as_undecodable(encoded: bytes) -> None:
    try:
        unpack_one(encoded, LANE, SequenceNumber(4))
    except UndecodableRecordError as error:
        assert error.sequence == 4


BODIES: Final = st.one_of(
    st.text(max_size=60),
    VALUES.map(lambda value: msgspec.json.encode(value).decode()),
    st.fixed_dictionaries(
        {
            "stream": st.text(max_size=40),
            "origin": st.text(max_size=40) | st.just("us-east-1"),
            "lane": st.text("0123456789.", max_size=30) | st.just("0.7"),
            "tail": st.integers(-(2**63), 2**64 - 1),
        },
        optional={"again": st.integers(-(2**63), 2**64 - 1), "failing_ms": st.floats()},
    ).map(lambda value: msgspec.json.encode(value).decode()),
    st.just(to_body(Doorbell(STREAM, LANE, SequenceNumber(4)))),
)


@settings(max_examples=150, deadline=None)
@given(BODIES)
def test_any_body_is_a_doorbell_that_can_be_rung_or_is_refused_as_none(body: str) -> None:
    try:
        bell = from_body(body)
    except UndecodableMessageError:
        return
    assert from_body(to_body(bell)) == bell
    assert 0 < len(bell.group) <= limits.QUEUE_GROUP_CHARACTERS_MAX
    assert bell.group.isascii()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_change_of_a_table_is_news_of_a_lane_or_refused_as_none(data: st.DataObject) -> None:
    image: dict[str, Any] = record_item.to_item(RECORD)
    for name in data.draw(st.lists(st.sampled_from(["pk", "sk", "n", "t"]), max_size=2, unique=True)):
        image[name] = data.draw(ATTRIBUTES)
    change: Any = {"eventName": "INSERT", "dynamodb": {"NewImage": image, "SequenceNumber": "1"}}
    if data.draw(st.booleans()):
        change["dynamodb"] = data.draw(VALUES)
    try:
        appended = from_stream_record(change)
    except UndecodableMessageError:
        return
    assert appended is None or 0 <= appended.tail <= limits.SEQUENCE_MAX


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80) | VALUES.map(lambda value: msgspec.json.encode(value).decode()) | JSON)
def test_any_line_is_a_cloudevent_or_refused_as_none(line: str) -> None:
    try:
        parse_cloudevent(line)
    except MalformedCloudEventError:
        return


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["specversion", "id", "source", "type", "time", "partitionkey", "data", "data_base64", "x"]
        )
        | st.text(max_size=5),
        VALUES | st.just("1.0"),
        max_size=9,
    )
)
def test_any_object_is_a_cloudevent_or_refused_as_none(cloudevent: dict[str, Any]) -> None:
    try:
        parse_cloudevent(msgspec.json.encode(cloudevent))
    except MalformedCloudEventError:
        return
