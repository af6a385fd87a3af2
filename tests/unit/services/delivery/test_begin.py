"""Beginnings: the event with which a lane starts that nobody delivered yet, and what that costs."""

import pytest

from eventfabric import limits
from eventfabric.errors import PortError
from eventfabric.model import ANY_TAIL, UNKNOWN_CHAIN, AtTime, Lane, Region, StreamName, SubscriptionName
from eventfabric.services.delivery.breaker import CircuitBreaker
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from eventfabric.wire.keys import record_key
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def with_an_old_event() -> SubscribedStream:
    """A fabric of a subscription that begins with the latest, and an event that no margin before a handover reaches."""
    fabric = SubscribedStream(start="latest")
    put(fabric, "old")
    fabric.clock.advance(limits.STREAM_RETENTION_SECONDS + 1)
    return fabric


def operator_of(fabric: SubscribedStream) -> CircuitBreaker:
    """Who pauses and resumes a subscription by hand."""
    return CircuitBreaker(
        fabric.subscription, fabric.stream, ports=fabric.ports(), telemetry=fabric.telemetry
    )


def put(fabric: SubscribedStream, *names: str, of: Lane = LANE) -> None:
    """A record an event, a second apart."""
    for name in names:
        fabric.put(event(name), of=of)
        fabric.clock.advance(1)


def time_of(fabric: SubscribedStream) -> str:
    """Now, as a definition says it."""
    return str(AtTime(fabric.clock.now_ms()))


def pins(fabric: SubscribedStream, region: Region = HOME) -> dict[Region, int]:
    ledger = fabric.cloud.ledger(region)
    return dict(ledger.standing(StreamName(STREAM), SubscriptionName(SUBSCRIPTION)).starts)


def latest() -> SubscribedStream:
    """A fabric with a past that its subscription does not want."""
    fabric = SubscribedStream(start="latest")
    put(fabric, "old 0", "old 1")
    put(fabric, "old 2", of=lane(1))
    return fabric


def test_by_default_a_lane_begins_with_its_first_event_and_nothing_is_asked() -> None:
    fabric = SubscribedStream()
    put(fabric, "a", "b")
    fabric.deliver()
    assert fabric.recorder.ids() == ["a", "b"]
    assert fabric.cursor().began == 0
    assert fabric.faults.calls == [
        *("ledger.standing", "ledger.hand_over", "ledger.state", "log.read"),
        *("handler.attempt", "handler.attempt", "ledger.commit"),
    ]


@pytest.mark.parametrize("later_ms", [0, -1, 500, -500])
def test_a_time_begins_with_what_was_published_then_or_later(later_ms: int) -> None:
    past = SubscribedStream()
    put(past, "old 0", "old 1")
    fabric = SubscribedStream(start=str(AtTime(past.clock.now_ms() + later_ms)))
    put(fabric, "old 0", "old 1")
    fabric.clock.advance(max(0, later_ms / 1000))
    put(fabric, "new 0", "new 1")
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    first = 1 if later_ms < -999 else 2
    assert fabric.recorder.ids() == ["new 0", "new 1"]
    assert (fabric.cursor().sequence, fabric.cursor().began) == (4, first)
    assert fabric.recorder.replays == [False, False]


def test_a_time_that_is_to_come_passes_over_everything_until_then() -> None:
    start_ms = SubscribedStream().clock.now_ms() + 10_000
    fabric = SubscribedStream(start=str(AtTime(start_ms)))
    put(fabric, "early")
    result = fabric.deliver()
    assert (result.outcome, result.done) == (LaneOutcome.NOT_BEGUN, True)
    assert fabric.cursor().version == 0
    put(fabric, "early too")
    fabric.clock.advance(8)
    put(fabric, "new")
    fabric.deliver()
    assert fabric.recorder.ids() == ["new"]


