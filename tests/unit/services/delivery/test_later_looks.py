"""Looks for later events: where they go, how far, and what of it they count."""

from typing import Any

import pytest

from eventfabric.limits import LATE_AFTER_SECONDS, PAGE_RECORDS_MAX
from eventfabric.model import AtSequence, LaneKey, Region, SequenceNumber, StreamName, SubscriptionName
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.operations.failover import Failover
from eventfabric.telemetry import LogEvent
from eventfabric.testing.memory.faults import Faults
from eventfabric.wire import record_item
from eventfabric.wire.keys import cursor_key
from tests.support.failing_handlers import FEW, Failing
from tests.support.memory_fabric import AWAY, FAR, HOME, STREAM, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream
from tests.unit.services.delivery.test_late import late_of, lost_and_back, publish
from tests.unit.services.delivery.test_later_events import deliver_there, lost


def home_is_back(away: SubscribedStream) -> None:
    """HOME is back, when all that was published is old."""
    away.clock.advance(LATE_AFTER_SECONDS + 60)
    away.cloud.heal(HOME)
    away.cloud.replicate()


def test_each_page_of_what_came_later_is_read_once_and_the_record_of_the_later_one() -> None:
    away, faults = lost(), Faults()
    deliver_there(away, "a2", *(f"c{number}" for number in range(250)))
    home_is_back(away)
    away.deliver(lane(0), by=away.deliverer(faults=faults))
    assert faults.count("log.read") == 1 + 3 + 1
    assert late_of(away)["a1"] == "a2"
    assert LogEvent.LATE_UNKNOWN not in away.telemetry.events


def test_what_was_published_before_is_not_read() -> None:
    home, faults = SubscribedStream(), Faults()
    away = home.in_region(AWAY)
    deliver_there(away, *(f"c{number}" for number in range(250)))
    home.clock.advance(1)
    home.cloud.cut(HOME)
    publish(home, "a1", "b1")
    Failover(home.topology, source=HOME, target=AWAY, ports=home.ports(AWAY)).hand_over()
    home.clock.advance(1)
    deliver_there(away, "a2")
    home_is_back(away)
    away.deliver(lane(0), by=away.deliverer(faults=faults))
    assert faults.count("log.read") == 1 + 1 + 1
    assert late_of(away)["a1"] == "a2"


def test_where_nothing_later_was_handed_out_nothing_is_left_unknown() -> None:
    away = lost()
    publish(away, "a2", origin=AWAY)
    home_is_back(away)
    away.deliver(lane(0))
    assert late_of(away) == {"a1": None, "b1": None}
    assert LogEvent.LATE_UNKNOWN not in away.telemetry.events


def test_one_that_was_published_in_the_very_same_moment_is_not_later() -> None:
    home = SubscribedStream()
    home.cloud.cut(HOME)
    publish(home, "x1")
    home.clock.advance(1)
    publish(home, "a1")
    Failover(home.topology, source=HOME, target=AWAY, ports=home.ports(AWAY)).hand_over()
    away = home.in_region(AWAY)
    deliver_there(away, "a2", "x2")
    logs = [home.cloud.log(STREAM, region) for region in (HOME, AWAY)]
    assert logs[0].tail(lane(0)).time == logs[1].tail(lane(0, AWAY), before=SequenceNumber(1)).time
    home_is_back(away)
    away.deliver(lane(0))
    assert [late_of(away)[name] for name in ("x1", "a1")] == ["x2", None]


def test_each_event_is_compared_by_its_own_time_and_not_by_that_of_the_first_with_it() -> None:
    away = lost()
    deliver_there(away, "b2")
    away.clock.advance(1)
    publish(away, "b3")
    home_is_back(away)
    away.deliver(lane(0))
    assert [late_of(away)[name] for name in ("a1", "b1", "b3")] == [None, "b2", None]


def test_of_a_record_that_was_handed_out_in_part_only_that_part_counts() -> None:
    away = lost()
    of = lane(0, AWAY)
    log = away.cloud.log(STREAM, AWAY)
    assert log.append(away.record(log.tail(of), event("a2", key="a"), event("b2", key="b"), of=of)) is None
    away.recorder.before = lambda events: away.clock.advance(10)
    assert away.deliver(of, time_ms=5_000).outcome is LaneOutcome.HANDED_BACK
    assert away.cursor(of).sequence == 1
    home_is_back(away)
    away.deliver(lane(0))
    assert [late_of(away)[name] for name in ("a1", "b1")] == ["a2", None]


def test_an_old_event_is_asked_about_whatever_comes_behind_it() -> None:
    away = lost()
    deliver_there(away, "a2")
    away.clock.advance(LATE_AFTER_SECONDS + 60)
    publish(away, "c9")
    away.cloud.heal(HOME)
    away.cloud.replicate()
    away.deliver(lane(0))
    assert [late_of(away)[name] for name in ("a1", "c9")] == ["a2", None]


