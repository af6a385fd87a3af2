"""The limit of attempts at the same time: how it follows latencies and failures."""

from random import Random

import pytest

from eventfabric.services.delivery.adaptive_limit import RETRY_MS, AdaptiveLimit


class Downstream:
    """Calls that take as long as if all that a limit allows were made at the same time. `places`: made at once."""

    def __init__(
        self, limit: AdaptiveLimit, *, places: int = 64, spread: float = 0.0, took_ms: float = 100
    ) -> None:
        self.limit = limit
        self.places = places
        self.took_ms = took_ms
        self.now_ms = 0
        self._spread, self._random = spread, Random(4)

    def calls(self, count: int) -> list[int]:
        """Make so many calls. Return the limit after each."""
        limits = []
        for _ in range(count):
            waits = max(1.0, self.limit.limit / self.places)
            took_ms = self.took_ms * waits * self._random.lognormvariate(0, self._spread)
            self.now_ms += int(took_ms / self.limit.limit)
            self.limit.succeeded(took_ms, self.now_ms)
            limits.append(self.limit.limit)
        return limits

    def failures(self, count: int) -> list[int]:
        limits = []
        for _ in range(count):
            self.now_ms += 10
            self.limit.failed(self.now_ms)
            limits.append(self.limit.limit)
        return limits


def test_it_begins_with_one_and_grows_to_its_bound_where_nothing_is_slowed_down() -> None:
    downstream = Downstream(AdaptiveLimit(16), spread=0.3)
    limits = downstream.calls(400)
    assert (limits[0], limits[-1]) == (1, 16)
    assert limits == sorted(limits)


@pytest.mark.parametrize("places", [1, 2, 5, 10])
def test_it_settles_where_more_calls_at_the_same_time_only_wait(places: int) -> None:
    downstream = Downstream(AdaptiveLimit(64), places=places, spread=0.2)
    limits = downstream.calls(20_000)[-5_000:]
    assert places <= max(limits) <= 3 * places
    assert max(limits) - min(limits) <= 1


def test_a_downstream_that_takes_longer_whatever_is_asked_of_it_is_asked_as_much_as_before() -> None:
    downstream = Downstream(AdaptiveLimit(16), spread=0.2)
    downstream.calls(1_000)
    downstream.took_ms = 500
    assert downstream.calls(10_000)[-1] == 16


def test_failures_shrink_it_step_by_step_and_it_comes_back_after_them() -> None:
    downstream = Downstream(AdaptiveLimit(16))
    downstream.calls(1_000)
    limits = downstream.failures(60)
    assert limits[-1] == 1
    assert limits == sorted(limits, reverse=True)
    assert downstream.calls(500)[-1] >= 12


def test_a_few_failures_among_many_attempts_leave_it_as_it_is() -> None:
    downstream = Downstream(AdaptiveLimit(16))
    downstream.calls(1_000)
    for _ in range(50):
        downstream.calls(30)
        downstream.failures(1)
    assert downstream.limit.limit == 16


def test_what_was_too_high_is_tried_again_later() -> None:
    downstream = Downstream(AdaptiveLimit(16))
    downstream.calls(1_000)
    downstream.failures(40)
    downstream.now_ms += RETRY_MS
    assert downstream.calls(500)[-1] == 16


def test_attempts_that_are_faster_than_can_be_measured_do_not_count_as_slower() -> None:
    limit = AdaptiveLimit(16)
    for number in range(2_000):
        limit.succeeded(number % 4, number)
    assert limit.limit == 16


def test_a_function_that_begins_during_an_outage_grows_after_it() -> None:
    downstream = Downstream(AdaptiveLimit(16))
    downstream.failures(100)
    assert downstream.limit.limit == 1
    assert downstream.calls(500)[-1] == 16
