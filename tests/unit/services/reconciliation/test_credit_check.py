"""Producers that subscriptions hold back, as a pass sees them: what it counts, since when, and whom it has rung."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.definition.sections import Backpressure
from eventfabric.errors import LastingError
from eventfabric.model import Circuit, CircuitState, LaneKey, Mark, SequenceNumber, SubscriptionName
from eventfabric.model.credit import is_low
from eventfabric.services.delivery.breaker import CircuitBreaker
from eventfabric.services.reconciliation.reconcile import PassOrder, Reconciler
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from tests.support.failing_handlers import Failing, fabric_of
from tests.support.granted import account, slot
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.reconciliations import put_cursor
from tests.support.splits import split
from tests.support.subscribed_stream import LANE_KEY, SUBSCRIPTION, SubscribedStream

PASS_SECONDS = 300
EVENTS_MIN = 16
GATE = Backpressure(events_min=EVENTS_MIN)


def gate(**settings: Any) -> dict[str, Any]:
    """Return settings of a subscription that holds producers back."""
    return {"backpressure.events_min": EVENTS_MIN, **settings}


def put(fabric: SubscribedStream, count: int, *, name: str = "e", index: int = 0) -> None:
    of = lane(index)
    fabric.put(*(event(f"{name}{number}", key=str(number)) for number in range(count)), of=of)


def idle(**settings: Any) -> SubscribedStream:
    """Return a stream whose subscription has delivered everything, and has granted its producers as much as it may."""
    fabric = fabric_of(Failing({}), batch_events_max=100, **gate(**settings))
    put(fabric, 40)
    fabric.relay_all()
    fabric.deliver_all()
    fabric.cloud.replicate()
    return fabric


def passes(
    fabric: SubscribedStream, *, after_seconds: int = 0, faults: Faults | None = None, repair: bool = True
) -> Faults:
    """Make a pass as a function does. Return its calls."""
    fabric.clock.advance(after_seconds)
    faults = faults or Faults()
    wrapped = replace(faults.ports(fabric.ports()), log_of=fabric.ports().log_of)
    reconciler = Reconciler(fabric.stream, region=fabric.region, ports=wrapped, telemetry=fabric.telemetry)
    list(reconciler.make(PassOrder(repair=repair, thorough=False)))
    return faults


def short(fabric: SubscribedStream) -> tuple[float, float]:
    """Return how many lanes are short by the last pass, and for how many seconds the longest has been."""
    gauges = fabric.telemetry.gauges
    return gauges[Metric.CREDIT_SHORT, STREAM], gauges[Metric.CREDIT_SHORT_SECONDS, SUBSCRIPTION]


def fill(fabric: SubscribedStream, *, name: str = "f") -> None:
    """Append what is granted, and ring for it."""
    granted = slot(fabric)
    assert granted is not None
    put(fabric, granted - fabric.log.tail(LANE).sequence, name=name)
    fabric.relay_all()


def lose_doorbells(fabric: SubscribedStream) -> None:
    """Lose all doorbells that wait or are being answered."""
    fabric.clock.advance(limits.VISIBILITY_TIMEOUT_SECONDS)
    while received := fabric.receive():
        for message in received:
            fabric.queue.delete(message.receipt_handle)


def moved_to_its_end() -> SubscribedStream:
    """Return a stream with a full lane, whose cursor somebody else has moved to its end, which grants nothing."""
    fabric = idle()
    fill(fabric)
    lose_doorbells(fabric)
    tail = fabric.log.tail(LANE)
    put_cursor(fabric, sequence=tail.sequence, base=tail.sequence, chain=tail.chain)
    return fabric


def granted_when_idle(fabric: SubscribedStream) -> int:
    """Return how far beyond its end a lane is granted while nothing waits."""
    return max(GATE.events_min, int(GATE.seconds * account(fabric).best))


def operator_of(fabric: SubscribedStream) -> CircuitBreaker:
    return CircuitBreaker(
        fabric.subscription, fabric.stream, ports=fabric.ports(), telemetry=fabric.telemetry
    )


class TestReads:
    def test_a_stream_that_nobody_gates_costs_none(self) -> None:
        fabric = fabric_of(Failing({}))
        put(fabric, 4)
        fabric.relay_all()
        fabric.deliver_all()
        assert passes(fabric).count("credits.granted") == 0
        assert short(fabric) == (0, 0)

    def test_are_one_for_an_origin_that_is_delivered_here(self) -> None:
        assert passes(idle()).count("credits.granted") == 1
        everywhere = idle(deliver="everywhere")
        assert passes(everywhere).count("credits.granted") == 1
        assert passes(everywhere.in_region(AWAY)).count("credits.granted") == 1

    def test_are_none_of_states_where_lanes_are_at_rest(self) -> None:
        fabric = idle()
        for _ in range(2):
            passes(fabric, after_seconds=PASS_SECONDS)
        calls = passes(fabric, after_seconds=PASS_SECONDS)
        assert (calls.count("credits.granted"), calls.count("ledger.state")) == (1, 0)

    def test_that_fail_are_told_at_the_end_and_what_was_known_stays(self) -> None:
        fabric = idle()
        fill(fabric)
        passes(fabric)
        with pytest.raises(LastingError):
            passes(fabric, after_seconds=200, faults=Faults(nth(1, Fault.DENIED, name="credits.granted")))
        passes(fabric, after_seconds=200)
        assert short(fabric) == (1, 400)


class TestALaneThatIsShort:
    def test_is_so_since_its_last_record(self) -> None:
        fabric = idle()
        fill(fabric)
        passes(fabric, after_seconds=90)
        assert short(fabric) == (1, 90)

    def test_is_not_so_longer_than_since_a_pass_that_saw_it_otherwise(self) -> None:
        fabric = idle()
        passes(fabric, after_seconds=1_000)
        fabric.clock.set_back(500)
        fill(fabric)
        passes(fabric, after_seconds=500 + 90)
        assert short(fabric) == (1, 90)

    def test_is_so_since_the_first_of_passes_that_all_saw_it_though_it_moves(self) -> None:
        fabric = idle()
        fill(fabric)
        passes(fabric, after_seconds=10)
        for number in range(3):
            fabric.deliver_all()
            fabric.clock.advance(PASS_SECONDS)
            fill(fabric, name=f"g{number}")
            passes(fabric, after_seconds=0)
        assert short(fabric) == (1, 10 + 3 * PASS_SECONDS)

    def test_is_none_any_more_once_more_is_granted(self) -> None:
        fabric = idle()
        fill(fabric)
        passes(fabric)
        fabric.deliver_all()
        passes(fabric, after_seconds=PASS_SECONDS)
        assert short(fabric) == (0, 0)
        fill(fabric, name="g")
        passes(fabric, after_seconds=30)
        assert short(fabric) == (1, 30)

    def test_is_counted_beside_others_and_the_longest_is_told(self) -> None:
        fabric = idle()
        put(fabric, 4, index=1)
        fabric.relay_all()
        fabric.deliver_all()
        fill(fabric)
        put(fabric, EVENTS_MIN, index=1, name="f")
        passes(fabric, after_seconds=60)
        assert short(fabric) == (2, 60)

    def test_that_was_never_granted_anything_is_none(self) -> None:
        fabric = fabric_of(Failing({}), **gate())
        put(fabric, 400)
        passes(fabric)
        assert short(fabric) == (0, 0)

    def test_of_another_region_is_none_where_each_delivers_for_itself(self) -> None:
        fabric = idle(deliver="everywhere")
        away = fabric.in_region(AWAY)
        away.deliver()
        put(fabric, 400, name="f")
        fabric.cloud.replicate()
        passes(away)
        assert short(away) == (0, 0)

    def test_is_one_whatever_others_grant_where_each_delivers_for_itself(self) -> None:
        fabric = idle(deliver="everywhere")
        fabric.ports(AWAY).credits.grant(LANE_KEY, SequenceNumber(1_000))
        fabric.cloud.replicate()
        fill(fabric)
        passes(fabric)
        assert short(fabric)[0] == 1

    def test_that_was_split_is_none(self) -> None:
        fabric = idle()
        fill(fabric)
        split(fabric)
        passes(fabric)
        assert short(fabric)[0] == 0

    def test_is_forgotten_with_the_last_gate(self) -> None:
        fabric = idle()
        fill(fabric)
        passes(fabric)
        subscription = replace(
            fabric.subscription, definition=replace(fabric.subscription.definition, backpressure=None)
        )
        ungated = replace(fabric.stream, subscriptions=(subscription,))
        ports = fabric.ports()
        reconciler = Reconciler(ungated, region=HOME, ports=ports, telemetry=fabric.telemetry)
        list(reconciler.run(repair=True))
        assert ports.ledger.marks(LANE_KEY.stream, HOME).of(LANE.number).short_ms == 0


def test_a_time_ahead_of_the_clock_is_not_believed() -> None:
    now_ms = 1_000_000
    ahead = Mark(short_ms=now_ms + 3_600_000)
    assert ahead.believed(now_ms).short_ms == 0
    assert Mark(short_ms=now_ms).believed(now_ms).short_ms == now_ms


class TestARing:
    def test_is_for_an_idle_lane_whose_copy_was_lost(self) -> None:
        fabric = idle()
        fill(fabric)
        faults = Faults(nth(1, Fault.CRASH_BEFORE, name="credits.grant"))
        with pytest.raises(SimulatedCrash):
            fabric.deliver(by=fabric.deliverer(faults=faults))
        lose_doorbells(fabric)
        assert slot(fabric) == fabric.cursor().sequence < account(fabric).granted
        passes(fabric, after_seconds=PASS_SECONDS)
        fabric.deliver_all()
        assert slot(fabric) == account(fabric).granted
        passes(fabric, after_seconds=PASS_SECONDS)
        assert not fabric.queue

    @pytest.mark.parametrize("rests", [False, True])
    def test_has_the_lane_grant_anew_where_somebody_else_moved_its_cursor(self, *, rests: bool) -> None:
        fabric = moved_to_its_end()
        if rests:
            for _ in range(2):
                passes(fabric, after_seconds=PASS_SECONDS, repair=False)
            calls = passes(fabric, after_seconds=PASS_SECONDS)
            assert calls.count("ledger.state") == 0
        else:
            passes(fabric, after_seconds=PASS_SECONDS)
        fabric.deliver_all()
        granted, tail = account(fabric).granted, fabric.log.tail(LANE).sequence
        assert slot(fabric) == granted
        assert not is_low(granted - tail, GATE)
        passes(fabric, after_seconds=PASS_SECONDS)
        assert not fabric.queue

    def test_is_for_a_lane_that_was_gated_once_is_gated_again_and_has_gone_on_meanwhile(self) -> None:
        fabric = moved_to_its_end()
        put_cursor(fabric, credit=None)
        passes(fabric)
        fabric.deliver_all()
        assert slot(fabric) == fabric.log.tail(LANE).sequence + EVENTS_MIN

    def test_comes_again_for_as_long_as_the_lane_is_short(self) -> None:
        fabric = moved_to_its_end()
        for _ in range(2):
            passes(fabric, after_seconds=PASS_SECONDS)
            assert len(fabric.queue) == 1
            lose_doorbells(fabric)

    def test_is_for_a_lane_with_nothing_but_what_is_not_wanted(self) -> None:
        fabric = idle(types=["Wanted"])
        fill(fabric)
        lose_doorbells(fabric)
        assert fabric.cursor().sequence < fabric.log.tail(LANE).sequence
        passes(fabric)
        fabric.deliver_all()
        assert slot(fabric) == account(fabric).granted > fabric.log.tail(LANE).sequence

    def test_is_none_for_a_lane_whose_state_cannot_be_read(self) -> None:
        fabric = moved_to_its_end()
        table = fabric.cloud.regions[HOME].table(fabric.topology.ledger_of(LANE_KEY.stream).name)
        cursor = {"pk": {"S": str(LANE_KEY)}, "sk": {"S": f"{HOME}/cursor"}, "s": {"S": "?"}}
        table.write("Put", {"Item": cursor})
        passes(fabric)
        assert not fabric.queue

    def test_is_none_of_a_pass_that_only_looks(self) -> None:
        fabric = moved_to_its_end()
        passes(fabric, repair=False)
        assert not fabric.queue
        assert short(fabric)[0] == 1

    def test_is_none_for_a_lane_that_has_events_to_deliver(self) -> None:
        fabric = idle()
        fill(fabric)
        before = len(fabric.queue)
        passes(fabric)
        assert len(fabric.queue) == before

    def test_is_none_for_an_idle_lane_that_was_left_what_is_usual(self) -> None:
        for count in range(1, 3 * EVENTS_MIN):
            fabric = idle()
            put(fabric, count, name="f")
            fabric.relay_all()
            fabric.deliver_all()
            passes(fabric)
            assert not fabric.queue


class TestAPause:
    def test_has_lanes_rung_whose_producers_are_to_go_on(self) -> None:
        fabric = idle()
        fill(fabric)
        operator_of(fabric).pause("maintenance")
        lose_doorbells(fabric)
        passes(fabric)
        fabric.deliver_all()
        assert slot(fabric) == fabric.log.tail(LANE).sequence + granted_when_idle(fabric)
        passes(fabric, after_seconds=PASS_SECONDS)
        assert short(fabric) == (0, 0)
        assert not fabric.queue

    def test_that_holds_producers_leaves_them_and_counts_them(self) -> None:
        fabric = idle(**{"backpressure.while_paused": "hold"})
        fill(fabric)
        operator_of(fabric).pause("maintenance")
        lose_doorbells(fabric)
        passes(fabric, after_seconds=PASS_SECONDS)
        assert not fabric.queue
        assert short(fabric)[0] == 1


def test_an_open_circuit_grants_nothing_so_nobody_is_rung_for_it() -> None:
    fabric = moved_to_its_end()
    ledger, key = fabric.ledger, LANE_KEY
    opened = Circuit(CircuitState.OPEN, since_ms=fabric.clock.now_ms(), probe_ms=fabric.clock.now_ms())
    assert ledger.switch(key.stream, key.subscription, Circuit(), opened)
    passes(fabric)
    assert not fabric.queue
    assert short(fabric)[0] == 1


def test_a_lane_whose_consumer_stands_still_is_short_and_others_are_not() -> None:
    fabric = idle()
    put(fabric, 1, index=1)
    fabric.relay_all()
    fabric.deliver_all()
    fill(fabric)
    put(fabric, 2, name="g", index=1)
    passes(fabric, after_seconds=60)
    assert short(fabric) == (1, 60)


def test_a_handover_makes_another_region_look_and_count() -> None:
    fabric = idle()
    fill(fabric)
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    fabric.cloud.replicate()
    assert passes(fabric).count("credits.granted") == 0
    assert passes(away).count("credits.granted") >= 1
    assert short(away)[0] == 1


def test_of_two_gates_the_one_that_binds_is_told_and_the_lane_counts_once() -> None:
    audit = '[subscriptions.audit]\nstream = "orders"\nhandler = "subscribers.audit:note"\nbackpressure = {}'
    fabric = idle(others=audit)
    key = LaneKey(LANE_KEY.stream, SubscriptionName("audit"), LANE)
    fabric.ports().credits.grant(key, SequenceNumber(40))
    assert passes(fabric, after_seconds=60).count("credits.granted") == 2
    gauges = fabric.telemetry.gauges
    assert gauges[Metric.CREDIT_SHORT, STREAM] == 1
    assert gauges[Metric.CREDIT_SHORT_SECONDS, "audit"] >= 60
    assert gauges[Metric.CREDIT_SHORT_SECONDS, SUBSCRIPTION] == 0
