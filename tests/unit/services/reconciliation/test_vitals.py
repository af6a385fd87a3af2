"""Gauges of a pass about a subscription and a stream, and the reads for that."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.model import Circuit, CircuitState, SequenceNumber, StreamName, SubscriptionName
from eventfabric.model.finding import FindingKind
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.services.reconciliation.vitals import Vitals
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Faults
from tests.support.failing_handlers import FEW, Failing, fabric_of, named, retry
from tests.support.findings import finding
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, Counting, lane
from tests.support.reconciliations import healthy, kinds, put_cursor
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def value_of(fabric: SubscribedStream, metric: Metric) -> float:
    """Return the value that the last pass reported of the subscription, or of the stream."""
    of = STREAM if metric.dimension == "stream" else SUBSCRIPTION
    return fabric.telemetry.gauges[metric, of]


def age_seconds(fabric: SubscribedStream) -> float:
    kinds(fabric)
    return value_of(fabric, Metric.OLDEST_UNDELIVERED)


def test_a_healthy_fabric_stands_at_nought() -> None:
    fabric = healthy()
    fabric.telemetry.gauges.clear()
    fabric.telemetry.totals.clear()
    kinds(fabric)
    assert fabric.telemetry.totals == {}
    assert set(fabric.telemetry.gauges.values()) == {0}


def test_the_age_is_that_of_the_oldest_event_that_no_delivery_took() -> None:
    fabric = healthy()
    fabric.put(*named("first"))
    fabric.clock.advance(40)
    fabric.put(*named("second"))
    fabric.clock.advance(60)
    assert age_seconds(fabric) == 100
    fabric.relay_all()
    fabric.deliver_all()
    assert age_seconds(fabric) == 0


def test_the_age_of_an_event_that_was_appended_just_now_is_nought() -> None:
    fabric = healthy()
    fabric.put(*named("now"))
    assert age_seconds(fabric) == 0


@pytest.mark.parametrize("indexes", [(0, 1), (1, 0)])
def test_the_age_is_that_of_the_lane_that_waits_longest(indexes: tuple[int, int]) -> None:
    fabric = healthy()
    for index in indexes:
        fabric.put(*named("first"), of=lane(index))
        fabric.clock.advance(30)
    assert age_seconds(fabric) == 60


def test_a_subscription_that_began_with_the_latest_waits_for_what_came_since() -> None:
    fabric = fabric_of(Failing({}), *named("first"), start="latest")
    fabric.deliver()
    fabric.put(*named("second"))
    fabric.clock.advance(30)
    assert age_seconds(fabric) == 30


def test_findings_that_somebody_is_to_look_at_are_counted_and_no_others() -> None:
    fabric = healthy()
    for index in (0, 1):
        fabric.put(*named("a"), of=lane(index))
    fabric.clock.advance(3_600)
    assert kinds(fabric) == [FindingKind.UNRUNG] * 2
    assert value_of(fabric, Metric.FINDINGS_ALARMED) == 2
    assert kinds(fabric, repair=True) == [FindingKind.UNRUNG] * 2
    assert value_of(fabric, Metric.FINDINGS_ALARMED) == 0


def test_the_age_is_measured_though_the_cursor_moves() -> None:
    fabric = healthy()
    fabric.put(*named("first"))
    fabric.clock.advance(400)
    put_cursor(fabric)
    assert age_seconds(fabric) == 400


def test_a_replay_is_no_delay_and_an_event_behind_it_is() -> None:
    fabric = healthy()
    fabric.clock.advance(5_000)
    put_cursor(fabric, sequence=SequenceNumber(0), base=SequenceNumber(0), replay_until=SequenceNumber(12))
    assert fabric.log.tail(LANE).sequence == 12
    assert age_seconds(fabric) == 0
    fabric.put(*named("new"))
    fabric.clock.advance(30)
    assert age_seconds(fabric) == 30


def test_a_subscription_that_begins_with_the_latest_does_not_wait_before_it_begins() -> None:
    fabric = fabric_of(Failing({}), start="latest")
    fabric.put(*named("past"))
    fabric.clock.advance(1_000)
    assert age_seconds(fabric) == 0


@pytest.mark.parametrize(("attempts", "metric"), [(2, Metric.KEYS_FAILING), (1, Metric.KEYS_DEAD)])
def test_parked_keys_are_named_by_what_becomes_of_them(attempts: int, metric: Metric) -> None:
    fabric = fabric_of(Failing({"a": 99, "b": 99}), **retry(immediate=0, attempts=attempts))
    fabric.put(*named("a", "b", "c"))
    fabric.relay_all()
    fabric.deliver()
    fabric.clock.advance(limits.FAILING_SECONDS)
    kinds(fabric)
    other = {Metric.KEYS_FAILING, Metric.KEYS_DEAD} - {metric}
    assert (value_of(fabric, metric), value_of(fabric, other.pop())) == (2, 0)


def test_a_key_that_failed_a_while_ago_is_failing_and_one_that_failed_just_now_is_not() -> None:
    fabric = fabric_of(Failing({"a": 99}), **retry(immediate=0, attempts=2))
    fabric.put(*named("a"))
    fabric.relay_all()
    fabric.deliver()
    fabric.clock.advance(limits.FAILING_SECONDS - 1)
    kinds(fabric)
    assert value_of(fabric, Metric.KEYS_FAILING) == 0
    fabric.clock.advance(1)
    kinds(fabric)
    assert value_of(fabric, Metric.KEYS_FAILING) == 1


def test_an_open_circuit_is_reported_and_a_paused_one_is_somebodys_wish() -> None:
    fabric = healthy()
    stream, subscription = StreamName(STREAM), SubscriptionName(SUBSCRIPTION)
    stands = fabric.ledger.switch(stream, subscription, Circuit(), Circuit(CircuitState.OPEN, "down"))
    assert stands is not None
    kinds(fabric)
    assert value_of(fabric, Metric.CIRCUIT_OPEN) == 1
    fabric.ledger.switch(stream, subscription, stands, replace(stands, state=CircuitState.PAUSED))
    kinds(fabric)
    assert value_of(fabric, Metric.CIRCUIT_OPEN) == 0


def test_a_stall_is_reported_though_the_pass_copies_what_is_missing() -> None:
    fabric = healthy()
    away = fabric.in_region(AWAY)
    fabric.put(*named("late"))
    assert kinds(away, repair=True) == [FindingKind.REPLICATION_DELAY]
    assert (value_of(away, Metric.LANES_BEHIND), value_of(away, Metric.LANES_STALLED)) == (1, 0)
    fabric.clock.advance(3_600)
    assert FindingKind.REPLICATION_STALL in kinds(away, repair=True)
    assert (value_of(away, Metric.LANES_BEHIND), value_of(away, Metric.LANES_STALLED)) == (0, 1)


def test_a_pass_that_is_broken_off_tells_nothing() -> None:
    fabric = fabric_of(Failing({}), **FEW)
    fabric.put(*named("a"))
    fabric.clock.advance(3_600)
    telemetry = Counting()
    passing = Reconciler(fabric.stream, region=HOME, ports=fabric.ports(), telemetry=telemetry).run(
        repair=False
    )
    next(passing)
    del passing  # as who breaks it off does
    assert telemetry.gauges == {}


def test_where_nothing_lags_no_record_is_read_for_it() -> None:
    fabric, faults = healthy(), Faults()
    ports = replace(fabric.ports(), log_of=lambda stream: faults.log(fabric.log))
    list(Reconciler(fabric.stream, region=HOME, ports=ports, telemetry=Counting()).run(repair=False))
    assert faults.calls.count("log.read") == 0


def test_a_round_that_takes_too_long_is_told_in_seconds() -> None:
    fabric = healthy()
    vitals, begin_ms = Vitals(fabric.stream), 1_000_000
    vitals.verified(begin_ms)
    fabric.telemetry.gauges.clear()
    vitals.tell(fabric.telemetry, {}, now_ms=begin_ms + 1000 * limits.ROUND_SECONDS)
    assert (Metric.OLDEST_ROUND, STREAM) not in fabric.telemetry.gauges
    vitals.tell(fabric.telemetry, {}, now_ms=begin_ms + 1000 * limits.ROUND_SECONDS + 2500)
    assert value_of(fabric, Metric.OLDEST_ROUND) == limits.ROUND_SECONDS + 2.5


def test_each_finding_counts_once_for_its_kind_and_once_for_the_alarm() -> None:
    vitals = Vitals(healthy().stream)
    for _ in range(3):
        vitals.count_finding(finding(FindingKind.HOLE, 1))
    assert vitals.tally.findings[Metric.FINDINGS_ALARMED.value] == 3
    assert set(vitals.tally.findings.values()) == {3}
