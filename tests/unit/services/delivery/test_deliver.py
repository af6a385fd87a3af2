"""The decisions of the deliverer, one by one: where a lane goes on, stops or waits, and what is committed."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import DivergenceError, UndecodableRecordError
from eventfabric.model import Chain, Event, Record, SequenceNumber, Tail, chain_of
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.operations.failover import Failover
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.wire import record_item
from eventfabric.wire.doorbell import from_body
from tests.support.memory_fabric import AWAY, HOME, LANE, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SubscribedStream

DAY_MS = 86_400_000
_BESIDE = ("handler.attempt", "ledger.standing", "ledger.hand_over")
"""Calls that are made once in a while, and not for each run of a lane."""


class BadOrder(Exception):
    """The error that handlers raise here."""


def failing_at(*ids: str) -> Recorder:
    """A handler that fails at these events."""

    def before(events: Sequence[Event]) -> None:
        if any(event.id in ids for event in events):
            raise BadOrder(events[0].id)

    return Recorder(before=before)


def put_each(fabric: SubscribedStream, *names: str) -> None:
    """One record an event, each of a key of its own."""
    for name in names:
        fabric.put(event(name, key=name))


def test_a_run_hands_over_each_event_in_order_and_moves_the_cursor_behind_the_last() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"), event("b"))
    fabric.put(event("c"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a", "b", "c"]
    cursor = fabric.cursor()
    assert (cursor.sequence, cursor.base, cursor.chain) == (3, 3, fabric.records()[-1].chain)
    assert fabric.telemetry.totals[Metric.EVENTS_HANDLED] == 3


def test_a_handled_event_knows_its_place_and_its_attempt() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"), event("b"))
    bell, deadline_ms = fabric.bell(), fabric.clock.now_ms() + 5
    fabric.deliverer().deliver(bell, deadline_ms=deadline_ms)
    second = fabric.recorder.events[1]
    assert (second.origin, second.lane, second.sequence) == (LANE.origin, LANE, 1)
    attempt = fabric.recorder.attempts[1]
    assert (attempt.subscription, attempt.number, attempt.deadline_ms) == ("billing", 1, deadline_ms)


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once", "exactly_once"])
def test_a_lane_run_makes_three_calls_and_a_duplicate_doorbell_one(guarantee: str) -> None:
    fabric = SubscribedStream(guarantee=guarantee)
    put_each(fabric, "a", "b", "c")
    for calls, outcome in ((3, LaneOutcome.DELIVERED), (1, LaneOutcome.DUPLICATE)):
        faults = Faults()
        assert fabric.deliver(by=fabric.deliverer(faults=faults)).outcome is outcome
        made = [call for call in faults.calls if call not in _BESIDE]
        # What is known of nobody's pace goes one first: at most once commits before it, and then the rest.
        assert len(made) - (guarantee == "at_most_once" and calls > 1) == calls
    assert fabric.telemetry.totals[Metric.DOORBELLS_DUPLICATE] == 1


def test_a_doorbell_for_less_than_was_delivered_is_a_duplicate_and_for_more_is_not() -> None:
    fabric = SubscribedStream()
    put_each(fabric, "a", "b")
    fabric.deliver()
    assert fabric.deliver(tail=1).outcome is LaneOutcome.DUPLICATE
    assert fabric.deliver(tail=5).outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a", "b"]


def test_another_regions_lane_is_not_touched() -> None:
    fabric = SubscribedStream()
    assert fabric.deliver(lane(0, AWAY), tail=1).outcome is LaneOutcome.NOT_OWNER
    assert fabric.faults.calls == ["ledger.standing"] * 2


def test_each_page_is_one_read_and_one_commit() -> None:
    fabric = SubscribedStream()
    put_each(fabric, *(f"e{number}" for number in range(2 * limits.PAGE_RECORDS_MAX + 5)))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == fabric.logged_ids()
    assert (fabric.faults.count("log.read"), fabric.faults.count("ledger.commit")) == (3, 3)


def test_a_filter_steps_over_other_types_and_still_commits() -> None:
    fabric = SubscribedStream(types=["paid"])
    fabric.put(event("a", type="paid"), event("b"))
    fabric.put(event("c"), event("d"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a"]
    assert fabric.cursor().sequence == 4


def test_a_lane_of_other_types_only_is_stepped_over_page_by_page_until_the_time_is_up() -> None:
    fabric = SubscribedStream(types=["paid"])
    put_each(fabric, *(f"e{number}" for number in range(limits.PAGE_RECORDS_MAX + 1)))
    result = fabric.deliver(time_ms=0)
    assert result.outcome is LaneOutcome.HANDED_BACK
    assert fabric.cursor().sequence == limits.PAGE_RECORDS_MAX
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED


def test_a_record_of_other_types_need_not_be_decodable() -> None:
    fabric = SubscribedStream(types=["paid"])
    damaged = replace(fabric.record(fabric.origin_log.tail(LANE), event("a")), payload=b"\x63nonsense")
    fabric.origin_log.append(replace(damaged, chain=rechained(fabric, damaged)))
    fabric.put(event("b", type="paid"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["b"]


def rechained(fabric: SubscribedStream, record: Record) -> Chain:
    return chain_of(fabric.origin_log.tail(LANE).chain, record)


def test_a_record_that_cannot_be_decoded_stops_the_lane_before_it_with_nothing_skipped() -> None:
    fabric = SubscribedStream()
    put_each(fabric, "a")
    damaged = replace(fabric.record(fabric.origin_log.tail(LANE), event("b")), payload=b"\x63nonsense")
    fabric.origin_log.append(replace(damaged, chain=rechained(fabric, damaged)))
    put_each(fabric, "c")
    for _ in range(2):
        result = fabric.deliver()
        assert result.outcome is LaneOutcome.STOPPED
        assert isinstance(result.cause, UndecodableRecordError)
        assert not result.done
        assert fabric.recorder.ids() == ["a"]
        assert fabric.cursor().sequence == 1
    assert fabric.telemetry.totals[Metric.LANES_STOPPED] == 2


def test_an_item_that_is_no_record_stops_the_lane_before_it() -> None:
    fabric = SubscribedStream()
    put_each(fabric, "a")
    item = record_item.to_item(fabric.record(fabric.origin_log.tail(LANE), event("b")))
    del item["c"]
    fabric.table.write("Put", {"Item": item})
    result = fabric.deliver(tail=2)
    assert isinstance(result.cause, UndecodableRecordError)
    assert fabric.cursor().sequence == 1


def test_a_hole_is_waited_for_and_its_own_doorbell_goes_on() -> None:
    fabric = SubscribedStream()
    put_each(fabric, "a")
    missing = fabric.record(fabric.origin_log.tail(LANE), event("b"))
    fabric.put(event("c"), log_lane_tail=missing.tail)
    result = fabric.deliver()
    assert result.outcome is LaneOutcome.HOLE
    assert result.done
    assert fabric.recorder.ids() == ["a"]
    assert fabric.cursor().sequence == 1
    assert fabric.telemetry.totals[Metric.LANES_WAITING] == 1
    fabric.origin_log.append(missing)
    assert fabric.deliver(tail=2).outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a", "b", "c"]


def test_a_lane_that_begins_with_a_hole_commits_nothing() -> None:
    fabric = SubscribedStream()
    missing = fabric.record(fabric.origin_log.tail(LANE), event("a"))
    fabric.put(event("b"), log_lane_tail=missing.tail)
    assert fabric.deliver().outcome is LaneOutcome.HOLE
    assert fabric.faults.calls == ["ledger.standing", "ledger.hand_over", "ledger.state", "log.read"]


def test_a_record_of_another_chain_stops_the_lane() -> None:
    fabric = SubscribedStream()
    put_each(fabric, "a")
    tail = fabric.origin_log.tail(LANE)
    fabric.put(event("forged"), log_lane_tail=replace(tail, chain=Chain(b"!" * 16)))
    result = fabric.deliver()
    assert result.outcome is LaneOutcome.STOPPED
    assert isinstance(result.cause, DivergenceError)
    assert fabric.recorder.ids() == ["a"]
    assert fabric.cursor().sequence == 1


def test_a_record_that_overlaps_the_one_before_stops_the_lane() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"), event("b"))
    tail = fabric.origin_log.tail(LANE)
    fabric.put(event("overlaps"), log_lane_tail=Tail(SequenceNumber(1), tail.chain, tail.time))
    result = fabric.deliver(tail=3)
    assert isinstance(result.cause, DivergenceError)
    assert fabric.recorder.ids() == ["a", "b"]


def test_at_most_once_commits_first_and_goes_on_after_a_failure() -> None:
    cursors: list[int] = []
    fabric = SubscribedStream(guarantee="at_most_once")

    def before(events: Sequence[Event]) -> None:
        cursors.append(fabric.cursor().sequence)
        if events[0].id == "b":
            raise BadOrder

    fabric.recorder.before = before
    put_each(fabric, "a", "b", "c")
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a", "c"]
    # One by itself while nothing is known of how long one takes, then all that there is time for.
    assert cursors == [1, 3, 3]
    assert fabric.telemetry.totals[Metric.EVENTS_FAILED] == 1


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_out_of_time_commits_what_was_handled_and_says_so(guarantee: str) -> None:
    fabric = SubscribedStream(guarantee=guarantee)
    fabric.recorder.before = lambda events: fabric.clock.advance(10)
    put_each(fabric, "a", "b", "c", "d")
    result = fabric.deliver(time_ms=25_000)
    assert (result.outcome, result.done) == (LaneOutcome.HANDED_BACK, True)
    assert fabric.recorder.ids() == ["a", "b"]
    assert fabric.cursor().sequence == 2
    (again,) = fabric.receive()
    assert from_body(again.body).again == fabric.clock.now_ms()


def test_an_attempt_that_would_outlive_its_time_is_not_begun_but_the_first_of_an_invocation_is() -> None:
    fabric = SubscribedStream()
    fabric.recorder.before = lambda events: fabric.clock.advance(20)
    put_each(fabric, "a", "b", "c")
    deliverer = fabric.deliverer()
    for handled in (["a"], ["a", "b"], ["a", "b", "c"]):
        fabric.deliver(by=deliverer, time_ms=15_000)
        assert fabric.recorder.ids() == handled


def test_a_hand_back_that_cannot_be_rung_leaves_its_doorbell_to_come_again() -> None:
    fabric = SubscribedStream()
    fabric.recorder.before = lambda events: fabric.clock.advance(10)
    put_each(fabric, "a", "b")
    faults = Faults(nth(1, Fault.THROTTLED, name="doorbells.ring"))
    assert not fabric.deliver(by=fabric.deliverer(faults=faults), time_ms=5_000).done
    assert fabric.cursor().sequence == 1


def test_out_of_time_at_once_commits_and_attempts_nothing_under_at_most_once() -> None:
    fabric = SubscribedStream(guarantee="at_most_once")
    put_each(fabric, "a")
    assert fabric.deliver(time_ms=0).outcome is LaneOutcome.HANDED_BACK
    assert fabric.recorder.attempts == []
    assert fabric.cursor().sequence == 0


def test_at_most_once_commits_only_what_it_has_time_for() -> None:
    fabric = SubscribedStream(guarantee="at_most_once")
    fabric.recorder.before = lambda events: fabric.clock.advance(10)
    names = [f"e{number}" for number in range(9)]
    put_each(fabric, *names)
    deliverer = fabric.deliverer()
    for _ in range(9):
        fabric.deliver(by=deliverer, time_ms=25_000)
    assert fabric.recorder.ids() == names
    assert Metric.EVENTS_DROPPED not in fabric.telemetry.totals


def test_what_at_most_once_has_no_time_left_for_is_counted_as_dropped() -> None:
    fabric = SubscribedStream(guarantee="at_most_once")
    seconds = iter([1.0, 20.0, 1.0, 1.0])
    fabric.recorder.before = lambda events: fabric.clock.advance(next(seconds))
    put_each(fabric, "a", "b", "c", "d", "e")
    assert fabric.deliver(time_ms=15_000).outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a", "b"]
    assert fabric.telemetry.totals[Metric.EVENTS_DROPPED] == 3


def test_of_a_batch_that_at_most_once_has_no_time_for_each_event_is_counted() -> None:
    fabric = SubscribedStream(guarantee="at_most_once", handler=Recorder(batch_events_max=2))
    seconds = iter([1.0, 20.0])
    fabric.recorder.before = lambda events: fabric.clock.advance(next(seconds))
    put_each(fabric, *"abcdefg")
    assert fabric.deliver(time_ms=15_000).outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a", "b", "c", "d"]
    assert fabric.telemetry.totals[Metric.EVENTS_DROPPED] == 3


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_commit_that_lost_its_race_reads_again_and_finds_what_the_other_did(guarantee: str) -> None:
    """Another consumer handles the whole lane in the middle of this one's first attempt."""
    fabric = SubscribedStream(guarantee=guarantee)
    other = fabric.deliverer(handler=Recorder(effects=guarantee == "exactly_once"))
    put_each(fabric, "a", "b")
    overtaken: list[LaneOutcome] = []

    def before(events: Sequence[Event]) -> None:
        if not overtaken:
            overtaken.append(fabric.deliver(by=other).outcome)

    fabric.recorder.before = before
    assert fabric.deliver().outcome is LaneOutcome.DUPLICATE
    assert overtaken == [LaneOutcome.DELIVERED]
    assert fabric.telemetry.totals[Metric.COMMITS_LOST] == 1
    if guarantee == "exactly_once":
        assert fabric.effects() == {"a": 1, "b": 1}


