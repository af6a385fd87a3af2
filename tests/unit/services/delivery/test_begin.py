"""Beginnings: the event with which a lane starts that nobody delivered yet, and what that costs."""

import pytest

from eventfabric import limits
from eventfabric.errors import PortError
from eventfabric.model.doorbell import ANY_TAIL
from eventfabric.model.identity import Lane, Region, StreamName, SubscriptionName
from eventfabric.model.record import UNKNOWN_CHAIN
from eventfabric.model.start import AtTime
from eventfabric.services.delivery.breaker import CircuitBreaker
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from eventfabric.wire.keys import record_key
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def with_an_old_event() -> SubscribedStream:
    """A world of a subscription that begins with the latest, and an event that no margin before a handover reaches."""
    world = SubscribedStream(start="latest")
    put(world, "old")
    world.clock.advance(limits.STREAM_RETENTION_SECONDS + 1)
    return world


def operator_of(world: SubscribedStream) -> CircuitBreaker:
    """Who pauses and resumes a subscription by hand."""
    return CircuitBreaker(world.subscription, world.stream, ports=world.ports(), telemetry=world.telemetry)


def put(world: SubscribedStream, *names: str, of: Lane = LANE) -> None:
    """A record an event, a second apart."""
    for name in names:
        world.put(event(name), of=of)
        world.clock.advance(1)


def time_of(world: SubscribedStream) -> str:
    """Now, as a definition says it."""
    return str(AtTime(world.clock.now_ms()))


def pins(world: SubscribedStream, region: Region = HOME) -> dict[Region, int]:
    ledger = world.cloud.ledger(region)
    return dict(ledger.standing(StreamName(STREAM), SubscriptionName(SUBSCRIPTION)).starts)


def latest() -> SubscribedStream:
    """A world with a past that its subscription does not want."""
    world = SubscribedStream(start="latest")
    put(world, "old 0", "old 1")
    put(world, "old 2", of=lane(1))
    return world


def test_by_default_a_lane_begins_with_its_first_event_and_nothing_is_asked() -> None:
    world = SubscribedStream()
    put(world, "a", "b")
    world.deliver()
    assert world.recorder.ids() == ["a", "b"]
    assert world.cursor().began == 0
    assert world.faults.calls == [
        *("ledger.standing", "ledger.hand_over", "ledger.state", "log.read"),
        *("handler.attempt", "handler.attempt", "ledger.commit"),
    ]


@pytest.mark.parametrize("later_ms", [0, -1, 500, -500])
def test_a_time_begins_with_what_was_published_then_or_later(later_ms: int) -> None:
    past = SubscribedStream()
    put(past, "old 0", "old 1")
    world = SubscribedStream(start=str(AtTime(past.clock.now_ms() + later_ms)))
    put(world, "old 0", "old 1")
    world.clock.advance(max(0, later_ms / 1000))
    put(world, "new 0", "new 1")
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    first = 1 if later_ms < -999 else 2
    assert world.recorder.ids() == ["new 0", "new 1"]
    assert (world.cursor().sequence, world.cursor().began) == (4, first)
    assert world.recorder.replays == [False, False]


def test_a_time_that_is_to_come_passes_over_everything_until_then() -> None:
    start_ms = SubscribedStream().clock.now_ms() + 10_000
    world = SubscribedStream(start=str(AtTime(start_ms)))
    put(world, "early")
    result = world.deliver()
    assert (result.outcome, result.done) == (LaneOutcome.NOT_BEGUN, True)
    assert world.cursor().version == 0
    put(world, "early too")
    world.clock.advance(8)
    put(world, "new")
    world.deliver()
    assert world.recorder.ids() == ["new"]


def test_a_lane_with_nothing_after_the_time_gets_its_cursor_and_is_not_asked_again() -> None:
    past = SubscribedStream()
    put(past, "old 0", "old 1")
    world = SubscribedStream(start=str(AtTime(past.clock.now_ms())))
    put(world, "old 0", "old 1")
    assert world.deliver().outcome is LaneOutcome.DUPLICATE
    assert (world.cursor().sequence, world.cursor().began, world.cursor().version) == (2, 2, 1)
    world.faults.calls.clear()
    world.deliver()
    assert world.faults.calls.count("ledger.state") == len(world.faults.calls) - 1
    put(world, "new")
    world.deliver()
    assert world.recorder.ids() == ["new"]


def test_the_latest_begins_with_the_record_that_rang_first_in_every_lane() -> None:
    world = latest()
    put(world, "new 0")
    put(world, "new 1", of=lane(1))
    put(world, "new 2")
    world.deliver(tail=3)
    world.deliver(lane(1))
    assert world.recorder.ids() == ["new 0", "new 2", "new 1"]
    assert (world.cursor().began, world.cursor(lane(1)).began) == (2, 1)
    assert pins(world) == {HOME: world.records()[2].time}


def test_what_was_published_after_the_pin_is_missed_in_no_lane_however_late_it_is_rung() -> None:
    world = latest()
    put(world, "new 0")
    world.deliver()
    put(world, "new 1", "new 2", of=lane(1))
    world.clock.advance(3_600)
    put(world, "new 3", of=lane(1))
    world.deliver(lane(1))
    assert world.recorder.ids(lane(1)) == ["new 1", "new 2", "new 3"]