def test_a_lane_with_nothing_after_the_time_gets_its_cursor_and_is_not_asked_again() -> None:
    past = SubscribedStream()
    put(past, "old 0", "old 1")
    fabric = SubscribedStream(start=str(AtTime(past.clock.now_ms())))
    put(fabric, "old 0", "old 1")
    assert fabric.deliver().outcome is LaneOutcome.DUPLICATE
    assert (fabric.cursor().sequence, fabric.cursor().began, fabric.cursor().version) == (2, 2, 1)
    fabric.faults.calls.clear()
    fabric.deliver()
    assert fabric.faults.calls.count("ledger.state") == len(fabric.faults.calls) - 1
    put(fabric, "new")
    fabric.deliver()
    assert fabric.recorder.ids() == ["new"]


def test_the_latest_begins_with_the_record_that_rang_first_in_every_lane() -> None:
    fabric = latest()
    put(fabric, "new 0")
    put(fabric, "new 1", of=lane(1))
    put(fabric, "new 2")
    fabric.deliver(tail=3)
    fabric.deliver(lane(1))
    assert fabric.recorder.ids() == ["new 0", "new 2", "new 1"]
    assert (fabric.cursor().began, fabric.cursor(lane(1)).began) == (2, 1)
    assert pins(fabric) == {HOME: fabric.records()[2].time}


def test_what_was_published_after_the_pin_is_missed_in_no_lane_however_late_it_is_rung() -> None:
    fabric = latest()
    put(fabric, "new 0")
    fabric.deliver()
    put(fabric, "new 1", "new 2", of=lane(1))
    fabric.clock.advance(3_600)
    put(fabric, "new 3", of=lane(1))
    fabric.deliver(lane(1))
    assert fabric.recorder.ids(lane(1)) == ["new 1", "new 2", "new 3"]


def test_a_lane_that_has_a_cursor_costs_nothing_more_than_ever() -> None:
    fabric = latest()
    put(fabric, "new 0")
    by = fabric.deliverer()
    fabric.deliver(by=by)
    fabric.faults.calls.clear()
    put(fabric, "new 1")
    fabric.deliver(by=by)
    assert fabric.faults.calls == ["ledger.state", "log.read", "handler.attempt", "ledger.commit"]


def test_a_lane_begins_by_one_commit_and_one_pin_a_subscription() -> None:
    fabric = latest()
    by = fabric.deliverer()
    for other_lane in (LANE, lane(1)):
        put(fabric, f"new of {other_lane}", of=other_lane)
        fabric.deliver(other_lane, by=by)
    assert fabric.faults.count("ledger.pin") == 1
    assert fabric.faults.count("ledger.commit") == 4


def test_a_ring_for_an_empty_lane_pins_nothing() -> None:
    fabric = SubscribedStream(start="latest")
    assert fabric.deliver(tail=ANY_TAIL).outcome is LaneOutcome.NOT_BEGUN
    assert pins(fabric) == {}
    put(fabric, "new 0", of=lane(1))
    put(fabric, "new 1")
    fabric.deliver(lane(1))
    fabric.deliver()
    assert fabric.recorder.ids() == ["new 0", "new 1"]


def test_while_it_is_paused_the_first_doorbell_pins_all_the_same() -> None:
    fabric = latest()
    operator = operator_of(fabric)
    operator.pause("not yet")
    put(fabric, "new 0")
    assert fabric.deliver().outcome is LaneOutcome.WAITING
    put(fabric, "new 1", of=lane(1))
    assert fabric.deliver(lane(1)).outcome is LaneOutcome.WAITING
    fabric.clock.advance(3_600)
    put(fabric, "new 2")
    operator.resume()
    fabric.deliver_all()
    assert sorted(fabric.recorder.ids()) == ["new 0", "new 1", "new 2"]


def test_while_it_is_paused_a_subscription_that_begins_with_the_first_event_pins_nothing() -> None:
    fabric = SubscribedStream()
    operator_of(fabric).pause("not yet")
    put(fabric, "a")
    assert fabric.deliver().outcome is LaneOutcome.WAITING
    assert pins(fabric) == {}


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("number", range(2, 16))
def test_a_fault_anywhere_changes_nothing_of_where_it_begins(fault: Fault, number: int) -> None:
    fabric = latest()
    put(fabric, "new 0")
    faults = Faults(nth(number, fault))
    try:
        fabric.deliver(by=fabric.deliverer(faults=faults))
    except (SimulatedCrash, PortError):
        assert len(faults.calls) == number
    put(fabric, "new 1", of=lane(1))
    for other_lane in (lane(1), LANE):
        fabric.deliver(other_lane)
    # Where the first doorbell pinned nothing, the next did; its record is later than "new 0".
    handled = set(fabric.recorder.ids())
    assert handled in ({"new 0", "new 1"}, {"new 1"})
    assert handled == {"new 0", "new 1"} or pins(fabric)[HOME] == fabric.records(lane(1))[1].time


