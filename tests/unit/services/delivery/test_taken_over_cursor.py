"""The ledger after a takeover of any size, and who believes that it owns the lane."""

import pytest

from eventfabric import limits
from eventfabric.model import ParkedState, digest_of
from eventfabric.services.delivery.lane_result import LaneOutcome, LaneResult
from eventfabric.testing.memory.faults import Faults
from tests.support.failing_handlers import BAD_ORDER, Failing, fabric_of, named, retry
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, event
from tests.support.subscribed_stream import LANE_KEY, SubscribedStream


def with_dead(count: int) -> SubscribedStream:
    """A lane with so many dead keys of one record."""
    names = [f"{number:03d}" for number in range(count)]
    fabric = fabric_of(Failing(dict.fromkeys(names, 9)), **retry(permanent=[BAD_ORDER]))
    fabric.put(*(event(name, key=name) for name in names))
    fabric.deliver()
    assert len(fabric.parked()) == count
    return fabric


@pytest.mark.parametrize(("keys", "commits"), [(1, 1), (3, 1), (4, 2), (6, 2), (7, 3)])
def test_as_many_commits_as_it_takes_leave_the_cursor_beside_all_keys(
    monkeypatch: pytest.MonkeyPatch, keys: int, commits: int
) -> None:
    monkeypatch.setattr(limits, "TRANSACTION_ACTIONS_MAX", 4)
    fabric = with_dead(keys)
    before, parked = fabric.cursor(), fabric.parked()
    fabric.cloud.replicate()
    away, faults = fabric.in_region(AWAY), Faults()
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
    fabric = with_dead(2)
    before = fabric.parked()
    hand_over(fabric, epoch=2)
    faults = Faults()
    fabric.deliver(by=fabric.deliverer(faults=faults))
    assert (fabric.parked(), fabric.cursor().epoch) == (before, 2)
    assert faults.count("ledger.commit") == 1


def test_of_its_own_keys_those_that_the_latest_owner_does_not_have_are_gone() -> None:
    fabric = fabric_of(Failing({"a1": 9, "b1": 9}), *named("a1", "b1"), **retry(permanent=[BAD_ORDER]))
    fabric.deliver()
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    fabric.cloud.replicate()
    for key, parked in away.parked().items():
        assert (key, parked.state) in (("a", ParkedState.DEAD), ("b", ParkedState.DEAD))
    hand_over(fabric, epoch=2)
    fabric.put(*named("c1"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert (set(fabric.parked()), fabric.cursor().epoch) == ({"a", "b"}, 2)
    assert fabric.recorder.ids() == ["c1"]


def test_who_knows_an_older_handover_than_the_lane_asks_and_goes_on_where_it_owns_it_again() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    by = fabric.deliverer()
    fabric.deliver(by=by)
    hand_over(fabric, epoch=3)
    fabric.clock.set_back(limits.CIRCUIT_CACHE_SECONDS)
    fabric.deliver(by=fabric.deliverer())
    assert fabric.cursor().epoch == 3
    fabric.put(*named("a2"))
    assert fabric.deliver(by=by).outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a1", "a2"]
    assert fabric.cursor().epoch == 3


def test_a_lane_that_begins_later_begins_with_the_number_of_whoever_owns_it() -> None:
    fabric = fabric_of(Failing({}), *named("a1"), start="latest")
    fabric.clock.advance(limits.STREAM_RETENTION_SECONDS + 1)
    hand_over(fabric, epoch=2)
    fabric.put(*named("a2"))
    faults = Faults()
    assert fabric.deliver(by=fabric.deliverer(faults=faults)).outcome is LaneOutcome.DELIVERED
    assert (fabric.cursor().epoch, fabric.cursor().began) == (2, 1)
    assert faults.count("ledger.commit") == 2  # where it begins, and how far it came
