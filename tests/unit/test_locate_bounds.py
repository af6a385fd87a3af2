"""Owns to the millisecond when a missing record has expired, and places in the largest record."""

import pytest

from eventfabric import limits
from eventfabric.model.cursor import Cursor
from eventfabric.model.hybrid_clock import to_ms
from eventfabric.model.identity import Sequence
from eventfabric.model.record import UNKNOWN_CHAIN
from eventfabric.model.start import AtSequence, AtTime
from eventfabric.services.locate import Kept, has_expired, locate
from tests.simulation.world import LANE, World, event
from tests.unit.test_locate import expired, found_in, world_of


@pytest.mark.parametrize(
    ("kept_after_ms", "settled_after_ms", "has"),
    [(1, 0, True), (1, -1, False), (0, 0, False), (-1, 0, False), (0, -1, False)],
)
def test_a_missing_record_has_expired_by_the_times_of_those_around_it(
    kept_after_ms: int, settled_after_ms: int, has: bool
) -> None:
    """Where the one before it may be gone, and the one behind it is settled."""
    world = world_of([1, 1, 1], [1_000] * 3)
    before, missing, following = world.records()
    expired(world, missing)
    kept = Kept(to_ms(before.time) + kept_after_ms, to_ms(following.time) + settled_after_ms)
    assert has_expired(world.log, LANE, missing.sequence, following, kept) == has


@pytest.mark.parametrize(("settled_after_ms", "has"), [(0, True), (-1, False)])
def test_where_the_one_before_it_is_gone_too_nothing_says_that_it_is_younger(
    settled_after_ms: int, has: bool
) -> None:
    world = world_of([1, 1, 1], [1_000] * 3)
    before, missing, following = world.records()
    expired(world, before, missing)
    kept = Kept(0, to_ms(following.time) + settled_after_ms)
    assert has_expired(world.log, LANE, missing.sequence, following, kept) == has


@pytest.mark.parametrize(("settled_after_ms", "found"), [(0, True), (-1, False)])
def test_the_oldest_that_is_here_is_gone_back_to_once_it_is_settled(
    settled_after_ms: int, found: bool
) -> None:
    world = world_of([1, 1, 1], [1_000] * 3)
    first, second, _ = world.records()
    expired(world, first)
    kept = Kept(to_ms(second.time), to_ms(second.time) + settled_after_ms)
    begins = locate(world.log, LANE, AtTime(0), end=world.log.tail(LANE), kept=kept)
    assert begins == (Cursor(Sequence(1), Sequence(1), UNKNOWN_CHAIN) if found else None)


@pytest.mark.parametrize("back", [1, 2, limits.RECORD_EVENTS_MAX // 2, limits.RECORD_EVENTS_MAX - 1])
def test_any_event_of_the_largest_record_is_found_in_it(back: int) -> None:
    world = World()
    first = world.put(event("first"))
    largest = world.put(*(event(f"e{number}") for number in range(limits.RECORD_EVENTS_MAX)))
    world.put(event("last"))
    sequence = Sequence(largest.tail.sequence - back)
    assert found_in(world, AtSequence(sequence)) == Cursor(sequence, largest.sequence, first.chain)