def test_everywhere_each_region_pins_for_itself() -> None:
    fabric = SubscribedStream(start="latest", deliver="everywhere")
    put(fabric, "old")
    fabric.cloud.replicate()
    put(fabric, "new 0")
    fabric.deliver()
    put(fabric, "new 1")
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY, handler=Recorder())
    away.deliver()
    assert (fabric.recorder.ids(), away.recorder.ids()) == (["new 0"], ["new 1"])
    assert set(pins(fabric, AWAY)) == {HOME, AWAY}


def test_who_takes_a_lane_over_begins_where_its_own_region_would_have() -> None:
    fabric = SubscribedStream(start="latest")
    put(fabric, "old")
    put(fabric, "new 0", of=lane(1))
    fabric.deliver(lane(1))
    put(fabric, "new 1")
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY, handler=Recorder())
    hand_over(away)
    own = lane(0, AWAY)
    away.log.append(away.record(away.log.tail(own), event("new 2"), of=own))
    away.deliver(own)
    away.deliver()
    assert away.recorder.ids() == ["new 2", "new 1"]
    assert (away.cursor().epoch, away.cursor().began) == (1, 1)
    away.deliver(lane(1))
    assert away.recorder.ids() == ["new 2", "new 1"]


def test_a_lane_that_was_handed_over_before_it_began_begins_with_its_owners_number() -> None:
    fabric = with_an_old_event()
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY, handler=Recorder())
    hand_over(away, epoch=3)
    put(fabric, "new")
    fabric.cloud.replicate()
    away.deliver(tail=2)
    assert away.recorder.ids() == ["new"]
    assert (away.cursor().epoch, away.cursor().began) == (3, 1)


def test_what_a_lost_region_had_begun_with_is_not_passed_over_though_nobody_heard_of_it() -> None:
    fabric = with_an_old_event()
    for number in range(3):
        put(fabric, f"new {number}")
        fabric.clock.advance(1)
    fabric.cloud.replicate()
    fabric.deliver(
        tail=2
    )  # pins, and begins with, the record that rang; nothing of that is replicated any more
    assert pins(fabric)[HOME] == fabric.records()[1].time
    away = fabric.in_region(AWAY, handler=Recorder())
    hand_over(away)
    away.deliver(by=away.deliverer())
    assert away.recorder.ids() == ["new 0", "new 1", "new 2"]


def test_nor_is_it_where_the_lane_comes_back_to_its_first_region_which_had_never_begun() -> None:
    fabric = with_an_old_event()
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    fabric.cloud.replicate()
    fabric.cloud.cut(AWAY)
    put(fabric, "new 0")
    hand_over(fabric, epoch=2)
    put(fabric, "new 1")
    fabric.deliver(
        tail=3, by=fabric.deliverer()
    )  # AWAY may have begun with "new 0", and nobody here heard of that
    assert fabric.recorder.ids() == ["new 0", "new 1"]


def test_a_pin_that_is_younger_than_a_handover_says_nothing_of_what_was_delivered_since_that() -> None:
    """The first Region pins while it is paused, for a lane that came back to it."""
    fabric = with_an_old_event()
    fabric.cloud.replicate()
    hand_over(fabric.in_region(AWAY))
    fabric.cloud.replicate()
    fabric.cloud.cut(AWAY)
    fabric.clock.advance(1)
    put(fabric, "new 0")
    hand_over(fabric, epoch=2)
    operator = operator_of(fabric)
    operator.pause("a look")
    put(fabric, "new 1")
    assert fabric.deliver(tail=3, by=fabric.deliverer()).outcome is LaneOutcome.WAITING
    assert HOME in pins(fabric)
    operator.resume()
    fabric.clock.advance(limits.CIRCUIT_CACHE_SECONDS + 1)
    fabric.deliver(by=fabric.deliverer())
    assert fabric.recorder.ids() == ["new 0", "new 1"]


