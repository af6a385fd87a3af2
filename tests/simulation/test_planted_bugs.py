"""Tests of the tester: every planted bug is found by the simulation; a check that cannot fail would find none."""

from dataclasses import replace

import pytest

from eventfabric.testing.simulation import run
from eventfabric.testing.simulation.run import simulate
from eventfabric.testing.simulation.verdict import Result
from tests.simulation.checkers.every import CHECKERS, failures
from tests.simulation.planted_bugs import BUGS
from tests.simulation.planting import Bug, planted
from tests.simulation.profiles import PROFILES
from tests.simulation.test_simulation import SEEDS

MEDIAN_SEEDS_MAX = 50
RARE = 200
"""From this seed on, a bug is too rare for the seeds that are tried without one to be so many."""


DRAIN_STEPS_MAX = 24_000
"""Turns in which a run must drain here, so that it is known sooner if a bug keeps it from that."""


def is_found(bug: Bug, seed: int) -> bool:
    """Tell if the bug's checker finds it in one seed."""
    return CHECKERS[bug.by](simulate(PROFILES[bug.profile].plan(seed))).result is Result.INVALID


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "DRAIN_STEPS_MAX", DRAIN_STEPS_MAX)
    if bug.seed >= SEEDS[bug.profile]:  # others are tried without a bug in any case
        assert failures(simulate(PROFILES[bug.profile].plan(bug.seed))) == []
    with planted(bug):
        # The seed that found it last time first: mostly it still does.
        for seed in (bug.seed, *range(bug.seeds_max)):
            if is_found(bug, seed):
                return
    pytest.fail(f"{bug.what}: not found by {bug.by} in {bug.seeds_max} seeds of profile {bug.profile}")


def test_more_than_half_of_the_bugs_are_found_within_fifty_seeds() -> None:
    bugs = [bug for bug in BUGS if bug.seeds_max <= MEDIAN_SEEDS_MAX]
    assert len(bugs) > len(BUGS) / 2
    assert len(BUGS) >= 25


def test_seeds_that_find_a_bug_are_tried_without_one_too() -> None:
    assert [bug.name for bug in BUGS if SEEDS[bug.profile] <= bug.seed < RARE] == []


def test_the_list_names_checkers_and_profiles_that_there_are() -> None:
    assert {bug.by for bug in BUGS} <= CHECKERS.keys()
    assert {bug.profile for bug in BUGS} <= PROFILES.keys()
    assert len({bug.name for bug in BUGS}) == len(BUGS)


def test_a_bug_that_no_longer_fits_the_code_is_refused_and_nothing_is_left_behind() -> None:
    bug = replace(BUGS[0], before="what nobody wrote")
    with pytest.raises(ValueError, match="allowed: once"), planted(bug):
        pass
    with planted(BUGS[0]):
        assert is_found(BUGS[0], BUGS[0].seed)
    assert not is_found(BUGS[0], BUGS[0].seed)
