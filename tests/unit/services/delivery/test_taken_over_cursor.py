"""The ledger after a takeover of any size, and who believes that it owns the lane."""

import pytest

from eventfabric import limits
from eventfabric.model.cursor import digest_of
from eventfabric.model.parked import ParkedState
from eventfabric.services.delivery.lane_result import LaneOutcome, LaneResult
from eventfabric.testing.memory.faults import Faults
from tests.support.failing_handlers import BAD_ORDER, Failing, named, retry, world_of
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, event
from tests.support.subscribed_stream import LANE_KEY, SubscribedStream


def with_dead(count: int) -> SubscribedStream:
    """A lane with so many dead keys of one record."""
    names = [f"{number:03d}" for number in range(count)]
    world = world_of(Failing(dict.fromkeys(names, 9)), **retry(permanent=[BAD_ORDER]))
    world.put(*(event(name, key=name) for name in names))
    world.deliver()
    assert len(world.parked()) == count
    return world


@pytest.mark.parametrize(("keys", "commits"), [(1, 1), (3, 1), (4, 2), (6, 2), (7, 3)])
def test_as_many_commits_as_it_takes_leave_the_cursor_beside_all_keys(
    monkeypatch: pytest.MonkeyPatch, keys: int, commits: int
) -> None:
    monkeypatch.setattr(limits, "TRANSACTION_ACTIONS_MAX", 4)
    world = with_dead(keys)
    before, parked = world.cursor(), world.parked()
    world.cloud.replicate()
    away, faults = world.at(AWAY), Faults()
    hand_over(away)
    assert away.deliver(by=away.deliverer(faults=faults)) == LaneResult(LaneOutcome.DUPLICATE)
    assert faults.count("ledger.commit") == commits
    stored = away.ledger.state(LANE_KEY).parked[AWAY]
    assert {parked.key: (parked.waiting, parked.failure, parked.state) for parked in stored.values()} == {
        parked_event.key: (parked_event.waiting, parked_event.failure, parked_event.state)
        for parked_event in parked.values()
    }
    after = away.cursor()
    assert (after.sequence, after.base, after.chain) == (before.sequence, before.base, before.chain)
    assert (after.epoch, after.version, after.low) == (1, commits, before.low)
    assert after.parked == digest_of(stored)


def test_a_key_that_is_as_it_was_is_not_written_again_where_the_same_region_goes_on() -> None:
    world = with_dead(2)
    before = world.parked()
    hand_over(world, epoch=2)
    faults = Faults()
    world.deliver(by=world.deliverer(faults=faults))
    assert (world.parked(), world.cursor().epoch) == (before, 2)
    assert faults.count("ledger.commit") == 1


def test_of_its_own_keys_those_that_the_latest_owner_does_not_have_are_gone() -> None:
    world = world_of(Failing({"a1": 9, "b1": 9}), *named("a1", "b1"), **retry(permanent=[BAD_ORDER]))
    world.deliver()
    world.cloud.replicate()
    away = world.at(AWAY)
    hand_over(away)
    away.deliver()
    world.cloud.replicate()
    for key, parked in away.parked().items():
        assert (key, parked.state) in (("a", ParkedState.DEAD), ("b", ParkedState.DEAD))
    hand_over(world, epoch=2)
    world.put(*named("c1"))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert (set(world.parked()), world.cursor().epoch) == ({"a", "b"}, 2)
    assert world.recorder.ids() == ["c1"]


def test_who_knows_an_older_handover_than_the_lane_asks_and_goes_on_where_it_owns_it_again() -> None:
    world = world_of(Failing({}), *named("a1"))
    by = world.deliverer()
    world.deliver(by=by)
    hand_over(world, epoch=3)
    world.clock.set_back(limits.CIRCUIT_CACHE_SECONDS)
    world.deliver(by=world.deliverer())
    assert world.cursor().epoch == 3
    world.put(*named("a2"))
    assert world.deliver(by=by).outcome is LaneOutcome.DELIVERED
    assert world.recorder.ids() == ["a1", "a2"]
    assert world.cursor().epoch == 3


def test_a_lane_that_begins_later_begins_with_the_number_of_whoever_owns_it() -> None:
    world = world_of(Failing({}), *named("a1"), start="latest")
    world.clock.advance(limits.STREAM_RETENTION_SECONDS + 1)
    hand_over(world, epoch=2)
    world.put(*named("a2"))
    faults = Faults()
    assert world.deliver(by=world.deliverer(faults=faults)).outcome is LaneOutcome.DELIVERED
    assert (world.cursor().epoch, world.cursor().began) == (2, 1)
    assert faults.count("ledger.commit") == 2  # where it begins, and how far it came
