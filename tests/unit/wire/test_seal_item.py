"""The stored forms of seals, and of what is noted in lanes that were split."""

from dataclasses import replace
from typing import Any, Final

import pytest

from eventfabric.errors import UndecodableItemError, UndecodableRecordError
from eventfabric.model import (
    EMPTY_TAIL,
    START,
    Generation,
    Lane,
    LaneIndex,
    LaneKey,
    Passing,
    Place,
    Region,
    Rest,
    SequenceNumber,
    seal_at,
)
from eventfabric.wire import cursor_item, parked_item, record_item
from eventfabric.wire.envelopes import envelopes_of
from eventfabric.wire.keys import Item
from eventfabric.wire.payload_codec import unpack, unpack_at
from eventfabric.wire.stream_record import from_stream_record
from tests.support.stored_items import KEY, LANE, LISTED, PARKED, TOKEN, US

SEAL: Final = seal_at(EMPTY_TAIL, LANE, now_ms=2**40)
GRANDCHILD: Final = Lane(US, Generation(2), LaneIndex(29))
DEEP: Final = LaneKey(KEY.stream, KEY.subscription, GRANDCHILD)
HERE: Final = Place(SequenceNumber(20), SequenceNumber(21))


def place(sequence: int, lane: Lane | None, *, replay: bool = False) -> Place:
    return Place(SequenceNumber(sequence), SequenceNumber(sequence), replay, lane)


def test_a_seal_comes_back_from_its_item_and_from_its_header() -> None:
    item = record_item.to_item(SEAL)
    assert record_item.from_item(item) == SEAL
    header = {name: value for name, value in item.items() if name in record_item.HEADER_ATTRIBUTES}
    read = record_item.from_item({**header, "d": {"B": b""}})
    assert read == SEAL
    assert read.tail.is_sealed


def test_a_seal_has_no_batch_id_by_which_readers_who_know_no_seals_would_take_it_for_a_skip() -> None:
    assert set(record_item.to_item(SEAL)) == {"pk", "sk", "n", "c", "h", "s"}
    assert record_item.to_item(SEAL)["s"] == {"S": "1.14 1.15"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("s", {"S": "1.0 1.1"}),
        ("s", {"S": ""}),
        ("s", {"N": "1"}),
        ("n", {"N": "2"}),
        ("n", {"N": "0"}),
        ("b", {"B": b"b" * 16}),
        ("t", {"SS": ["Placed"]}),
        ("d", {"B": b"events"}),
        ("x", {"N": "5"}),
        ("m", {"S": f"{LANE}/3"}),
        ("c", {"B": b"short"}),
        ("sk", {"N": str(2**53 - 1)}),
        ("pk", {"S": "@us-east-1/orders"}),
    ],
    ids=str,
)
def test_an_item_that_is_a_seal_only_in_part_is_refused(name: str, value: dict[str, Any]) -> None:
    item: Item = {**record_item.to_item(SEAL), name: value}
    with pytest.raises(UndecodableRecordError):
        record_item.from_item(item)


def test_what_a_later_version_adds_to_a_seal_is_kept() -> None:
    item = {**record_item.to_item(SEAL), "later": {"S": "x"}}
    assert record_item.to_item(record_item.from_item(item)) == item


def test_a_seal_holds_no_event() -> None:
    assert unpack(SEAL) == []
    assert envelopes_of(SEAL) == []
    with pytest.raises(UndecodableRecordError):
        unpack_at(SEAL, SEAL.sequence)


def test_a_seal_is_news_of_its_own_kind() -> None:
    change = {"eventName": "INSERT", "dynamodb": {"NewImage": record_item.to_item(SEAL)}}
    news = from_stream_record(change)
    assert news is not None
    assert (news.lane, news.tail, news.types, news.is_seal) == (LANE, 1, None, True)


def test_passings_come_back_from_a_cursors_item() -> None:
    begun, past = Passing(US, 3, 17), Passing(Region("eu-west-1"), 0, 1)
    cursor = replace(START, begun=begun, past_seal=past)
    item = cursor_item.to_item(DEEP, US, cursor, token=TOKEN, now_ms=1)
    assert cursor_item.from_item(item) == cursor
    assert (item["o"], item["z"]) == ({"S": "us-east-1/3/17"}, {"S": "eu-west-1/0/1"})


def test_a_cursor_of_a_lane_that_was_never_split_is_stored_as_before() -> None:
    item = cursor_item.to_item(KEY, US, LISTED, token=TOKEN, now_ms=1)
    assert not {"o", "z", "y"} & item.keys()


@pytest.mark.parametrize("name", ["o", "z"])
@pytest.mark.parametrize("text", ["", "us-east-1/3", "us-east-1/3/x", "us-east-1/03/1", "US/1/1", "a/1/2/3"])
def test_a_passing_that_cannot_be_is_refused(name: str, text: str) -> None:
    item = cursor_item.to_item(DEEP, US, START, token=TOKEN, now_ms=1) | {name: {"S": text}}
    with pytest.raises(UndecodableItemError):
        cursor_item.from_item(item)


def test_the_first_waiting_event_may_stand_in_a_lane_above() -> None:
    cursor = replace(LISTED, low=place(5, LANE))
    item = cursor_item.to_item(DEEP, US, cursor, token=TOKEN, now_ms=1)
    assert cursor_item.from_item(item) == cursor


def test_waiting_events_and_the_rest_come_back_with_the_lanes_above_in_which_they_stand() -> None:
    child = GRANDCHILD.parent
    places = (place(3, LANE, replay=True), place(4, LANE), place(9, child), HERE)
    rest = Rest(SequenceNumber(30), SequenceNumber(31))
    for parked in (
        replace(PARKED, waiting=places),
        replace(PARKED, waiting=places, rest=rest),
        replace(PARKED, waiting=places[:3], rest=replace(rest, lane=child)),
        replace(PARKED, waiting=(), rest=replace(rest, lane=LANE)),
        replace(PARKED, waiting=(HERE,)),
    ):
        item = parked_item.to_item(DEEP, US, parked, token=TOKEN)
        assert parked_item.from_item(item) == parked
        assert parked.rest is None or parked.rest.place.lane == parked.rest.lane


def test_a_key_that_waits_in_its_own_lane_is_stored_as_before() -> None:
    assert not {"z", "o"} & parked_item.to_item(KEY, US, PARKED, token=TOKEN).keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("z", {"B": b"\x91\x00"}),
        ("z", {"B": b"\x92\x02\x01"}),
        ("z", {"B": b"\x94\x01\x01\x00\x01"}),
        ("z", {"B": b"\x92\xff\x01"}),
        ("z", {"B": b"\x92\x00\xff"}),
        ("z", {"S": "x"}),
        ("o", {"N": "2"}),
        ("o", {"S": "0"}),
    ],
    ids=str,
)
def test_places_in_lanes_that_are_not_above_are_refused(name: str, value: dict[str, Any]) -> None:
    parked = replace(PARKED, rest=Rest(SequenceNumber(8), SequenceNumber(9)))
    item = parked_item.to_item(DEEP, US, parked, token=TOKEN) | {name: value}
    with pytest.raises(UndecodableItemError):
        parked_item.from_item(item)
