"""Tests of both handlers under faults: one must pass, and the other must be found out."""

from collections.abc import Callable

import pytest

from eventfabric.testing.idempotency import HandlersReport
from loyalty.points import add_unsafely


@pytest.mark.eventfabric_simulation(setup="loyalty.points:make")
def test_points_are_right_whatever_crashes(simulate_handlers: Callable[..., HandlersReport]) -> None:
    simulate_handlers(range(10)).check()


@pytest.mark.eventfabric_simulation(setup="loyalty.points:make", handlers={"points": add_unsafely})
def test_points_that_are_added_at_once_are_wrong_after_a_crash(
    simulate_handlers: Callable[..., HandlersReport],
) -> None:
    report = simulate_handlers(range(5))
    assert report.found == ["points: dynamodb example-points: points"]
