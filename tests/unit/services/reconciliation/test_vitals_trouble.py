"""Gauges when what they measure is stuck, cut off, skewed, paused, or not there."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import OutcomeUnknownError
from eventfabric.model.circuit import Circuit, CircuitState
from eventfabric.model.event import Event
from eventfabric.model.finding import FindingKind
from eventfabric.model.identity import Region, SequenceNumber, StreamName, SubscriptionName
from eventfabric.model.record import Record
from eventfabric.ports import Ports
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.clock import MemoryClock
from tests.support.failing_handlers import Failing, named, world_of
from tests.support.memory_fabric import AWAY, LANE, STREAM, lane
from tests.support.reconciliations import (
    change,
    healthy,
    kinds,
    log_table,
    put_cursor,
    reconcile,
    record_items,
    remove,
)
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream
from tests.unit.services.reconciliation.test_vitals import age_seconds, told

HOURS = 3_600
PASS_SECONDS = 300


def passes(
    world: SubscribedStream, seconds: float, look: Callable[[SubscribedStream], float] = age_seconds
) -> list[float]:
    """Return the value that each pass reports, one in five minutes."""
    said = []
    for _ in range(int(seconds // PASS_SECONDS)):
        world.clock.advance(PASS_SECONDS)
        said.append(look(world))
    return said


def put_by_a_clock_that_is_ahead(world: SubscribedStream, seconds: float, *names: str) -> Record:
    """Append as a producer does whose clock is ahead; behind, if below 0."""
    clock, world.clock = world.clock, MemoryClock(world.clock.now_ms() + int(1000 * seconds))
    record = world.put(*named(*names))
    world.clock = clock
    return record


class TestALaneThatIsStuck:
    def test_behind_a_hole_its_age_grows_while_it_is_stuck_and_ends_with_it(self) -> None:
        world = healthy()
        for name in ("c1", "c2", "c3"):
            world.put(*named(name))
        lost = record_items(world)[-3]
        remove(world, -3)
        world.relay_all()
        world.deliver_all()
        assert passes(world, 3 * HOURS)[-1] >= 3 * HOURS - PASS_SECONDS
        log_table(world).write("Put", {"Item": lost})
        world.ring_all([LANE])
        world.deliver_all()
        assert age_seconds(world) == 0

    def test_behind_a_record_that_was_changed_its_age_grows(self) -> None:
        world = healthy()
        world.put(*named("c1"))
        change(world, -1, n={"N": "7"})
        world.deliver()
        assert passes(world, HOURS)[-1] >= HOURS - PASS_SECONDS

    def test_behind_a_record_that_nobody_can_decode_its_age_grows(self) -> None:
        world = healthy()
        world.put(*named("c1", "c2"))
        behind = replace(world.records()[0].tail, sequence=SequenceNumber(14))
        change(world, -1, c={"B": b"short"})
        world.put(*named("c3"), log_lane_tail=behind)
        assert passes(world, HOURS)[-1] >= HOURS - PASS_SECONDS

    def test_a_lane_whose_cursor_is_broken_has_an_age_as_well(self) -> None:
        world = healthy()
        put_cursor(world, sequence=SequenceNumber(8), base=SequenceNumber(8), chain=b"x" * 16)
        world.put(*named("c1"))
        assert passes(world, HOURS)[-1] >= HOURS - PASS_SECONDS

    def test_a_backlog_that_is_worked_off_slowly_has_about_the_age_of_its_oldest_event(self) -> None:
        world = world_of(Failing({}))
        assert kinds(world) == []
        ages = []
        for number in range(40):
            put_by_a_clock_that_is_ahead(world, 3 * HOURS, f"e{number}")
            world.clock.advance(PASS_SECONDS)
            if number >= 5:
                one_record(world)
            ages.append(age_seconds(world))
        # Five records are always waiting: the oldest was seen when it was appended, five passes ago.
        assert min(ages[6:]) >= 4 * PASS_SECONDS
        assert max(ages) <= 7 * PASS_SECONDS


def one_record(world: SubscribedStream) -> None:
    """Move the cursor over one record."""
    key, ledger = world.key_of(LANE), world.ledger
    cursor = ledger.state(key).cursor(world.region)
    (record,) = world.log.read(LANE, cursor.base, records_max=1).records
    tail = record.tail
    ledger.commit(key, cursor, replace(cursor, sequence=tail.sequence, base=tail.sequence, chain=tail.chain))


class TestClocksOfProducers:
    @pytest.mark.parametrize("ahead_seconds", [3 * HOURS, 300, 30])
    def test_one_that_is_ahead_blinds_nobody(self, ahead_seconds: float) -> None:
        world = healthy()
        put_by_a_clock_that_is_ahead(world, ahead_seconds, "early")
        ages = passes(world, 2 * HOURS)
        assert ages[0] <= PASS_SECONDS
        assert ages[-1] >= 2 * HOURS - PASS_SECONDS

    def test_one_that_is_behind_makes_no_delay(self) -> None:
        world = world_of(Failing({}))
        assert kinds(world) == []
        world.put(*named("first"))
        world.deliver()
        assert kinds(world) == []
        world.clock.advance(PASS_SECONDS)
        put_by_a_clock_that_is_ahead(world, -3 * HOURS, "late")
        assert age_seconds(world) <= PASS_SECONDS

    def test_events_of_one_that_is_ahead_are_rung_for_when_nobody_takes_them(self) -> None:
        world = healthy()
        put_by_a_clock_that_is_ahead(world, 3 * HOURS, "early")
        assert FindingKind.UNRUNG not in kinds(world)
        world.clock.advance(limits.UNRUNG_SECONDS)
        assert FindingKind.UNRUNG in kinds(world)

    def test_one_that_is_ahead_is_found_in_its_region_and_measured_in_all(self) -> None:
        world = healthy()
        put_by_a_clock_that_is_ahead(world, 3 * HOURS, "early")
        world.deliver()
        world.cloud.replicate()
        (finding,) = reconcile(world)
        assert (finding.kind, finding.lane, finding.is_alarm) == (FindingKind.CLOCK_AHEAD, LANE, True)
        assert told(world, Metric.CLOCK_AHEAD) == 3 * HOURS
        assert kinds(world.at(AWAY)) == []
        assert told(world, Metric.CLOCK_AHEAD) == 3 * HOURS
        world.clock.advance(3 * HOURS)
        world.telemetry.gauges.clear()
        assert kinds(world) == []
        assert (Metric.CLOCK_AHEAD, STREAM) not in world.telemetry.gauges

    @pytest.mark.parametrize("ahead_seconds", [0, limits.CLOCK_AHEAD_SECONDS])
    def test_clocks_differ_by_a_little_as_a_matter_of_course(self, ahead_seconds: float) -> None:
        world = healthy()
        put_by_a_clock_that_is_ahead(world, ahead_seconds, "early")
        world.deliver()
        assert kinds(world) == []

    @pytest.mark.parametrize(("ahead_ms", "latencies"), [(0, {0}), (900, {0}), (10_800_000, set())])
    def test_a_latency_is_never_below_0_and_not_measured_where_nobody_knows_it(
        self, ahead_ms: int, latencies: set[float]
    ) -> None:
        world = healthy()
        world.telemetry.totals.clear()
        put_by_a_clock_that_is_ahead(world, ahead_ms / 1000, "early")
        world.deliver()
        assert {v for m, v in world.telemetry.totals.items() if m is Metric.DELIVERY_LATENCY} == latencies
        assert world.telemetry.totals[Metric.EVENTS_HANDLED] == 1


class TestAReplicationLinkThatIsCut:
    def stalled(self, world: SubscribedStream) -> float:
        kinds(world, repair=True)
        return told(world, Metric.LANES_STALLED)

    def cut_for(
        self, world: SubscribedStream, away: SubscribedStream, seconds: float, *, publishes_for: float
    ) -> list[float]:
        world.cloud.cut(AWAY)
        said = []
        for number in range(int(seconds // PASS_SECONDS)):
            if number * PASS_SECONDS < publishes_for:
                world.put(*named(f"n{number}"))
            world.clock.advance(PASS_SECONDS)
            said.append(self.stalled(away))
        return said

    @pytest.mark.parametrize("publishes_for", [1, 1_200, 7_200])
    def test_the_stall_is_reported_until_something_comes_though_all_of_it_was_copied(
        self, publishes_for: float
    ) -> None:
        world = healthy()
        away = world.at(AWAY)
        said = self.cut_for(world, away, 2 * HOURS, publishes_for=publishes_for)
        assert said[0] == 0
        assert set(said[5:]) == {1}
        world.cloud.heal(AWAY)
        world.cloud.replicate()
        world.put(*named("news"))
        world.cloud.replicate()
        self.stalled(away)
        assert self.stalled(away) == 0

    def test_it_is_reported_while_the_origin_does_not_answer_either(self) -> None:
        world = healthy()
        away = world.at(AWAY)
        assert self.cut_for(world, away, 1_800, publishes_for=1)[-1] == 1
        alone = replace(away.ports(), at=nobody_answers)
        findings = Reconciler(away.stream, region=AWAY, ports=alone, telemetry=away.telemetry).run(
            repair=True
        )
        assert FindingKind.UNREACHABLE in [finding.kind for finding in findings]
        assert told(away, Metric.LANES_STALLED) == 1

    def test_it_is_over_for_every_lane_once_replication_moves_in_one(self) -> None:
        world = healthy()
        away = world.at(AWAY)
        assert self.cut_for(world, away, 1_800, publishes_for=1)[-1] == 1
        world.cloud.heal(AWAY)
        world.put(*named("other"), of=lane(1))
        world.cloud.replicate()
        self.stalled(away)
        assert self.stalled(away) == 0
        assert kinds(away) == []


def nobody_answers(region: Region) -> Ports:
    """A world in which no other Region can be reached."""
    raise OutcomeUnknownError("read", f"{region} does not answer")


class TestDeliveriesThatDoNotRun:
    @pytest.mark.parametrize("state", [CircuitState.PAUSED, CircuitState.OPEN])
    def test_events_that_wait_for_a_circuit_or_for_somebody_have_an_age(self, state: CircuitState) -> None:
        world = healthy()
        stream, subscription = StreamName(STREAM), SubscriptionName(SUBSCRIPTION)
        world.ledger.switch(stream, subscription, Circuit(), Circuit(state, "so", world.clock.now_ms()))
        world.put(*named("a"))
        assert passes(world, HOURS)[-1] >= HOURS - PASS_SECONDS

    def test_a_handler_that_hangs_or_dies_leaves_an_age(self) -> None:
        def dies(events: Sequence[Event]) -> None:
            raise SystemExit

        world = healthy()
        world.handler = Recorder(before=dies)
        world.put(*named("a"))
        with pytest.raises(SystemExit):
            world.deliver()
        assert passes(world, HOURS)[-1] >= HOURS - PASS_SECONDS

    def test_where_nothing_is_published_nothing_waits(self) -> None:
        assert passes(SubscribedStream(), HOURS)[-1] == 0
