"""The form of stored items, attribute by attribute and byte by byte: old readers and bills depend on it."""

from typing import Any, Final

import pytest

from eventfabric import limits
from eventfabric.errors import ThrottledError, UndecodableMessageError, UndecodableRecordError
from eventfabric.model import START, Intervention, SequenceNumber, Write, WriteRefused
from eventfabric.wire import cursor_item, fields, intervention_item, place_item, record_item, step_item
from eventfabric.wire.batch import EVENTS_BYTES_MAX, row_bytes, split_rows
from eventfabric.wire.item_size import item_bytes, sent_bytes
from eventfabric.wire.keys import once_key
from eventfabric.wire.ledger_commit import CommitRequest
from eventfabric.wire.payload_codec import measured, unpack_at, unpack_measured
from eventfabric.wire.service_errors import Refusal
from eventfabric.wire.stream_record import from_stream_record
from tests.support.stored_items import ITEMS, KEY, LANE, RECORD, ROW, SKIP, TOKEN, US, items

FORMS: Final = {
    "aside": "b:B c:B d:B h:N m:S n:N pk:S qb:S qt:N qw:S sk:N t:SS x:N",
    "place": "c:B e:N h:N pk:S q:N sk:N",
    "record": "b:B c:B d:B h:N m:S n:N pk:S sk:N t:SS x:N",
    "skip": "b:B c:B h:N n:N pk:S qb:S qt:N qw:S sk:N x:N",
    "cursor": "a:N c:B e:N pk:S s:N sk:S u:N v:N w:B",
    "cursor with a roster": "a:N c:B d:B e:N l:L p:B pk:S s:N sk:S t:B u:N v:N w:B",
    "parked": "d:N f:S g:BOOL i:S k:S m:S pk:S q:B r:B sk:S v:N w:B y:B",
    "parked with a rest": "b:B d:N f:S g:BOOL i:S k:S m:S pk:S q:B r:B sk:S v:N w:B y:B",
    "discarded with what waited": "c:S expiration:N f:S o:S pk:S q:B sk:S u:N",
    "settled": "c:S f:S o:S pk:S r:B sk:S u:N",
    "won": "expiration:N o:S pk:S sk:S w:B",
    "circuit": "f:S pk:S sk:S v:N",
    "owner": "f:S pk:S sk:S v:N",
    "start": "pk:S sk:S t:N",
    "marks": "m:B pk:S sk:S v:N",
    "cursors of marks": "m:B pk:S sk:S v:N",
    "backfill": "f:S pk:S sk:S v:N",
    "slice": "at:N f:S pk:S sk:S",
    "step": "expiration:N in_progress_expiration:N pk:S sk:S status:S",
    "once": "f:B l:S pk:S s:N sk:N x:N",
}


@pytest.mark.parametrize("kind", FORMS)
def test_an_item_has_the_attributes_that_all_versions_know(kind: str) -> None:
    item = items()[kind][0]
    assert " ".join(f"{name}:{''.join(item[name])}" for name in sorted(item)) == FORMS[kind]


def test_an_item_without_a_key_is_named_so_that_it_is_seen() -> None:
    keys: list[tuple[Any, str]] = [
        ({}, "?"),
        ({"pk": {}}, "?"),
        ({"pk": {"S": "a"}, "sk": {"N": "1"}}, "a 1"),
        (None, "?"),
    ]
    for item, text in keys:
        assert fields.key_text(item) == text


def test_an_item_is_as_large_as_dynamodb_counts_it() -> None:
    # docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    assert item_bytes({"a": {"S": "\u00fcx"}}) == 1 + 3
    assert item_bytes({"a": {"B": b"xyz"}}) == 1 + 3
    assert item_bytes({"a": {"N": "12345"}}) == 1 + 4
    assert item_bytes({"a": {"BOOL": True}, "b": {"NULL": True}}) == 2 + 2
    for kind, values in (("SS", ["xx", "y"]), ("NS", ["11", "2"]), ("BS", [b"xx", b"y"])):
        assert item_bytes({"a": {kind: values}}) == 1 + 3
    assert item_bytes({"a": {"L": [{"S": "xx"}, {"S": "y"}]}}) == 1 + 3 + (1 + 2) + (1 + 1)
    assert item_bytes({"a": {"M": {"k": {"S": "xx"}}}}) == 1 + 3 + 1 + (1 + 2)
    assert item_bytes({"a": memoryview(b"xyz")}) == 1 + 3  # type: ignore[dict-item]  # as some callers have it


