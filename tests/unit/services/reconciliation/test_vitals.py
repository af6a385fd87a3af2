"""Gauges of a pass about a subscription and a stream, and the reads for that."""

from dataclasses import replace

import pytest

from eventfabric.model.circuit import Circuit, CircuitState
from eventfabric.model.finding import FindingKind
from eventfabric.model.identity import SequenceNumber, StreamName, SubscriptionName
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Faults
from tests.support.failing_handlers import FEW, Failing, named, retry, world_of
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, Counting, lane
from tests.support.reconciliations import healthy, kinds, put_cursor
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def told(world: SubscribedStream, metric: Metric) -> float:
    """Return the value that the last pass reported of the subscription, or of the stream."""
    of = STREAM if metric.dimension == "stream" else SUBSCRIPTION
    return world.telemetry.gauges[metric, of]


def age_seconds(world: SubscribedStream) -> float:
    kinds(world)
    return told(world, Metric.OLDEST_UNDELIVERED)


def test_a_healthy_fabric_stands_at_nought_and_says_so() -> None:
    world = healthy()
    world.telemetry.gauges.clear()
    world.telemetry.totals.clear()
    kinds(world)
    assert world.telemetry.totals == {Metric.PASSES_COMPLETED: 1}
    of_subscription = (
        Metric.OLDEST_UNDELIVERED,
        Metric.KEYS_RETRYING,
        Metric.KEYS_DEAD,
        Metric.CIRCUIT_OPEN,
    )
    of_stream = (
        Metric.LANES_BEHIND,
        Metric.LANES_STALLED,
        Metric.LANES_UNREACHABLE,
        Metric.FINDINGS_ALARMED,
    )
    assert world.telemetry.gauges == {
        **{(metric, SUBSCRIPTION): 0 for metric in of_subscription},
        **{(metric, STREAM): 0 for metric in of_stream},
    }


def test_the_age_is_that_of_the_oldest_event_that_no_delivery_took() -> None:
    world = healthy()
    world.put(*named("first"))
    world.clock.advance(40)
    world.put(*named("second"))
    world.clock.advance(60)
    assert age_seconds(world) == 100
    world.relay_all()
    world.deliver_all()
    assert age_seconds(world) == 0


def test_the_age_of_an_event_that_was_appended_just_now_is_nought() -> None:
    world = healthy()
    world.put(*named("now"))
    assert age_seconds(world) == 0


@pytest.mark.parametrize("indexes", [(0, 1), (1, 0)])
def test_the_age_is_that_of_the_lane_that_waits_longest(indexes: tuple[int, int]) -> None:
    world = healthy()
    for index in indexes:
        world.put(*named("first"), of=lane(index))
        world.clock.advance(30)
    assert age_seconds(world) == 60


def test_a_subscription_that_began_with_the_latest_waits_for_what_came_since() -> None:
    world = world_of(Failing({}), *named("first"), start="latest")
    world.deliver()
    world.put(*named("second"))
    world.clock.advance(30)
    assert age_seconds(world) == 30


def test_findings_that_somebody_is_to_look_at_are_counted_and_no_others() -> None:
    world = healthy()
    for index in (0, 1):
        world.put(*named("a"), of=lane(index))
    world.clock.advance(3_600)
    assert kinds(world) == [FindingKind.UNRUNG] * 2
    assert told(world, Metric.FINDINGS_ALARMED) == 2
    assert kinds(world, repair=True) == [FindingKind.UNRUNG] * 2
    assert told(world, Metric.FINDINGS_ALARMED) == 0


def test_the_age_is_measured_though_the_cursor_moves() -> None:
    world = healthy()
    world.put(*named("first"))
    world.clock.advance(400)
    put_cursor(world)
    assert age_seconds(world) == 400


def test_a_replay_is_no_delay_and_an_event_behind_it_is() -> None:
    world = healthy()
    world.clock.advance(5_000)
    put_cursor(world, sequence=SequenceNumber(0), base=SequenceNumber(0), replay_until=SequenceNumber(12))
    assert world.log.tail(LANE).sequence == 12
    assert age_seconds(world) == 0
    world.put(*named("new"))
    world.clock.advance(30)
    assert age_seconds(world) == 30


def test_a_subscription_that_begins_with_the_latest_does_not_wait_before_it_begins() -> None:
    world = world_of(Failing({}), start="latest")
    world.put(*named("past"))
    world.clock.advance(1_000)
    assert age_seconds(world) == 0


@pytest.mark.parametrize(("attempts", "metric"), [(2, Metric.KEYS_RETRYING), (1, Metric.KEYS_DEAD)])
def test_parked_keys_are_named_by_what_becomes_of_them(attempts: int, metric: Metric) -> None:
    world = world_of(Failing({"a": 99, "b": 99}), **retry(immediate=0, attempts=attempts))
    world.put(*named("a", "b", "c"))
    world.relay_all()
    world.deliver()
    kinds(world)
    other = {Metric.KEYS_RETRYING, Metric.KEYS_DEAD} - {metric}
    assert (told(world, metric), told(world, other.pop())) == (2, 0)


def test_an_open_circuit_is_reported_and_a_paused_one_is_somebodys_wish() -> None:
    world = healthy()
    stream, subscription = StreamName(STREAM), SubscriptionName(SUBSCRIPTION)
    stands = world.ledger.switch(stream, subscription, Circuit(), Circuit(CircuitState.OPEN, "down"))
    assert stands is not None
    kinds(world)
    assert told(world, Metric.CIRCUIT_OPEN) == 1
    world.ledger.switch(stream, subscription, stands, replace(stands, state=CircuitState.PAUSED))
    kinds(world)
    assert told(world, Metric.CIRCUIT_OPEN) == 0


def test_a_stall_is_reported_though_the_pass_copies_what_is_missing() -> None:
    world = healthy()
    away = world.at(AWAY)
    world.put(*named("late"))
    assert kinds(away, repair=True) == [FindingKind.REPLICATION_DELAY]
    assert (told(away, Metric.LANES_BEHIND), told(away, Metric.LANES_STALLED)) == (1, 0)
    world.clock.advance(3_600)
    assert FindingKind.REPLICATION_STALL in kinds(away, repair=True)
    assert (told(away, Metric.LANES_BEHIND), told(away, Metric.LANES_STALLED)) == (0, 1)


def test_a_pass_that_is_broken_off_tells_nothing() -> None:
    world = world_of(Failing({}), **FEW)
    world.put(*named("a"))
    world.clock.advance(3_600)
    telemetry = Counting()
    passing = Reconciler(world.stream, region=HOME, ports=world.ports(), telemetry=telemetry).run(
        repair=False
    )
    next(passing)
    del passing  # as who breaks it off does
    assert telemetry.gauges == {}
    assert Metric.PASSES_COMPLETED not in telemetry.totals


def test_where_nothing_lags_no_record_is_read_for_it() -> None:
    world, faults = healthy(), Faults()
    ports = replace(world.ports(), log_of=lambda stream: faults.log(world.log))
    list(Reconciler(world.stream, region=HOME, ports=ports, telemetry=Counting()).run(repair=False))
    assert faults.calls.count("log.read") == 0