def test_records_that_were_handed_out_elsewhere_and_are_not_here_yet_hold_nothing_up() -> None:
    fabric = SubscribedStream()
    publish(fabric, "a1", "b1")
    fabric.clock.advance(1)
    away = fabric.in_region(AWAY)
    deliver_there(away, "a2")
    fabric.cloud.replicate()
    deliver_there(away, "b2")
    for link in fabric.cloud.links:
        if link.source.name == fabric.topology.ledger.name:
            link.pass_on()
    fabric.clock.advance(LATE_AFTER_SECONDS + 1)
    assert fabric.deliver(lane(0)).outcome is LaneOutcome.DELIVERED
    assert late_of(fabric) == {"a1": "a2", "b1": None}


def test_a_replay_that_failed_is_not_late_when_it_is_tried_again() -> None:
    away = lost_and_back(**FEW)
    away.deliver(lane(0))
    away.recorder.events.clear()
    away.recorder.before = Failing({"a1": 2})
    replay = Operations(away.topology, AWAY, away.ports()).replay(SUBSCRIPTION)
    for plan in replay.plan(AtSequence(SequenceNumber(0))):
        replay.carry_out(plan)
    away.deliver_all()
    assert "a1" in away.recorder.ids()
    assert not any(event.late for event in away.recorder.events)


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once", "exactly_once"])
def test_under_each_guarantee_late_events_are_handed_out_one_by_one(guarantee: str) -> None:
    away = lost_and_back(guarantee=guarantee)
    handler = Recorder(batch_events_max=10)
    away.deliver(lane(0), by=away.deliverer(handler=handler))
    assert [str(event.id) for event in handler.events] == ["a1", "b1", "c1"]
    assert len(handler.attempts) == 3


@pytest.mark.parametrize("last", [AWAY, FAR])
def test_of_several_regions_later_ones_it_is_the_last_published(last: Region) -> None:
    home = SubscribedStream(durability="quorum")
    publish(home, "a1")
    for region in (FAR, AWAY) if last is AWAY else (AWAY, FAR):
        home.clock.advance(1)
        publish(home, f"a of {region}", f"b of {region}", origin=region)
        home.in_region(region).deliver(lane(0, region))
    home.clock.advance(LATE_AFTER_SECONDS + 1)
    home.deliver(lane(0))
    assert late_of(home) == {"a1": f"a of {last}"}


def test_of_two_later_events_in_one_record_the_last_one_is_named() -> None:
    away = lost()
    of = lane(0, AWAY)
    log = away.cloud.log(STREAM, AWAY)
    pair = away.record(log.tail(of), event("a2", key="a"), event("a3", key="a"), of=of)
    assert log.append(pair) is None
    away.deliver(of)
    home_is_back(away)
    away.deliver(lane(0))
    assert late_of(away)["a1"] == "a3"


def spoil_first(away: SubscribedStream, **fields: Any) -> None:
    """Change fields of the first record that was handed out of the other lane meanwhile."""
    first = away.log.read(lane(0, AWAY), SequenceNumber(0), records_max=1).records[0]
    away.table.write("Put", {"Item": {**record_item.to_item(first), **fields}})


def test_a_record_of_the_other_lane_that_cannot_be_unpacked_hides_nothing_but_its_own_events() -> None:
    away = lost_and_back()
    spoil_first(away, d={"B": b"spoiled"})
    assert away.deliver(lane(0)).outcome is LaneOutcome.DELIVERED
    assert late_of(away) == {"a0": None, "a2": None, "b2": None, "a1": None, "b1": "b2", "c1": None}


def test_where_it_cannot_be_found_out_what_came_later_that_is_logged_and_holds_up_nothing() -> None:
    away = lost_and_back()
    spoil_first(away, h={"N": str(2**64)})
    assert away.deliver(lane(0)).outcome is LaneOutcome.DELIVERED
    assert {"a1", "b1", "c1"} <= set(late_of(away))
    assert LogEvent.LATE_UNKNOWN in away.telemetry.events


def test_a_state_of_the_other_lane_that_cannot_be_read_holds_up_no_event_of_this_one() -> None:
    away = lost_and_back()
    key = LaneKey(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), lane(0, AWAY))
    ledger = away.cloud.regions[AWAY].table(away.topology.ledger.name)
    item = ledger.get(cursor_key(key, AWAY), consistent=True)
    assert item is not None
    ledger.write("Put", {"Item": {**item, "s": {"N": str(2**64)}}})
    assert away.deliver(lane(0)).outcome is LaneOutcome.DELIVERED
    assert {"a1", "b1", "c1"} <= set(late_of(away))
    assert LogEvent.LATE_UNKNOWN in away.telemetry.events


def test_old_pages_without_a_wanted_event_between_others_are_gone_through_like_them() -> None:
    fabric = SubscribedStream(types=["placed"])
    for page, type in enumerate(("placed", "other", "placed")):
        for number in range(PAGE_RECORDS_MAX):
            fabric.put(event(f"{page}.{number}", type=type))
    fabric.clock.advance(LATE_AFTER_SECONDS + 60)
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.cursor().sequence == 3 * PAGE_RECORDS_MAX
