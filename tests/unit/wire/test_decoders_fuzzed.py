"""Owns the fuzz tests of what is decoded: whatever stands in an item or a message, one typed error, or a value."""

from collections.abc import Callable
from dataclasses import replace
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
from eventfabric.model.backfill import Backfill
from eventfabric.model.circuit import Circuit
from eventfabric.model.commit import Decided
from eventfabric.model.cursor import START, LaneKey
from eventfabric.model.decision import Decision
from eventfabric.model.doorbell import Doorbell
from eventfabric.model.identity import (
    BatchId,
    Generation,
    HybridTime,
    Lane,
    LaneIndex,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)
from eventfabric.model.marks import Mark, Marks
from eventfabric.model.owner import Owner
from eventfabric.model.parked import Dropped, Failure, Parked, ParkedState, Place, Rest, Settled
from eventfabric.model.record import (
    EMPTY_TAIL,
    Batch,
    Intervention,
    Note,
    Record,
    SkippedBy,
    pin_of,
    record_at,
    skip_at,
)
from eventfabric.model.roster import Roster, digest_of_id
from eventfabric.model.slice import LaneRange, Seam, Slice, SliceProgress
from eventfabric.wire import (
    backfill_item,
    circuit_item,
    cursor_item,
    intervention_item,
    marks_item,
    once_item,
    owner_item,
    parked_item,
    place_item,
    record_item,
    settled_item,
    start_item,
    step_item,
    won_item,
)
from eventfabric.wire.cloudevent import from_cloudevent, parse_cloudevent
from eventfabric.wire.doorbell import from_body, to_body
from eventfabric.wire.keys import Item
from eventfabric.wire.ledger_commit import state_of
from eventfabric.wire.payload_codec import encode_event, pack, unpack, unpack_one
from eventfabric.wire.stream_record import from_stream_record

US: Final = Region("us-east-1")
STREAM: Final = StreamName("orders")
BILLING: Final = SubscriptionName("billing")
LANE: Final = Lane(US, Generation(0), LaneIndex(7))
KEY: Final = LaneKey(STREAM, BILLING, LANE)
TOKEN: Final = b"t" * 16
FAILURE: Final = Failure("ValueError", "no", "trace", "hint", 2, 0, 1_000, 2_000)
ROW: Final = ("e1", "Placed", "k", 2**50, "/s", {"a": True}, 1, b'{"n":1}')
RECORD: Final = record_at(
    EMPTY_TAIL,
    LANE,
    Batch(BatchId(b"b" * 16), 1, frozenset({"Placed"}), pack([ROW]), Note(LANE, SequenceNumber(3))),
    now_ms=2**40,
    retention_seconds=86_400,
)
SEAM: Final = Seam(SequenceNumber(4), EMPTY_TAIL.chain)
SLICE: Final = SliceProgress(Slice(STREAM, LANE, Seam.of(EMPTY_TAIL), SEAM, US, Region("eu-west-1")), SEAM, 4)
BACKFILL: Final = Backfill(
    "b1", STREAM, US, Region("eu-west-1"), (LaneRange(LANE),), 2.5, 8, None, "me", 1_000, version=1
)
PLACES: Final = (
    Place(SequenceNumber(3), SequenceNumber(4), replay=True),
    Place(SequenceNumber(8), SequenceNumber(8)),
)
PARKED: Final = Parked("k/k", "k", ParkedState.RETRYING, PLACES, 5_000, FAILURE, True, b"r", 3)
ROSTER: Final = Roster({digest_of_id("k"): 5}, (b"abc", b"xyz"))
LISTED: Final = replace(START, low=PLACES[0], parked=b"p" * 8, roster=ROSTER)
DROPPED: Final = Dropped("k", (SequenceNumber(4), SequenceNumber(9)), SequenceNumber(20), SequenceNumber(30))
MARK: Final = Mark(
    SequenceNumber(4),
    EMPTY_TAIL.chain,
    cursors={"billing": (0, 4)},
    again=SequenceNumber(2),
    rounds=1,
    whole_ms=5,
)
MARKS: Final = Marks({LaneIndex(7): MARK})
DECISION: Final = Decision(US, BatchId(b"b" * 16), noted_wins=True)

SKIP: Final = skip_at(
    EMPTY_TAIL,
    LANE,
    until=RECORD.tail,
    chain=pin_of(RECORD),
    expires_at=9,
    skipped=SkippedBy("me", "lost", 1),
)