@pytest.mark.parametrize("pinned_in", [HOME, AWAY])
def test_a_lane_begins_no_later_than_any_pin_that_is_known(pinned_in: Region) -> None:
    """A Region pins while it is paused, and hands the lane on days later without having begun with it."""
    fabric = with_an_old_event()
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away, epoch=1)
    fabric.cloud.replicate()
    if pinned_in == HOME:
        hand_over(fabric, epoch=2)
        fabric.cloud.replicate()
    fabric.clock.advance(60)
    pins_first, begins = (fabric, away) if pinned_in == HOME else (away, fabric)
    operator_of(pins_first).pause("a look")
    put(fabric, "new 0")
    fabric.cloud.replicate()
    assert pins_first.deliver(by=pins_first.deliverer()).outcome is LaneOutcome.WAITING
    fabric.clock.advance(3 * limits.STREAM_RETENTION_SECONDS)
    put(fabric, "new 1")
    fabric.cloud.replicate()
    hand_over(begins, epoch=3)
    operator_of(begins).resume()
    begins.deliver(by=begins.deliverer())
    assert begins.recorder.ids() == ["new 0", "new 1"]


def test_who_takes_over_a_lane_that_has_begun_asks_nothing_of_where_to_begin() -> None:
    fabric = SubscribedStream(start="latest")
    put(fabric, "old", "new 0")
    fabric.deliver(tail=2)
    put(fabric, "new 1")
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY, handler=Recorder())
    hand_over(away)
    faults = Faults()
    away.deliver(by=away.deliverer(faults=faults))
    assert away.recorder.ids() == ["new 1"]
    assert "log.tail" not in faults.calls


def test_a_lane_whose_first_records_expired_begins_with_the_oldest_that_is_kept() -> None:
    fabric = SubscribedStream(retention_days=30)
    put(fabric, "gone")
    fabric.clock.advance(31 * 86_400)
    put(fabric, "kept 0", "kept 1")
    fabric.table.write("Delete", {"Key": record_key(LANE, 0)})
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["kept 0", "kept 1"]
    assert fabric.cursor().began == 1
    assert fabric.faults.count("ledger.commit") == 2


def test_a_hole_at_the_front_of_another_regions_lane_is_waited_for_and_not_skipped() -> None:
    fabric = SubscribedStream(retention_days=30, deliver="everywhere")
    of = lane(0, AWAY)
    first = fabric.record(fabric.log.tail(of), event("first"), of=of)
    second = fabric.record(first.tail, event("second"), of=of)
    fabric.log.append(second)
    assert fabric.deliver(of, tail=2).outcome is LaneOutcome.HOLE
    fabric.log.append(first)
    fabric.deliver(of, tail=2)
    assert fabric.recorder.ids() == ["first", "second"]
    assert fabric.cursor(of).began == 0


def test_a_begun_lane_waits_at_a_hole_as_ever() -> None:
    fabric = SubscribedStream(retention_days=30)
    put(fabric, "a")
    fabric.deliver()
    missing = fabric.record(fabric.origin_log.tail(LANE), event("b"))
    fabric.put(event("c"), log_lane_tail=missing.tail)
    assert fabric.deliver().outcome is LaneOutcome.HOLE
    assert (fabric.cursor().sequence, fabric.cursor().chain != UNKNOWN_CHAIN) == (1, True)


def test_a_start_is_trusted_for_as_long_as_a_process_knows_it() -> None:
    """A start that one process pinned is found by another; neither pins again when it reads its standing anew."""
    fabric = latest()
    put(fabric, "new 0")
    fabric.deliver(by=fabric.deliverer())
    fabric.clock.advance(2 * limits.CIRCUIT_CACHE_SECONDS)
    put(fabric, "new 1", of=lane(1))
    fabric.deliver(lane(1), by=fabric.deliverer())
    assert fabric.faults.count("ledger.pin") == 1
