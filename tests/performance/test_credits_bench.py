"""The benchmark of credits, at a small size: what decision 0083 promises is what the library does."""

import pytest

from scripts.benchmarks.credits import SCENARIOS, targets
from scripts.benchmarks.credits_trial import Scenario, Size, Trial

CHANCE = 0.2
"""Least index where so few events are shared that chance decides."""
SIZE = Size(lanes=8, publishers=4, rate=25.0, calm=60, fall=60, after=30, fair=CHANCE)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_consumer_that_falters_holds_producers_back_and_not_for_longer(scenario: Scenario) -> None:
    figures = Trial(scenario, SIZE).run()
    assert [target for target in targets(scenario, SIZE, figures) if not target.is_met] == []
    assert figures.during <= 1.1 * min(scenario.share, 1.0) * SIZE.rate