def test_a_lane_that_has_a_cursor_costs_nothing_more_than_ever() -> None:
    world = latest()
    put(world, "new 0")
    by = world.deliverer()
    world.deliver(by=by)
    world.faults.calls.clear()
    put(world, "new 1")
    world.deliver(by=by)
    assert world.faults.calls == ["ledger.state", "log.read", "handler.attempt", "ledger.commit"]


def test_a_lane_begins_by_one_commit_and_one_pin_a_subscription() -> None:
    world = latest()
    by = world.deliverer()
    for other_lane in (LANE, lane(1)):
        put(world, f"new of {other_lane}", of=other_lane)
        world.deliver(other_lane, by=by)
    assert world.faults.count("ledger.pin") == 1
    assert world.faults.count("ledger.commit") == 4


def test_a_ring_for_an_empty_lane_pins_nothing() -> None:
    world = SubscribedStream(start="latest")
    assert world.deliver(tail=ANY_TAIL).outcome is LaneOutcome.NOT_BEGUN
    assert pins(world) == {}
    put(world, "new 0", of=lane(1))
    put(world, "new 1")
    world.deliver(lane(1))
    world.deliver()
    assert world.recorder.ids() == ["new 0", "new 1"]


def test_while_it_is_paused_the_first_doorbell_pins_all_the_same() -> None:
    world = latest()
    operator = operator_of(world)
    operator.pause("not yet")
    put(world, "new 0")
    assert world.deliver().outcome is LaneOutcome.WAITING
    put(world, "new 1", of=lane(1))
    assert world.deliver(lane(1)).outcome is LaneOutcome.WAITING
    world.clock.advance(3_600)
    put(world, "new 2")
    operator.resume()
    world.deliver_all()
    assert sorted(world.recorder.ids()) == ["new 0", "new 1", "new 2"]


def test_while_it_is_paused_a_subscription_that_begins_with_the_first_event_pins_nothing() -> None:
    world = SubscribedStream()
    operator_of(world).pause("not yet")
    put(world, "a")
    assert world.deliver().outcome is LaneOutcome.WAITING
    assert pins(world) == {}


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("number", range(2, 16))
def test_a_fault_anywhere_changes_nothing_of_where_it_begins(fault: Fault, number: int) -> None:
    world = latest()
    put(world, "new 0")
    faults = Faults(nth(number, fault))
    try:
        world.deliver(by=world.deliverer(faults=faults))
    except (SimulatedCrash, PortError):
        assert len(faults.calls) == number
    put(world, "new 1", of=lane(1))
    for other_lane in (lane(1), LANE):
        world.deliver(other_lane)
    # Where the first doorbell pinned nothing, the next did; its record is later than "new 0".
    handled = set(world.recorder.ids())
    assert handled in ({"new 0", "new 1"}, {"new 1"})
    assert handled == {"new 0", "new 1"} or pins(world)[HOME] == world.records(lane(1))[1].time


def test_everywhere_each_region_pins_for_itself() -> None:
    world = SubscribedStream(start="latest", deliver="everywhere")
    put(world, "old")
    world.cloud.replicate()
    put(world, "new 0")
    world.deliver()
    put(world, "new 1")
    world.cloud.replicate()
    away = world.at(AWAY, handler=Recorder())
    away.deliver()
    assert (world.recorder.ids(), away.recorder.ids()) == (["new 0"], ["new 1"])
    assert set(pins(world, AWAY)) == {HOME, AWAY}


def test_who_takes_a_lane_over_begins_where_its_own_region_would_have() -> None:
    world = SubscribedStream(start="latest")
    put(world, "old")
    put(world, "new 0", of=lane(1))
    world.deliver(lane(1))
    put(world, "new 1")
    world.cloud.replicate()
    away = world.at(AWAY, handler=Recorder())
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
    world = with_an_old_event()
    world.cloud.replicate()
    away = world.at(AWAY, handler=Recorder())
    hand_over(away, epoch=3)
    put(world, "new")
    world.cloud.replicate()
    away.deliver(tail=2)
    assert away.recorder.ids() == ["new"]
    assert (away.cursor().epoch, away.cursor().began) == (3, 1)


def test_what_a_lost_region_had_begun_with_is_not_passed_over_though_nobody_heard_of_it() -> None:
    world = with_an_old_event()
    for number in range(3):
        put(world, f"new {number}")
        world.clock.advance(1)
    world.cloud.replicate()
    world.deliver(
        tail=2
    )  # pins, and begins with, the record that rang; nothing of that is replicated any more
    assert pins(world)[HOME] == world.records()[1].time
    away = world.at(AWAY, handler=Recorder())
    hand_over(away)
    away.deliver(by=away.deliverer())
    assert away.recorder.ids() == ["new 0", "new 1", "new 2"]


