"""Numbers that were stored at their last allowed value: what is written behind them can be read again."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import FailoverError
from eventfabric.model.count import next_count
from eventfabric.model.hybrid_clock import next_time
from eventfabric.model.identity import HybridTime
from eventfabric.model.parked import Failure
from eventfabric.model.record import chain_of
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.wire.keys import cursor_key
from tests.support.failing_handlers import Failing, named, world_of
from tests.support.handovers import hand_over
from tests.support.log_items import put
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event
from tests.support.producers import producer
from tests.support.subscribed_stream import SubscribedStream


@pytest.mark.parametrize(("count", "following"), [(0, 1), (1, 2), (limits.SEQUENCE_MAX, 1)])
def test_a_count_begins_anew_behind_its_bound(count: int, following: int) -> None:
    assert next_count(count) == following


def test_a_lane_goes_on_behind_the_last_version_of_its_cursor() -> None:
    world = SubscribedStream(lanes=1)
    world.put(event("a1"))
    world.deliver()
    table = world.cloud.regions[HOME].table(world.topology.ledger.name)
    item = table.get(cursor_key(world.key_of(LANE), HOME), consistent=True)
    assert item is not None
    table.write("Put", {"Item": {**item, "v": {"N": str(limits.SEQUENCE_MAX)}}})
    for name in ("a2", "a3"):
        world.put(event(name))
        assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.recorder.ids() == ["a1", "a2", "a3"]
    assert world.cursor().version == 2


def test_a_lane_whose_time_is_the_last_that_can_be_stored_takes_and_delivers_events() -> None:
    world = SubscribedStream(lanes=1)
    world.put(event("a1"))
    tail = world.origin_log.tail(LANE)
    made = replace(world.record(tail, event("a2")), time=HybridTime(limits.HYBRID_TIME_MAX))
    put(world, replace(made, chain=chain_of(tail.chain, made)))
    producer(world).publish(STREAM, key="k", type="placed", id="a3")
    assert world.records()[-1].time == limits.HYBRID_TIME_MAX
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.recorder.ids() == ["a1", "a2", "a3"]


def test_time_stands_still_at_its_end_and_nowhere_else() -> None:
    last = HybridTime(limits.HYBRID_TIME_MAX)
    assert next_time(last, 5) == last
    assert next_time(HybridTime(last - 1), 5) == last
    assert next_time(HybridTime(7), 0) == 8


def test_an_epoch_that_leaves_no_room_is_refused_where_another_would_be_made_and_the_owner_goes_on() -> None:
    world = world_of(Failing({}), *named("a1"))
    world.cloud.replicate()
    away = world.at(AWAY)
    hand_over(away, epoch=limits.SEQUENCE_MAX)
    away.deliver()
    away.cloud.replicate()
    (failover,) = Operations(world.topology, HOME, world.ports(HOME)).failback()
    with pytest.raises(FailoverError, match="leaves no room"):
        failover.hand_over("back")
    world.put(event("a2"))
    world.cloud.replicate()
    assert away.deliver().outcome is LaneOutcome.DELIVERED
    assert away.recorder.ids() == ["a1", "a2"]


def test_attempts_are_counted_no_further_than_they_can_be_stored() -> None:
    failure = Failure("e", "", "", "", limits.SEQUENCE_MAX + 3, limits.SEQUENCE_MAX + 1, 0, 0)
    assert (failure.attempts, failure.crashes) == (limits.SEQUENCE_MAX, limits.SEQUENCE_MAX)
