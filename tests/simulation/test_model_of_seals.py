"""The model of seals: its rules survive every schedule, and each rule that is broken is noticed.

`python -m tests.simulation.models.seals --help` runs more of them.
"""

import pytest

from tests.simulation.models.schedules import Violation
from tests.simulation.models.seals import explore, failures, schedules_until_found
from tests.simulation.models.seals_bugs import BUGS, Bug, ChainFromZero
from tests.simulation.models.seals_drawing import BOUNDED, PROFILES
from tests.simulation.models.seals_plans import Seals

SEEDS = range(150)
SMALLEST = "a batch that spans the children, and a split"


@pytest.mark.parametrize("profile", PROFILES)
def test_the_rules_survive_random_schedules(profile: str) -> None:
    assert failures(SEEDS, profile, Seals()) == []


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_broken_rule_is_noticed(bug: Bug) -> None:
    assert schedules_until_found(bug, bug.schedules_max) is not None


def test_the_rules_survive_every_schedule_of_a_split() -> None:
    is_whole, exploration = explore(BOUNDED[SMALLEST], Seals(), schedules_max=5_000)
    assert is_whole
    assert exploration.states > 1_000


def test_an_exploration_ends_with_the_first_violation() -> None:
    with pytest.raises(Violation) as violation:
        explore(BOUNDED[SMALLEST], ChainFromZero(), schedules_max=5_000)
    assert violation.value.rule == "chain"


def test_a_seed_decides_everything() -> None:
    runs = [failures(range(40), "default", ChainFromZero()) for _ in range(2)]
    assert runs[0] == runs[1] != []
