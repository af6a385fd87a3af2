"""Numbers that were stored at their last allowed value: what is written behind them can be read again."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import FailoverError
from eventfabric.model import Failure, HybridTime, chain_of, next_count, next_time
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.wire.keys import cursor_key
from tests.support.failing_handlers import Failing, fabric_of, named
from tests.support.handovers import hand_over
from tests.support.log_items import put
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event
from tests.support.producers import producer
from tests.support.subscribed_stream import SubscribedStream


@pytest.mark.parametrize(("count", "following"), [(0, 1), (1, 2), (limits.SEQUENCE_MAX, 1)])
def test_a_count_begins_anew_behind_its_bound(count: int, following: int) -> None:
    assert next_count(count) == following


def test_a_lane_goes_on_behind_the_last_version_of_its_cursor() -> None:
    fabric = SubscribedStream(lanes=1)
    fabric.put(event("a1"))
    fabric.deliver()
    table = fabric.cloud.regions[HOME].table(fabric.topology.ledger.name)
    item = table.get(cursor_key(fabric.key_of(LANE), HOME), consistent=True)
    assert item is not None
    table.write("Put", {"Item": {**item, "v": {"N": str(limits.SEQUENCE_MAX)}}})
    for name in ("a2", "a3"):
        fabric.put(event(name))
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a1", "a2", "a3"]
    assert fabric.cursor().version == 2


def test_a_lane_whose_time_is_the_last_that_can_be_stored_takes_and_delivers_events() -> None:
    fabric = SubscribedStream(lanes=1)
    fabric.put(event("a1"))
    tail = fabric.origin_log.tail(LANE)
    made = replace(fabric.record(tail, event("a2")), time=HybridTime(limits.HYBRID_TIME_MAX))
    put(fabric, replace(made, chain=chain_of(tail.chain, made)))
    producer(fabric).publish(STREAM, key="k", type="placed", id="a3")
    assert fabric.records()[-1].time == limits.HYBRID_TIME_MAX
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a1", "a2", "a3"]


def test_time_stands_still_at_its_end_and_nowhere_else() -> None:
    last = HybridTime(limits.HYBRID_TIME_MAX)
    assert next_time(last, 5) == last
    assert next_time(HybridTime(last - 1), 5) == last
    assert next_time(HybridTime(7), 0) == 8


def test_an_epoch_that_leaves_no_room_is_refused_where_another_would_be_made_and_the_owner_goes_on() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away, epoch=limits.SEQUENCE_MAX)
    away.deliver()
    away.cloud.replicate()
    (failover,) = Operations(fabric.topology, HOME, fabric.ports(HOME)).failback()
    with pytest.raises(FailoverError, match="leaves no room"):
        failover.hand_over("back")
    fabric.put(event("a2"))
    fabric.cloud.replicate()
    assert away.deliver().outcome is LaneOutcome.DELIVERED
    assert away.recorder.ids() == ["a1", "a2"]


def test_attempts_are_counted_no_further_than_they_can_be_stored() -> None:
    failure = Failure("e", "", "", "", limits.SEQUENCE_MAX + 3, limits.SEQUENCE_MAX + 1, 0, 0)
    assert (failure.attempts, failure.crashes) == (limits.SEQUENCE_MAX, limits.SEQUENCE_MAX)