def test_a_run_that_lost_its_race_goes_on_only_with_what_its_region_still_delivers() -> None:
    fabric = SubscribedStream()
    other = fabric.deliverer(handler=Recorder())
    put_each(fabric, "a")

    def before(events: Sequence[Event]) -> None:
        if fabric.log.tail(LANE).sequence == 1:
            fabric.deliver(by=other)
            Failover(fabric.topology, source=HOME, target=AWAY, ports=fabric.ports(AWAY)).hand_over("moved")
            fabric.cloud.replicate()
            fabric.put(event("b"))

    fabric.recorder.before = before
    assert fabric.deliver().outcome is LaneOutcome.NOT_OWNER
    assert fabric.recorder.ids() == ["a"]
    assert fabric.cursor().sequence == 1


def test_a_lane_that_is_overtaken_again_and_again_is_left_to_its_doorbell() -> None:
    fabric = SubscribedStream()
    put_each(fabric, *(f"e{number}" for number in range(10)))
    overtaken_at: list[int] = []

    def overtake(events: Sequence[Event]) -> None:
        """Once a run, just before its first event: another consumer handles that one, and has time for no more."""
        run = fabric.telemetry.totals.get(Metric.COMMITS_LOST, 0)
        if len(overtaken_at) == run:
            overtaken_at.append(fabric.cursor().sequence)
            slow = Recorder(before=lambda events: fabric.clock.advance(10))
            fabric.deliver(by=fabric.deliverer(handler=slow), time_ms=1)

    fabric.recorder.before = overtake
    result = fabric.deliver()
    assert result.outcome is LaneOutcome.CONTENDED
    assert not result.done
    assert overtaken_at == list(range(limits.LANE_RACES_MAX))
    assert fabric.telemetry.totals[Metric.COMMITS_LOST] == limits.LANE_RACES_MAX