def test_of_a_write_all_that_is_sent_of_its_item_counts() -> None:
    key, values, item = {"pk": {"S": "abc"}}, {":v": {"S": "abcd"}}, {"pk": {"S": "abc"}, "x": {"S": "12345"}}
    request: dict[str, Any] = {
        "TableName": "t",
        "Key": key,
        "ExpressionAttributeValues": values,
        "Item": item,
    }
    assert sent_bytes(Write("Update", request)) == item_bytes(key) + item_bytes(values)
    assert sent_bytes(Write("Put", {"Item": item, "ExpressionAttributeValues": values})) == item_bytes(item)
    for action in ("Delete", "ConditionCheck"):
        assert sent_bytes(Write(action, {"Key": key})) == item_bytes(key)
    assert sent_bytes(Write("Put", {"Item": None})) == 0


def test_a_row_may_be_as_large_as_a_record_has_room() -> None:
    around = row_bytes((*ROW[:7], b"x" * 100_000)) - 100_000
    largest = b"x" * (EVENTS_BYTES_MAX - around)
    assert row_bytes((*ROW[:7], largest)) == EVENTS_BYTES_MAX


def test_a_note_of_an_event_has_the_key_that_all_versions_compute() -> None:
    digest = "7fe5ea1607c0ed3f853fc7f0f80109c9"
    assert once_key(US, "/s", "e1") == {"pk": {"S": f"once/us-east-1/{digest}"}, "sk": {"N": "0"}}
    assert once_key(US, "/se", "1") != once_key(US, "/s", "e1")


def test_an_attempt_is_one_crash_more_than_is_noted() -> None:
    most = limits.CRASHES_MAX
    good = {**cursor_item.to_item(KEY, US, START, token=TOKEN, now_ms=1), "n": {"N": str(most)}}
    assert cursor_item.from_item(good).crashes == most
    attempting = {**good, "g": {"BOOL": True}, "n": {"N": str(most - 1)}}
    assert cursor_item.from_item(attempting).crashes == most - 1


def test_a_step_without_an_owner_is_not_released() -> None:
    item = {name: value for name, value in ITEMS["step"][0].items() if name != step_item.OWNER}
    assert not step_item.from_item(item).released
    assert step_item.from_item({**item, step_item.OWNER: {"N": str(step_item.RELEASED)}}).released


def test_an_image_of_no_events_is_no_record() -> None:
    image = {**ITEMS["record"][0], "n": {"N": "0"}}
    with pytest.raises(UndecodableMessageError, match="found 0, allowed: a whole number from 1"):
        from_stream_record({"eventName": "INSERT", "dynamodb": {"NewImage": image}})


def test_an_image_without_a_place_in_its_stream_is_at_none() -> None:
    image = ITEMS["record"][0]
    for change, position in (({"NewImage": image}, ""), ({"NewImage": image, "SequenceNumber": "7"}, "7")):
        news = from_stream_record({"eventName": "INSERT", "dynamodb": change})
        assert news is not None
        assert (news.position, news.lane, news.tail) == (position, LANE, RECORD.tail.sequence)
    with pytest.raises(UndecodableMessageError, match="no change of an item"):
        from_stream_record({"eventName": "INSERT"})


def test_a_record_whose_end_no_reader_could_count_is_refused() -> None:
    last = {**ITEMS["record"][0], "sk": {"N": str(limits.SEQUENCE_MAX)}}
    with pytest.raises(UndecodableRecordError) as raised:
        record_item.from_item(last)
    actual, allowed = f"{limits.SEQUENCE_MAX}", f"a tail of at most {limits.SEQUENCE_MAX}"
    assert raised.value.reason == f"attribute sk: found {actual}, allowed: {allowed}"


def test_a_decision_is_kept_as_long_as_it_says() -> None:
    assert items()["won"][0]["expiration"] == {"N": "5"}


def test_a_type_that_a_record_has_takes_no_more_room_for_types() -> None:
    most = limits.RECORD_TYPES_MAX
    rows = [(f"id{number}", f"type{number % most}", *ROW[2:]) for number in range(most + 9)]
    assert [len(list(part)) for part in split_rows(rows)] == [most + 9]
    more = [*rows, ("other", "another", *ROW[2:]), ("last", "type0", *ROW[2:])]
    assert [len(list(part)) for part in split_rows(more)] == [most + 9, 2]


