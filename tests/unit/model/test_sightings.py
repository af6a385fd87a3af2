"""Arrival times of a lane's events, whatever their producers' clocks say."""

import pytest

from eventfabric import limits
from eventfabric.model import SequenceNumber, Sighting, Sightings

NOW = 1_000_000


def sightings(*seen: tuple[int, int]) -> Sightings:
    return Sightings(tuple(Sighting(SequenceNumber(tail), at_ms) for tail, at_ms in seen))


def arrived_ms(of: Sightings, sequence: int, *, hint_ms: int, quiet_ms: int = 0) -> int:
    return of.arrived_ms(SequenceNumber(sequence), hint_ms=hint_ms, quiet_ms=quiet_ms, now_ms=NOW)


SEEN = sightings((40, 100), (55, 400), (60, 700))


@pytest.mark.parametrize(
    ("sequence", "hint_ms", "arrived"),
    [
        (45, 250, 250),  # as its producer says
        (45, 9_999_999, 400),  # it was seen by then
        (45, 7, 100),  # it was not there then
        (40, 250, 250),
        (39, 250, 100),
        (39, 20, 20),
        (57, 9_999_999, 700),
        (60, 9_999_999, NOW),
        (60, 0, 700),
    ],
)
def test_a_producers_time_counts_between_the_looks_that_bound_it(
    sequence: int, hint_ms: int, arrived: int
) -> None:
    assert arrived_ms(SEEN, sequence, hint_ms=hint_ms) == arrived


@pytest.mark.parametrize(("quiet_ms", "arrived"), [(0, 5), (800, 800), (9_999_999, NOW)])
def test_a_look_that_saw_nothing_bounds_it_too(quiet_ms: int, arrived: int) -> None:
    assert arrived_ms(Sightings(), 3, hint_ms=5, quiet_ms=quiet_ms) == arrived


def test_a_tail_is_noted_when_the_lane_has_grown() -> None:
    seen = sightings((40, 100))
    assert seen.with_tail(SequenceNumber(40), 200) == seen
    assert seen.with_tail(SequenceNumber(30), 200) == seen
    assert seen.with_tail(SequenceNumber(41), 200) == sightings((40, 100), (41, 200))


def test_of_many_sightings_the_oldest_and_the_newest_are_kept() -> None:
    seen = Sightings()
    for number in range(1, 50):
        seen = seen.with_tail(SequenceNumber(number), number)
    assert len(seen.seen) == limits.SIGHTINGS_MAX
    assert seen.seen[0] == Sighting(SequenceNumber(1), 1)
    assert [sighting.tail for sighting in seen.seen[-4:]] == [46, 47, 48, 49]


@pytest.mark.parametrize(
    ("sequence", "kept"), [(39, SEEN.seen), (40, SEEN.seen), (57, SEEN.seen[1:]), (99, SEEN.seen[2:])]
)
def test_what_says_nothing_of_later_events_is_forgotten(sequence: int, kept: tuple[Sighting, ...]) -> None:
    assert SEEN.from_(SequenceNumber(sequence)).seen == kept


@pytest.mark.parametrize(("sequence", "shown"), [(59, True), (60, False)])
def test_an_event_was_seen_where_the_lane_went_on_behind_it(sequence: int, *, shown: bool) -> None:
    assert SEEN.shows(SequenceNumber(sequence)) is shown
    assert not Sightings().shows(SequenceNumber(sequence))
