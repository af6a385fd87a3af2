"""The model of credits: its rules hold in every scenario, and each planted bug is found."""

import pytest

from tests.simulation.models.credits import main, try_out
from tests.simulation.models.credits_bugs import BUGS, Bug
from tests.simulation.models.credits_checks import jain, wrong_with
from tests.simulation.models.credits_item import read_units
from tests.simulation.models.credits_rules import Account, Rules, Settings
from tests.simulation.models.credits_scenarios import SCENARIOS
from tests.simulation.models.credits_states import (
    Explored,
    Steps,
    WrongState,
    begin,
    circle_stops,
    explore,
)

RULES = Rules()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_rules_hold(scenario: str) -> None:
    assert wrong_with(try_out(scenario)) == []


def explored(rules: Rules, *, lanes: int = 1, events: int = 2, faults: int = 2) -> Explored:
    return explore(begin(lanes=lanes, publishers=2, events=events, faults=faults), Steps(rules).of)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.rules.__name__)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    if bug.scenario == "states":
        with pytest.raises(WrongState):
            explored(bug.rules(), events=3, faults=0)
    else:
        # Chance decides who reads first: some seeds are kind to a bug.
        assert any(wrong_with(try_out(bug.scenario, rules=bug.rules(), seed=seed)) for seed in range(8))


@pytest.mark.parametrize(("lanes", "faults"), [(1, 2), (2, 1)])
def test_events_get_out_of_every_state(lanes: int, faults: int) -> None:
    outcome = explored(RULES, lanes=lanes, faults=faults)
    assert outcome.states > 5_000
    assert outcome.stuck == 0


def test_a_copy_that_is_never_made_again_leaves_events_waiting() -> None:
    bug = next(bug.rules for bug in BUGS if bug.rules.__name__ == "CopiesNothingAgain")
    assert explored(bug()).stuck > 0


def test_runs_of_two_lanes_that_write_the_whole_item_lower_each_others_grants() -> None:
    bug = next(bug.rules for bug in BUGS if bug.rules.__name__ == "WholeItemWritten")
    with pytest.raises(WrongState):
        explored(bug(), lanes=2, faults=0)


@pytest.mark.parametrize(
    ("streams", "copies", "stops"), [(2, 1, True), (3, 1, True), (1, 2, True), (1, 1, False)]
)
def test_gates_in_a_circle_can_wait_for_each_other(streams: int, copies: int, stops: bool) -> None:
    assert circle_stops(streams=streams, window=3, copies=copies) is stops


def test_an_account_forgets_within_minutes() -> None:
    account = Account()
    for second in range(1, 121):
        account = account.after(5, float(second))
    assert 4.5 < account.rate < 5.5
    later = account.after(1, 720.0)
    assert later.rate < 0.1
    assert account.best / 2.1 < later.best < account.best / 1.9


def test_a_lane_behind_its_window_is_granted_half_of_what_it_drains() -> None:
    account = Account(granted=1_000, place=100)
    assert RULES.grant(account, 300, 50, 1_000) == 1_100
    assert RULES.grant(account, 990, 500, 1_000) == 1_490


def test_a_lane_in_which_nothing_was_ever_granted_begins_at_its_tail() -> None:
    account, is_due = RULES.decide(Settings(), Account(), 100, 5_000, now=0.0)
    assert is_due
    assert account.granted == 5_016


@pytest.mark.parametrize(
    ("count", "tail", "grant", "atomic", "alone", "fits"),
    [
        (5, 7, None, False, False, 5),
        (5, 7, 7, False, True, 0),
        (5, 7, 7, True, True, 0),
        (5, 7, 10, True, False, 5),
        (5, 7, 10, False, True, 3),
        (5, 0, 8, False, False, 2),
        (5, 7, 8, False, False, 1),
    ],
)
def test_a_record_fits_into_its_credit(
    count: int, tail: int, grant: int | None, atomic: bool, alone: bool, fits: int
) -> None:
    assert RULES.fitting(count, tail, grant, atomic=atomic, alone=alone) == fits


def test_one_read_unit_is_for_so_many_lanes() -> None:
    assert [read_units(lanes) for lanes in (1, 64, 448, 512, 4_096)] == [0.5, 0.5, 0.5, 1.0, 4.5]


def test_jains_index_is_one_if_all_are_equal() -> None:
    assert jain([5, 5, 5]) == pytest.approx(1)
    assert jain([1, 0, 0, 0]) == 0.25
    assert jain([0, 0]) == 0


def test_the_command_counts_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trickle"]) == 0
    assert main(["trickle", "--bug", "WindowOfNothing"]) == 1
    assert "wait for ever" in capsys.readouterr().out
