"""Parked keys after each thing that can happen to them."""

from dataclasses import replace

import pytest

from eventfabric.model import (
    START,
    BatchId,
    Decision,
    Failure,
    LaneState,
    Parked,
    ParkedChange,
    ParkedState,
    Place,
    Region,
    Rest,
    SequenceNumber,
    after_changes,
    digest_of,
)

FAILURE = Failure("E", "no", "trace", "", 3, 2, 100, 200, "7", "trace id", "id", "placed")
HOME, AWAY = Region("us-east-1"), Region("eu-west-1")


def place(sequence: int, *, replay: bool = False) -> Place:
    return Place(SequenceNumber(sequence), SequenceNumber(sequence), replay)


def parked(*sequences: int, id: str = "k", version: int = 1) -> Parked:
    waiting = tuple(place(sequence) for sequence in sequences)
    return Parked(id, id, ParkedState.RETRYING, waiting, due_ms=1000, failure=FAILURE, version=version)


@pytest.mark.parametrize(("sequence", "waiting"), [(4, [3, 5]), (5, [3, 5]), (6, [3, 5, 6])])
def test_an_event_joins_the_end_and_only_once(sequence: int, waiting: list[int]) -> None:
    joined = parked(3, 5).joined_by(place(sequence, replay=True))
    assert [place.sequence for place in joined.waiting] == waiting
    assert [place.replay for place in joined.waiting] == [number == 6 for number in waiting]


def test_the_next_event_has_had_no_attempt_and_no_name_yet() -> None:
    first = replace(parked(3, 5), attempting=True, replacement=b"edited")
    second = first.without_first()
    assert second is not None
    assert (second.waiting, second.attempting, second.replacement) == ((place(5),), False, None)
    failure = second.failure
    assert (failure.attempts, failure.crashes) == (0, 0)
    assert (failure.event_id, failure.event_type, failure.trace_id) == ("", "", "")
    assert (failure.error_type, failure.message, failure.code_version) == ("E", "no", "7")


@pytest.mark.parametrize(("now_ms", "due"), [(999, False), (1000, True), (1001, True)])
def test_a_key_is_due_from_its_time_on_unless_it_is_dead(now_ms: int, due: bool) -> None:
    assert parked(3).is_due(now_ms) is due
    assert not replace(parked(3), state=ParkedState.DEAD).is_due(now_ms)


def test_after_a_commit_each_changed_key_has_its_next_version_and_freed_ones_are_gone() -> None:
    grown, freed, left = parked(1, id="grown", version=4), parked(2, id="freed"), parked(3, id="left")
    new = parked(9, id="new", version=0)
    changes = [
        ParkedChange(grown, grown.joined_by(place(9))),
        ParkedChange(freed, None),
        ParkedChange(None, new),
        ParkedChange(None, None),
    ]
    after = after_changes({parked.id: parked for parked in (grown, freed, left)}, changes)
    assert after == {
        "grown": replace(grown.joined_by(place(9)), version=5),
        "left": left,
        "new": replace(new, version=1),
    }


class TestCursor:
    def test_beside_parked_keys_it_names_the_first_event_that_waits_and_which_keys_they_are(self) -> None:
        keys = {"b": parked(7, 8, id="b"), "a": replace(parked(id="a"), waiting=(place(3, replay=True),))}
        beside = START.beside(keys)
        assert (beside.low, beside.parked) == (place(3), digest_of(keys))
        assert beside.low is not None
        assert beside.low.replay is False

    def test_beside_none_it_says_nothing_of_those_that_are_gone(self) -> None:
        before = START.beside({"k": parked(3)})
        assert before.beside({}) == START
        assert START.beside({}) is START

    def test_which_keys_stand_beside_it_reads_the_same_in_any_version_of_this_code(self) -> None:
        keys = {"käse": parked(3, id="käse", version=12), "a": parked(7, id="a")}
        assert digest_of(keys).hex() == "df54c55d0fa83c4b"


class TestLaneState:
    def test_of_a_lane_that_nobody_wrote_it_says_so(self) -> None:
        state = LaneState({})
        assert (state.written_ms, state.epoch, state.latest) == (0, 0, None)

    def test_it_was_written_when_any_region_wrote_last(self) -> None:
        state = LaneState({HOME: replace(START, written_ms=5), AWAY: replace(START, written_ms=9, epoch=2)})
        assert (state.written_ms, state.epoch, state.latest) == (9, 2, AWAY)

    def test_a_batch_of_which_two_regions_disagree_is_not_stepped_over(self) -> None:
        clear, unclear, kept = (BatchId(bytes([number]) * 16) for number in range(3))
        decisions = frozenset(
            [
                Decision(HOME, clear, noted_wins=True),
                Decision(HOME, unclear, noted_wins=True),
                Decision(AWAY, unclear, noted_wins=False),
                Decision(HOME, kept, noted_wins=False),
            ]
        )
        state = LaneState({}, decisions=decisions)
        assert state.won == {clear}
        assert state.won_by(HOME) == {clear, unclear}
        assert not state.won_by(AWAY)
        assert (state.is_decided(clear, None), state.is_decided(clear, AWAY)) == (True, False)


class TestBefore:
    """The rest of a parked key when the cursor goes back."""

    def test_nothing_changes_where_all_of_it_waits_before_that_place(self) -> None:
        key = parked(3, 5)
        assert key.before(SequenceNumber(6)) is key

    @pytest.mark.parametrize(("sequence", "left"), [(5, (3,)), (4, (3,)), (6, (3, 5))])
    def test_what_waits_there_or_behind_it_is_dropped(self, sequence: int, left: tuple[int, ...]) -> None:
        key = parked(3, 5, 9)
        assert key.before(SequenceNumber(sequence)) == replace(
            key, waiting=tuple(place(number) for number in left)
        )

    @pytest.mark.parametrize(("start", "holds"), [(0, True), (5, True), (6, False), (9, False)])
    def test_what_waits_there_or_behind_it_is_new_unless_it_is_a_replay(
        self, start: int, holds: bool
    ) -> None:
        key = replace(parked(3, 5), waiting=(place(3, replay=True), place(5), place(8, replay=True)))
        assert key.holds_new(SequenceNumber(start), SequenceNumber(9)) is holds

    @pytest.mark.parametrize(
        ("since", "until", "start", "holds"),
        [
            (0, 0, 7, True),
            (4, 9, 7, False),
            (4, 8, 7, True),
            (6, 9, 5, True),
            (6, 9, 6, False),
            (4, 9, 1, False),
        ],
    )
    def test_a_rest_reaches_up_to_the_cursor_and_is_new_where_it_is_not_marked(
        self, since: int, until: int, start: int, holds: bool
    ) -> None:
        marks = Rest(SequenceNumber(4), SequenceNumber(4), SequenceNumber(since), SequenceNumber(until))
        key = replace(parked(3), waiting=(place(3, replay=True),), rest=marks)
        assert key.holds_new(SequenceNumber(start), SequenceNumber(9)) is holds

    @pytest.mark.parametrize("sequence", [0, 2, 3])
    def test_nothing_is_left_where_all_of_it_waits_there_or_behind_it(self, sequence: int) -> None:
        assert parked(3, 5).before(SequenceNumber(sequence)) is None