def test_a_batch_handler_gets_as_many_events_as_it_takes_across_records() -> None:
    sizes: list[int] = []
    handler = Recorder(batch_events_max=3, before=lambda events: sizes.append(len(events)))
    fabric = SubscribedStream(handler=handler)
    fabric.put(event("a"), event("b"))
    fabric.put(*(event(name) for name in "cdefg"))
    fabric.deliver()
    assert sizes == [3, 3, 1]
    assert handler.ids() == list("abcdefg")


def test_a_failed_batch_is_gone_through_one_by_one_so_that_only_who_failed_is_parked() -> None:
    handler = failing_at("e")
    handler.batch_events_max = 3
    fabric = SubscribedStream(handler=handler)
    put_each(fabric, *"abcdefg")
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a", "b", "c", "d", "f", "g"]
    assert set(fabric.parked()) == {"e"}
    assert fabric.parked()["e"].failure.attempts == 3


@pytest.mark.parametrize(("days", "latency_ms"), [(0, 0), (1, DAY_MS)])
def test_the_latency_of_a_run_is_that_of_its_oldest_event(days: int, latency_ms: int) -> None:
    fabric = SubscribedStream()
    put_each(fabric, "a")
    fabric.clock.advance(days * 86_400)
    put_each(fabric, "b")
    fabric.deliver()
    assert fabric.telemetry.totals[Metric.DELIVERY_LATENCY] == latency_ms


def test_a_doorbell_comes_through_the_queue_as_the_relay_rang_it() -> None:
    fabric = SubscribedStream()
    put_each(fabric, "a")
    fabric.relay_all()
    (message,) = fabric.receive()
    assert from_body(message.body) == fabric.bell()
    fabric.answer([message])
    assert len(fabric.queue) == 0
    assert fabric.recorder.ids() == ["a"]
