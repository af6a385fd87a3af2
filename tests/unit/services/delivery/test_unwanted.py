"""Records that a subscription does not want: nobody is rung for them, and they make nothing late, slow or dear."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.model import ANY_TAIL, HybridTime, SequenceNumber, StreamName, SubscriptionName
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.delivery.relay import Relay
from eventfabric.services.delivery.worth import FRESH_SECONDS
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from eventfabric.wire.doorbell import from_body
from eventfabric.wire.stream_record import RecordNews, from_stream_record
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, STREAM, event, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

RECORDS = 2 * limits.PAGE_RECORDS_MAX - 50


def fabric_of(**settings: Any) -> SubscribedStream:
    """A fabric whose one subscription wants events of type `paid`."""
    return SubscribedStream(types=["paid"], **settings)


def put(fabric: SubscribedStream, *types: str, of: int = 0) -> None:
    for number, type_ in enumerate(types):
        fabric.put(event(f"{type_}{number}", type=type_), of=lane(of))


def rung(fabric: SubscribedStream) -> list[tuple[str, int]]:
    bells = [from_body(body) for body in fabric.queue.bodies]
    return [(str(bell.lane), bell.tail) for bell in bells]


def test_nobody_is_rung_for_what_nobody_wants() -> None:
    fabric = fabric_of()
    put(fabric, "placed", "paid", "placed", "placed")
    put(fabric, "placed", of=1)
    fabric.relay_all()
    assert rung(fabric) == [(f"{HOME}/0.0", 2)]  # as its producer rings
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["paid1"]
    assert fabric.cursor().sequence == 4


def test_a_subscription_that_holds_producers_back_is_rung_for_all_and_handles_what_it_wants() -> None:
    fabric = fabric_of(**{"backpressure.seconds": 10})
    put(fabric, "placed", "paid", "placed", "placed")
    fabric.relay_all()
    assert rung(fabric) == [(f"{HOME}/0.0", 4)]
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["paid1"]


def test_a_lane_is_rung_all_the_same_once_it_has_so_many_more_events() -> None:
    fabric, every = fabric_of(), limits.RING_EVERY_EVENTS
    relay = Relay(fabric.stream, region=HOME, ports=fabric.ports(), telemetry=fabric.telemetry)
    put(fabric, "placed")
    (news,) = [from_stream_record(change.event()) for change in fabric.table.stream.changes]
    assert news is not None
    for first, tail in [(0, every - 1), (every - 1, every), (every, every + 9), (every + 9, 2 * every + 1)]:
        relay.ring([replace(news, sequence=SequenceNumber(first), tail=SequenceNumber(tail))])
    assert rung(fabric) == [(f"{HOME}/0.0", every), (f"{HOME}/0.0", 2 * every + 1)]


def test_what_may_fill_a_hole_is_rung_for_whoever_wants_it() -> None:
    """In a replica, and wherever a record is copied later, a wanted one behind it may have been rung for in vain."""
    replica = fabric_of(delivered_in=AWAY, deliver="everywhere")
    put(replica, "placed")
    replica.cloud.replicate()
    replica.relay_all()
    assert rung(replica) == [(f"{HOME}/0.0", 1)]
    restored = fabric_of()
    put(restored, "placed")
    restored.clock.advance(FRESH_SECONDS + 1)
    restored.relay_all()
    assert rung(restored) == [(f"{HOME}/0.0", 1)]


@pytest.mark.parametrize("field", ["sequence", "types", "time"])
def test_a_record_of_which_too_little_is_known_is_rung_for(field: str) -> None:
    fabric = fabric_of()
    put(fabric, "placed")
    (change,) = fabric.table.stream.changes
    news = from_stream_record(change.event())
    assert isinstance(news, RecordNews)
    relay = Relay(fabric.stream, region=HOME, ports=fabric.ports(), telemetry=fabric.telemetry)
    unknown: dict[str, Any] = {field: None}
    relay.ring([replace(news, **unknown)])
    assert rung(fabric) == [(f"{HOME}/0.0", 1)]


def test_a_subscription_that_begins_with_the_latest_is_rung_for_everything_until_its_start_is_pinned() -> (
    None
):
    fabric = fabric_of(start="latest")
    put(fabric, "placed")
    fabric.relay_all()
    assert rung(fabric) == [(f"{HOME}/0.0", 1)]
    fabric.deliver_all()
    assert fabric.ports().ledger.standing(StreamName(STREAM), SubscriptionName(SUBSCRIPTION)).starts
    put(fabric, "placed")
    put(fabric, "placed", "paid", of=1)
    fabric.relay_all()
    assert rung(fabric) == [(f"{HOME}/0.1", 2)]
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["paid1"]


def test_while_it_is_not_known_if_the_start_is_pinned_everything_is_rung_for() -> None:
    fabric = fabric_of(start="latest")
    fabric.ports().ledger.pin(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), HybridTime(1))
    put(fabric, "placed")
    (change,) = fabric.table.stream.changes
    news = from_stream_record(change.event())
    assert news is not None
    faults = Faults(nth(1, Fault.THROTTLED, name="ledger.standing"))
    relay = Relay(fabric.stream, region=HOME, ports=faults.ports(fabric.ports()), telemetry=fabric.telemetry)
    relay.ring([news])
    assert rung(fabric) == [(f"{HOME}/0.0", 1)]
    relay.ring([replace(news, tail=SequenceNumber(2))])
    assert len(rung(fabric)) == 1


def test_a_wanted_event_behind_pages_of_others_costs_their_reads_and_one_commit() -> None:
    fabric = fabric_of()
    put(fabric, *["placed"] * RECORDS, "paid")
    faults = Faults()
    assert fabric.deliver(by=fabric.deliverer(faults=faults)).outcome is LaneOutcome.DELIVERED
    assert (faults.count("log.read"), faults.count("ledger.commit")) == (2, 1)
    assert fabric.recorder.ids() == [f"paid{RECORDS}"]
    assert fabric.cursor().sequence == RECORDS + 1


def test_pages_without_a_wanted_event_are_committed_when_the_time_is_up() -> None:
    fabric = fabric_of()
    put(fabric, *["placed"] * RECORDS)
    assert fabric.deliver(time_ms=0).outcome is LaneOutcome.HANDED_BACK
    assert fabric.cursor().sequence == limits.PAGE_RECORDS_MAX
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.cursor().sequence == RECORDS


def test_pages_without_a_wanted_event_are_committed_before_the_lane_stops() -> None:
    fabric = fabric_of()
    put(fabric, *["placed"] * RECORDS)
    items = fabric.table.items
    broken = {**items[limits.PAGE_RECORDS_MAX], "n": {"S": "x"}}
    fabric.table.write("Put", {"TableName": fabric.table.name, "Item": broken})
    assert fabric.deliver().outcome is LaneOutcome.STOPPED
    assert fabric.cursor().sequence == limits.PAGE_RECORDS_MAX


@pytest.mark.parametrize("call", range(3, 8))
def test_a_crash_at_any_call_behind_unwanted_pages_loses_nothing(call: int) -> None:
    fabric = fabric_of(guarantee="exactly_once")
    put(fabric, *["placed"] * RECORDS, "paid", *["placed"] * RECORDS, "paid")
    for fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER):
        crashing = fabric.deliverer(faults=Faults(nth(call, fault)))
        with suppress(SimulatedCrash):
            fabric.deliver(by=crashing)
    assert fabric.deliver(tail=ANY_TAIL).outcome in (LaneOutcome.DELIVERED, LaneOutcome.DUPLICATE)
    assert set(fabric.effects().values()) == {1}
    assert len(fabric.effects()) == 2
    assert fabric.cursor().sequence == 2 * RECORDS + 2


def test_an_old_unwanted_record_in_front_makes_a_fresh_event_neither_late_nor_slow() -> None:
    fabric = fabric_of(deliver="one", region=HOME)
    put(fabric, "placed")
    fabric.clock.advance(3_600)
    put(fabric, "paid")
    faults = Faults()
    fabric.deliver(by=fabric.deliverer(faults=faults))
    assert fabric.telemetry.totals[Metric.DELIVERY_LATENCY] == 0
    assert faults.count("log.tail") == 0  # nothing of other Regions was looked at


def test_a_hole_at_the_origin_is_looked_at_again_in_a_moment_for_nobody_may_ring_for_what_fills_it() -> None:
    """A read may show the second record of a transaction before the first, which nobody wants."""
    fabric = fabric_of()
    put(fabric, "placed", "paid")
    first = fabric.table.items[0]
    fabric.table.write("Delete", {"Key": {"pk": first["pk"], "sk": first["sk"]}})
    assert fabric.deliver().outcome is LaneOutcome.HOLE
    fabric.table.write("Put", {"TableName": fabric.table.name, "Item": first})
    assert len(fabric.timers) == 1
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["paid1"]


def test_a_hole_that_stays_is_looked_at_once_more_and_not_for_ever() -> None:
    fabric = fabric_of()
    put(fabric, "placed", "paid")
    first = fabric.table.items[0]
    fabric.table.write("Delete", {"Key": {"pk": first["pk"], "sk": first["sk"]}})
    fabric.relay_all()
    fabric.deliver_all()
    assert fabric.telemetry.totals[Metric.LANES_WAITING] == 2


def test_a_new_owner_is_rung_for_everything_since_its_records_come_in_any_order() -> None:
    fabric = fabric_of(deliver="one", region=HOME)
    away = fabric.in_region(AWAY)
    hand_over(fabric, to=AWAY)
    put(fabric, "placed")
    fabric.cloud.replicate()
    away.relay_all()
    assert rung(away) == [(f"{HOME}/0.0", 1)]