def test_an_event_that_the_record_does_not_have_names_the_record() -> None:
    for record, sequence in ((SKIP, SKIP.sequence), (RECORD, SequenceNumber(RECORD.tail.sequence))):
        with pytest.raises(UndecodableRecordError) as raised:
            unpack_at(record, sequence)
        assert (raised.value.lane, raised.value.sequence) == (LANE, record.sequence)
        assert "lost" in raised.value.reason or "ends at 1" in raised.value.reason


def request(writes: int = 0) -> CommitRequest:
    return CommitRequest(
        "t",
        KEY,
        US,
        START,
        START,
        parked=(),
        settled=(),
        token=TOKEN,
        now_ms=1,
        writes=[Write("Put", {"TableName": "w", "Item": {}})] * writes,
    )


def cancelled(*codes: str) -> object:
    return request(len(codes)).outcome([Refusal(code, "m", None) for code in (*codes, "None")])


def test_of_a_cancelled_transaction_a_busy_write_is_reported_before_a_refused_one() -> None:
    refused, busy = "ConditionalCheckFailed", "TransactionConflict"
    assert cancelled("None", refused) == WriteRefused(1, refused, "m")
    assert cancelled(refused, busy) == WriteRefused(1, busy, "m", is_busy=True)
    assert cancelled(refused, refused) == WriteRefused(0, refused, "m")
    with pytest.raises(ThrottledError, match="commit: cancelled without a reason"):
        cancelled("None")
    busy_state = [Refusal("None", "", None), Refusal(busy, "", None)]
    with pytest.raises(ThrottledError, match=f"commit: None, {busy}"):
        request(1).outcome(busy_state)


@pytest.mark.parametrize("beyond", [0, 1])
def test_what_is_set_aside_is_kept_whole_where_it_just_fits(beyond: int) -> None:
    about = Intervention(LANE, SequenceNumber(4), "me", "far", 1)
    bare = item_bytes(intervention_item.to_item(about))
    stood = {"d": {"B": b"x" * (limits.ITEM_BYTES_MAX - bare - 1 + beyond)}}
    assert ("d" in intervention_item.to_item(about, stood)) is (not beyond)


@pytest.mark.parametrize("beyond", [0, 1])
def test_of_what_is_set_aside_no_more_goes_than_must(beyond: int) -> None:
    about = Intervention(LANE, SequenceNumber(4), "me", "far", 1)
    large = {"d": {"B": b"x" * limits.ITEM_BYTES_MAX}}
    left = limits.ITEM_BYTES_MAX - item_bytes(intervention_item.to_item(about, large))
    kept = intervention_item.to_item(about, {**large, "e": {"B": b"x" * (left - 1 + beyond)}})
    assert ("e" in kept) is (not beyond)
    assert item_bytes(kept) <= limits.ITEM_BYTES_MAX


def test_what_events_take_in_memory_is_their_content_and_so_much_an_event_and_a_header() -> None:
    (event,), whole = unpack_measured(RECORD)
    content = len(event.payload.content)
    strings_bytes = limits.EVENT_MEMORY_BYTES + limits.HEADER_MEMORY_BYTES * len(event.headers)
    assert len(event.headers) == 1
    assert measured([event]) == content + len(event.key) + strings_bytes
    assert measured([event, event]) == 2 * measured([event])
    assert measured([]) == 0
    assert (
        whole == len(RECORD.payload) - 1 + strings_bytes
    )  # behind the codec, which is one without compression
    assert unpack_measured(SKIP) == ([], 0)


def test_a_lane_s_place_is_read_wherever_it_stands_among_the_newest() -> None:
    place, record = ITEMS["place"][0], ITEMS["record"][0]
    broken = {**record, "sk": {"N": "7"}, "n": {"N": "0"}}
    for newest in ([place, broken, record], [broken, record, place], [record, place, broken]):
        recent = place_item.recent(newest, more=True)
        assert recent.records == (RECORD,)
        assert recent.place == RECORD.tail
        assert (list(recent.unreadable), recent.more) == ([7], True)


def test_a_step_s_token_is_another_at_another_moment_and_of_other_random_bytes() -> None:
    random, other = bytes(range(step_item.OWNER_BYTES)), bytes(step_item.OWNER_BYTES)
    tokens = {step_item.token_of(bits, now_ms) for bits in (random, other) for now_ms in (2**40, 2**40 + 1)}
    assert len(tokens) == 4
    assert {len(token) for token in tokens} == {step_item.OWNER_BYTES}
    assert step_item.token_of(other, 0) == other
