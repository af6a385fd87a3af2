"""Stretches: what of a page can be delivered from a cursor on, and the place of each of its events."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from eventfabric.errors import DivergenceError, UndecodableRecordError
from eventfabric.model import (
    EVERYTHING,
    START,
    Cursor,
    Note,
    Place,
    Record,
    SequenceNumber,
    SubscriptionFilter,
    chain_of,
    to_ms,
)
from eventfabric.services.delivery.stretch import SteppedOver, Stretch
from tests.support.memory_fabric import AWAY, LANE, event, lane
from tests.support.messages import TextWith
from tests.support.subscribed_stream import SubscribedStream

TYPES = ["placed", "paid", "viewed"]
PAID = SubscriptionFilter(frozenset({"paid"}))


def page(records: int = 3, events: int = 3) -> list[Record]:
    """Records of as many events, one of each type, named by their sequence."""
    fabric = SubscribedStream()
    for number in range(records):
        names = range(number * events, (number + 1) * events)
        fabric.put(*(event(f"e{name}", type=TYPES[name % 3]) for name in names))
    return fabric.records()


def noted(records: Sequence[Record]) -> list[Record]:
    """Return the records, each with a note of where else it may be."""
    chain, made = START.chain, []
    for record in records:
        changed = replace(record, note=Note(lane(0, AWAY), SequenceNumber(0)))
        made.append(replace(changed, chain=chain_of(chain, changed)))
        chain = made[-1].chain
    return made


def ids(stretch: Stretch) -> list[str]:
    return [str(event.id) for event in stretch.events]


def cursor_at(records: Sequence[Record], sequence: int, **changes: object) -> Cursor:
    """The cursor at a sequence."""
    return replace(Stretch(START, records, EVERYTHING).cursor_at(SequenceNumber(sequence)), **changes)  # type: ignore[arg-type]  # fields of a cursor


def test_a_whole_page_is_taken_and_nothing_else_is_reported_of_it() -> None:
    records = page()
    stretch = Stretch(START, records, EVERYTHING)
    assert ids(stretch) == [f"e{number}" for number in range(9)]
    assert stretch.sequences == list(range(9))
    assert (stretch.start, stretch.end, stretch.records) == (START, 9, records)
    assert (stretch.late, stretch.hole, stretch.cut, stretch.replay) == (False, False, False, False)
    assert (stretch.stop, stretch.noted) == (None, [])
    assert stretch.oldest_ms == to_ms(records[0].time)


def test_an_empty_page_has_nothing_and_ends_where_it_starts() -> None:
    cursor = replace(START, sequence=SequenceNumber(4), base=SequenceNumber(3))
    stretch = Stretch(cursor, [], EVERYTHING)
    assert (ids(stretch), stretch.end, stretch.oldest_ms) == ([], 4, None)


def test_from_the_middle_of_a_record_only_what_is_left_of_it_is_taken() -> None:
    records = page()
    stretch = Stretch(cursor_at(records, 4), records[1:], EVERYTHING)
    assert (ids(stretch), stretch.sequences) == (["e4", "e5", "e6", "e7", "e8"], [4, 5, 6, 7, 8])


def test_only_wanted_types_are_taken_and_records_without_any_are_passed() -> None:
    records = page(records=9, events=1)
    stretch = Stretch(START, records, PAID)
    assert (ids(stretch), stretch.sequences, stretch.end) == (["e1", "e4", "e7"], [1, 4, 7], 9)


def test_where_each_event_stands_and_what_is_done_before_it() -> None:
    records = page()
    stretch = Stretch(START, records, PAID)
    assert [stretch.place(index) for index in range(3)] == [
        Place(SequenceNumber(3 * number), SequenceNumber(3 * number + 1)) for number in range(3)
    ]
    assert [stretch.before(index) for index in range(5)] == [1, 4, 7, 9, 9]


@pytest.mark.parametrize("sequence", range(10))
def test_a_cursor_within_it_knows_its_record_and_the_chain_before_that(sequence: int) -> None:
    records = page()
    cursor = cursor_at(records, sequence)
    base = sequence // 3 * 3
    assert (cursor.sequence, cursor.base) == (sequence, base)
    assert cursor.chain == (records[base // 3 - 1].chain if base else START.chain)


def test_crashes_are_those_of_the_event_at_the_cursor_and_of_no_later_one() -> None:
    records = page()
    stretch = Stretch(replace(START, crashes=2, attempting=True), records, EVERYTHING)
    assert [stretch.cursor_at(SequenceNumber(number)).crashes for number in (0, 1, 3)] == [2, 0, 0]
    assert not stretch.cursor_at(SequenceNumber(0)).attempting


class TestEndsEarly:
    def test_at_a_hole(self) -> None:
        records = page()
        stretch = Stretch(START, [records[0], records[2]], EVERYTHING)
        assert (ids(stretch), stretch.end) == (["e0", "e1", "e2"], 3)
        assert (stretch.hole, stretch.stop, stretch.cut) == (True, None, False)

    def test_at_a_record_that_lies_over_another(self) -> None:
        records = page()
        over = replace(records[1], sequence=SequenceNumber(2))
        stretch = Stretch(START, [records[0], over, records[2]], EVERYTHING)
        assert (stretch.end, stretch.hole) == (3, False)
        assert isinstance(stretch.stop, DivergenceError)
        assert (stretch.stop.lane, stretch.stop.sequence) == (LANE, 2)
        assert stretch.stop.reason == TextWith("sequence 3")

    def test_at_a_record_that_is_not_what_its_chain_says(self) -> None:
        records = page()
        stretch = Stretch(START, [records[0], replace(records[1], count=4), records[2]], EVERYTHING)
        assert (ids(stretch), stretch.end, stretch.hole) == (["e0", "e1", "e2"], 3, False)
        assert isinstance(stretch.stop, DivergenceError)
        assert (stretch.stop.lane, stretch.stop.sequence) == (LANE, 3)
        assert stretch.stop.reason == TextWith("chain")

    def test_at_a_record_that_cannot_be_read_unless_nobody_wants_it(self) -> None:
        records = page(records=2)
        broken = replace(records[1], payload=b"\xff?")
        broken = replace(broken, chain=chain_of(records[0].chain, broken))
        stretch = Stretch(START, [records[0], broken], EVERYTHING)
        assert isinstance(stretch.stop, UndecodableRecordError)
        assert (stretch.end, ids(stretch)) == (3, ["e0", "e1", "e2"])
        passed = Stretch(START, [records[0], broken], SubscriptionFilter(frozenset({"refunded"})))
        assert (passed.stop, passed.end) == (None, 6)


class TestReplay:
    @pytest.mark.parametrize("until", range(1, 9))
    def test_it_ends_where_the_new_events_begin(self, until: int) -> None:
        records = page()
        stretch = Stretch(replace(START, replay_until=SequenceNumber(until)), records, EVERYTHING)
        assert (stretch.replay, stretch.end, stretch.cut) == (True, until, True)
        assert ids(stretch) == [f"e{number}" for number in range(until)]
        assert stretch.oldest_ms is None
        assert stretch.place(0).replay

    def test_one_of_all_the_page_is_not_cut(self) -> None:
        stretch = Stretch(replace(START, replay_until=SequenceNumber(9)), page(), EVERYTHING)
        assert (stretch.end, stretch.cut) == (9, False)

    def test_a_cursor_within_it_is_a_replays_up_to_its_end(self) -> None:
        stretch = Stretch(replace(START, replay_until=SequenceNumber(5)), page(), EVERYTHING)
        assert [stretch.cursor_at(SequenceNumber(number)).replay_until for number in (0, 4, 5)] == [5, 5, 0]

    @pytest.mark.parametrize(("since", "ends"), [(1, 1), (5, 5), (9, 9)])
    def test_up_to_where_marks_begin_events_are_no_replays_though_one_is_under_way(
        self, since: int, ends: int
    ) -> None:
        cursor = replace(START, replay_from=SequenceNumber(since), replay_until=SequenceNumber(9))
        stretch = Stretch(cursor, page(), EVERYTHING)
        assert (stretch.replay, stretch.end, stretch.place(0).replay) == (False, ends, False)
        assert stretch.oldest_ms is None
        after = stretch.cursor_at(SequenceNumber(ends))
        assert (after.replay_from, after.replay_until) == ((0, 0) if ends == 9 else (since, 9))
        assert after.is_replay is (ends < 9)

    def test_behind_its_end_all_is_new(self) -> None:
        records = page()
        stretch = Stretch(cursor_at(records, 5, replay_until=SequenceNumber(5)), records[1:], EVERYTHING)
        assert (stretch.replay, ids(stretch), stretch.cut) == (False, ["e5", "e6", "e7", "e8"], False)


class TestNoted:
    def test_wanted_records_with_a_note_are_named(self) -> None:
        records = noted(page(records=3, events=1))
        assert Stretch(START, records, EVERYTHING).noted == records
        assert Stretch(START, records, PAID).noted == records[1:2]

    def test_not_too_many_are_taken_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("eventfabric.limits.NOTED_RECORDS_MAX", 2)
        records = noted(page(records=3))
        stretch = Stretch(START, records, EVERYTHING)
        assert (stretch.noted, stretch.records, stretch.end) == (records[:2], records[:2], 6)
        assert (stretch.cut, stretch.hole, stretch.stop) == (True, False, None)
        whole = Stretch(START, records[:2], EVERYTHING)
        assert (len(whole.noted), whole.cut) == (2, False)

    def test_of_a_batch_that_is_delivered_elsewhere_no_event_is_taken(self) -> None:
        records = page()
        stepped_over = SteppedOver()
        stepped_over.first.add(records[1].batch_id)
        stretch = Stretch(START, records, EVERYTHING, stepped_over)
        assert (ids(stretch), stretch.end) == (["e0", "e1", "e2", "e6", "e7", "e8"], 9)
