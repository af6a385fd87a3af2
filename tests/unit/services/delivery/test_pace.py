"""Attempts that fit into what is left of an invocation."""

import pytest

from eventfabric.services.delivery.pace import Pace
from eventfabric.testing.memory.clock import MemoryClock


class Paced:
    """A pace, and an invocation that ends in so many milliseconds from its start."""

    def __init__(self, lasts_ms: int = 1000) -> None:
        self.clock = MemoryClock()
        self.pace = Pace(self.clock)
        self.lasts_ms = lasts_ms
        self.next_invocation()

    def next_invocation(self) -> None:
        self.deadline_ms = self.clock.now_ms() + self.lasts_ms

    def attempt(self, took_ms: int) -> None:
        self.began_ms = self.pace.begin(self.deadline_ms)
        assert self.began_ms is not None
        self.clock.advance(took_ms / 1000)
        self.pace.ended(self.began_ms)

    def fits(self) -> bool:
        return self.pace.begin(self.deadline_ms) is not None

    def room(self) -> int:
        return self.pace.room_for(self.deadline_ms)


@pytest.mark.parametrize(("spent_ms", "fits", "room"), [(0, True, 1), (999, True, 1), (1000, False, 0)])
def test_the_first_attempt_fits_as_long_as_there_is_time(spent_ms: int, fits: bool, room: int) -> None:
    paced = Paced()
    paced.clock.advance(spent_ms / 1000)
    assert (paced.room(), paced.fits()) == (room, fits)


@pytest.mark.parametrize(("took_ms", "fits", "room"), [(500, True, 1), (501, False, 0), (333, True, 2)])
def test_a_further_one_fits_where_it_may_take_as_long(took_ms: int, fits: bool, room: int) -> None:
    paced = Paced()
    paced.attempt(took_ms)
    assert (paced.room(), paced.fits()) == (room, fits)


def test_attempts_that_take_no_time_fit_by_the_millisecond() -> None:
    paced = Paced()
    paced.attempt(0)
    assert (paced.room(), paced.fits()) == (1000, True)


def test_a_fresh_invocation_has_room_for_one_however_long_they_take() -> None:
    paced = Paced()
    paced.attempt(5000)
    assert (paced.room(), paced.fits()) == (0, False)
    paced.next_invocation()
    assert (paced.room(), paced.fits()) == (1, True)
    paced.pace.ended(paced.clock.steady_ms())
    assert (paced.room(), paced.fits()) == (0, False)


def test_a_slow_attempt_is_forgotten_by_a_tenth_with_each_quick_one() -> None:
    paced = Paced(10_000)
    paced.attempt(1000)
    rooms = []
    for _ in range(4):
        paced.next_invocation()
        rooms.append(paced.room())
        paced.attempt(0)
    assert rooms == [10, 11, 12, 13]
    paced.attempt(3000)
    paced.next_invocation()
    assert paced.room() == 3