def test_nor_is_it_where_the_lane_comes_back_to_its_first_region_which_had_never_begun() -> None:
    world = with_an_old_event()
    world.cloud.replicate()
    away = world.at(AWAY)
    hand_over(away)
    world.cloud.replicate()
    world.cloud.cut(AWAY)
    put(world, "new 0")
    hand_over(world, epoch=2)
    put(world, "new 1")
    world.deliver(
        tail=3, by=world.deliverer()
    )  # AWAY may have begun with "new 0", and nobody here heard of that
    assert world.recorder.ids() == ["new 0", "new 1"]


def test_a_pin_that_is_younger_than_a_handover_says_nothing_of_what_was_delivered_since_that() -> None:
    """The first Region pins while it is paused, for a lane that came back to it."""
    world = with_an_old_event()
    world.cloud.replicate()
    hand_over(world.at(AWAY))
    world.cloud.replicate()
    world.cloud.cut(AWAY)
    world.clock.advance(1)
    put(world, "new 0")
    hand_over(world, epoch=2)
    operator = operator_of(world)
    operator.pause("a look")
    put(world, "new 1")
    assert world.deliver(tail=3, by=world.deliverer()).outcome is LaneOutcome.WAITING
    assert HOME in pins(world)
    operator.resume()
    world.clock.advance(limits.CIRCUIT_CACHE_SECONDS + 1)
    world.deliver(by=world.deliverer())
    assert world.recorder.ids() == ["new 0", "new 1"]


@pytest.mark.parametrize("pinned_in", [HOME, AWAY])
def test_a_lane_begins_no_later_than_any_pin_that_is_known(pinned_in: Region) -> None:
    """A Region pins while it is paused, and hands the lane on days later without having begun with it."""
    world = with_an_old_event()
    world.cloud.replicate()
    away = world.at(AWAY)
    hand_over(away, epoch=1)
    world.cloud.replicate()
    if pinned_in == HOME:
        hand_over(world, epoch=2)
        world.cloud.replicate()
    world.clock.advance(60)
    pins_first, begins = (world, away) if pinned_in == HOME else (away, world)
    operator_of(pins_first).pause("a look")
    put(world, "new 0")
    world.cloud.replicate()
    assert pins_first.deliver(by=pins_first.deliverer()).outcome is LaneOutcome.WAITING
    world.clock.advance(3 * limits.STREAM_RETENTION_SECONDS)
    put(world, "new 1")
    world.cloud.replicate()
    hand_over(begins, epoch=3)
    operator_of(begins).resume()
    begins.deliver(by=begins.deliverer())
    assert begins.recorder.ids() == ["new 0", "new 1"]


def test_who_takes_over_a_lane_that_has_begun_asks_nothing_of_where_to_begin() -> None:
    world = SubscribedStream(start="latest")
    put(world, "old", "new 0")
    world.deliver(tail=2)
    put(world, "new 1")
    world.cloud.replicate()
    away = world.at(AWAY, handler=Recorder())
    hand_over(away)
    faults = Faults()
    away.deliver(by=away.deliverer(faults=faults))
    assert away.recorder.ids() == ["new 1"]
    assert "log.tail" not in faults.calls


def test_a_lane_whose_first_records_expired_begins_with_the_oldest_that_is_kept() -> None:
    world = SubscribedStream(retention_days=30)
    put(world, "gone")
    world.clock.advance(31 * 86_400)
    put(world, "kept 0", "kept 1")
    world.table.write("Delete", {"Key": record_key(LANE, 0)})
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.recorder.ids() == ["kept 0", "kept 1"]
    assert world.cursor().began == 1
    assert world.faults.count("ledger.commit") == 2


def test_a_hole_at_the_front_of_another_regions_lane_is_waited_for_and_not_skipped() -> None:
    world = SubscribedStream(retention_days=30, deliver="everywhere")
    of = lane(0, AWAY)
    first = world.record(world.log.tail(of), event("first"), of=of)
    second = world.record(first.tail, event("second"), of=of)
    world.log.append(second)
    assert world.deliver(of, tail=2).outcome is LaneOutcome.HOLE
    world.log.append(first)
    world.deliver(of, tail=2)
    assert world.recorder.ids() == ["first", "second"]
    assert world.cursor(of).began == 0


def test_a_begun_lane_waits_at_a_hole_as_ever() -> None:
    world = SubscribedStream(retention_days=30)
    put(world, "a")
    world.deliver()
    missing = world.record(world.origin_log.tail(LANE), event("b"))
    world.put(event("c"), log_lane_tail=missing.tail)
    assert world.deliver().outcome is LaneOutcome.HOLE
    assert (world.cursor().sequence, world.cursor().chain != UNKNOWN_CHAIN) == (1, True)


def test_a_start_is_trusted_for_as_long_as_a_process_knows_it() -> None:
    """A start that one process pinned is found by another; neither pins again when it reads its standing anew."""
    world = latest()
    put(world, "new 0")
    world.deliver(by=world.deliverer())
    world.clock.advance(2 * limits.CIRCUIT_CACHE_SECONDS)
    put(world, "new 1", of=lane(1))
    world.deliver(lane(1), by=world.deliverer())
    assert world.faults.count("ledger.pin") == 1
