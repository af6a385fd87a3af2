"""Planted bugs stand where their code stands now: whoever moves that sees it here, and not an hour later."""

import pytest

from tests.simulation.planted_bugs import BUGS
from tests.simulation.planted_reads import READS
from tests.simulation.planting import Bug, planted
from tests.simulation.test_planted_conditions import CONDITIONS


@pytest.mark.parametrize(
    "bug", [*BUGS, *(bug for bug, _ in CONDITIONS), *(bug for bug, _ in READS)], ids=lambda bug: bug.name
)
def test_a_planted_bug_fits_the_code(bug: Bug) -> None:
    with planted(bug):
        pass