Decode = Callable[[Item], object]


def items() -> dict[str, tuple[Item, Decode]]:
    """Make a good item of each kind, with what decodes it."""
    return {
        "aside": (
            intervention_item.to_item(
                Intervention(LANE, SequenceNumber(4), "me", "far", 1), record_item.to_item(RECORD)
            ),
            lambda item: intervention_item.from_item(item, LANE),
        ),
        "place": (place_item.put(LANE, RECORD.tail)["Item"], place_item.from_item),
        "recent": (record_item.to_item(RECORD), lambda item: record_item.recent([item], more=False)),
        "record": (record_item.to_item(RECORD), record_item.from_item),
        "skip": (record_item.to_item(SKIP), record_item.from_item),
        "cursor": (cursor_item.to_item(KEY, US, START, token=TOKEN, now_ms=1), cursor_item.from_item),
        "cursor with a roster": (
            cursor_item.to_item(KEY, US, LISTED, token=TOKEN, now_ms=1),
            lambda item: state_of([item]),
        ),
        "state": (cursor_item.to_item(KEY, US, START, token=TOKEN, now_ms=1), lambda item: state_of([item])),
        "token": (cursor_item.to_item(KEY, US, START, token=TOKEN, now_ms=1), cursor_item.token_of),
        "parked": (parked_item.to_item(KEY, US, PARKED, token=TOKEN), parked_item.from_item),
        "parked with a rest": (
            parked_item.to_item(
                KEY, US, replace(PARKED, rest=Rest(SequenceNumber(8), SequenceNumber(9))), token=TOKEN
            ),
            parked_item.from_item,
        ),
        "discarded with what waited": (
            settled_item.to_item(
                KEY,
                US,
                Settled(SequenceNumber(4), "discarded", FAILURE, 1, "me", dropped=DROPPED, expires_seconds=9),
            ),
            settled_item.from_item,
        ),
        "settled": (
            settled_item.to_item(KEY, US, Settled(SequenceNumber(4), "edited", FAILURE, 1, "me", b"r")),
            settled_item.from_item,
        ),
        "won": (won_item.to_item(Decided(KEY, DECISION, 5), token=TOKEN), won_item.from_item),
        "circuit": (circuit_item.to_item(STREAM, BILLING, US, Circuit(version=1)), circuit_item.from_item),
        "owner": (owner_item.to_item(STREAM, BILLING, Owner(US, US, 1, US, version=1)), owner_item.from_item),
        "standing": (
            owner_item.to_item(STREAM, BILLING, Owner(US, US, 1, US, version=1)),
            lambda item: owner_item.standing_of([item], US),
        ),
        "start": (start_item.to_item(STREAM, BILLING, US, HybridTime(5)), start_item.from_item),
        "marks": (
            marks_item.changed_items(STREAM, US, US, Marks(), MARKS)[0][0],
            lambda item: marks_item.from_items([item]),
        ),
        "cursors of marks": (
            marks_item.changed_items(STREAM, US, US, Marks(), MARKS)[1][0],
            lambda item: marks_item.from_items([item]),
        ),
        "backfill": (backfill_item.to_item(BACKFILL), backfill_item.from_item),
        "slice": (backfill_item.slice_to_item("b1", SLICE), backfill_item.slice_from_item),
        "step": (step_item.begun("k", US, owner=5, expires_seconds=9), step_item.from_item),
        "once": (once_item.to_item(RECORD, ROW), once_item.place_of),
        "once compared": (once_item.to_item(RECORD, ROW), lambda item: once_item.differing(item, ROW)),
    }


ITEMS: Final = items()
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
        lambda one: bytes([one[0]]) + msgspec.msgpack.encode(one[1])
    ),
    st.lists(st.lists(VALUES, max_size=2), min_size=8, max_size=8).map(
        lambda columns: b"\3" + msgspec.msgpack.encode(columns)
    ),
    st.tuples(st.sampled_from(b"\2\4"), st.binary(max_size=60)).map(lambda one: bytes([one[0]]) + one[1]),
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
def test_any_dict_is_a_cloudevent_or_refused_as_none(cloudevent: dict[str, Any]) -> None:
    try:
        from_cloudevent(cloudevent)
    except MalformedCloudEventError:
        return
