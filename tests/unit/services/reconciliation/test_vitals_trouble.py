"""Gauges when what they measure is stuck, cut off, skewed, paused, or not there."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import OutcomeUnknownError
from eventfabric.model import (
    Circuit,
    CircuitState,
    Event,
    Record,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)
from eventfabric.model.finding import FindingKind
from eventfabric.ports import Ports
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.clock import MemoryClock
from tests.support.failing_handlers import Failing, fabric_of, named
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
from tests.unit.services.reconciliation.test_vitals import age_seconds, value_of

HOURS = 3_600
PASS_SECONDS = 300


def passes(
    fabric: SubscribedStream, seconds: float, look: Callable[[SubscribedStream], float] = age_seconds
) -> list[float]:
    """Return the value that each pass reports, one in five minutes."""
    said = []
    for _ in range(int(seconds // PASS_SECONDS)):
        fabric.clock.advance(PASS_SECONDS)
        said.append(look(fabric))
    return said


def put_by_a_clock_that_is_ahead(fabric: SubscribedStream, seconds: float, *names: str) -> Record:
    """Append as a producer does whose clock is ahead; behind, if below 0."""
    clock, fabric.clock = fabric.clock, MemoryClock(fabric.clock.now_ms() + int(1000 * seconds))
    record = fabric.put(*named(*names))
    fabric.clock = clock
    return record


class TestALaneThatIsStuck:
    def test_behind_a_hole_its_age_grows_while_it_is_stuck_and_ends_with_it(self) -> None:
        fabric = healthy()
        for name in ("c1", "c2", "c3"):
            fabric.put(*named(name))
        lost = record_items(fabric)[-3]
        remove(fabric, -3)
        fabric.relay_all()
        fabric.deliver_all()
        assert passes(fabric, 3 * HOURS)[-1] >= 3 * HOURS - PASS_SECONDS
        log_table(fabric).write("Put", {"Item": lost})
        fabric.ring_all([LANE])
        fabric.deliver_all()
        assert age_seconds(fabric) == 0

    def test_behind_a_record_that_was_changed_its_age_grows(self) -> None:
        fabric = healthy()
        fabric.put(*named("c1"))
        change(fabric, -1, n={"N": "7"})
        fabric.deliver()
        assert passes(fabric, HOURS)[-1] >= HOURS - PASS_SECONDS

    def test_behind_a_record_that_nobody_can_decode_its_age_grows(self) -> None:
        fabric = healthy()
        fabric.put(*named("c1", "c2"))
        behind = replace(fabric.records()[0].tail, sequence=SequenceNumber(14))
        change(fabric, -1, c={"B": b"short"})
        fabric.put(*named("c3"), log_lane_tail=behind)
        assert passes(fabric, HOURS)[-1] >= HOURS - PASS_SECONDS

    def test_a_lane_whose_cursor_is_broken_has_an_age_as_well(self) -> None:
        fabric = healthy()
        put_cursor(fabric, sequence=SequenceNumber(8), base=SequenceNumber(8), chain=b"x" * 16)
        fabric.put(*named("c1"))
        assert passes(fabric, HOURS)[-1] >= HOURS - PASS_SECONDS

    def test_a_backlog_that_is_worked_off_slowly_has_about_the_age_of_its_oldest_event(self) -> None:
        fabric = fabric_of(Failing({}))
        assert kinds(fabric) == []
        ages = []
        for number in range(40):
            put_by_a_clock_that_is_ahead(fabric, 3 * HOURS, f"e{number}")
            fabric.clock.advance(PASS_SECONDS)
            if number >= 5:
                one_record(fabric)
            ages.append(age_seconds(fabric))
        # Five records are always waiting: the oldest was seen when it was appended, five passes ago.
        assert min(ages[6:]) >= 4 * PASS_SECONDS
        assert max(ages) <= 7 * PASS_SECONDS


def one_record(fabric: SubscribedStream) -> None:
    """Move the cursor over one record."""
    key, ledger = fabric.key_of(LANE), fabric.ledger
    cursor = ledger.state(key).cursor(fabric.region)
    (record,) = fabric.log.read(LANE, cursor.base, records_max=1).records
    tail = record.tail
    ledger.commit(key, cursor, replace(cursor, sequence=tail.sequence, base=tail.sequence, chain=tail.chain))


class TestClocksOfProducers:
    @pytest.mark.parametrize("ahead_seconds", [3 * HOURS, 300, 30])
    def test_one_that_is_ahead_blinds_nobody(self, ahead_seconds: float) -> None:
        fabric = healthy()
        put_by_a_clock_that_is_ahead(fabric, ahead_seconds, "early")
        ages = passes(fabric, 2 * HOURS)
        assert ages[0] <= PASS_SECONDS
        assert ages[-1] >= 2 * HOURS - PASS_SECONDS

    def test_one_that_is_behind_makes_no_delay(self) -> None:
        fabric = fabric_of(Failing({}))
        assert kinds(fabric) == []
        fabric.put(*named("first"))
        fabric.deliver()
        assert kinds(fabric) == []
        fabric.clock.advance(PASS_SECONDS)
        put_by_a_clock_that_is_ahead(fabric, -3 * HOURS, "late")
        assert age_seconds(fabric) <= PASS_SECONDS

    def test_events_of_one_that_is_ahead_are_rung_for_when_nobody_takes_them(self) -> None:
        fabric = healthy()
        put_by_a_clock_that_is_ahead(fabric, 3 * HOURS, "early")
        assert FindingKind.UNRUNG not in kinds(fabric)
        fabric.clock.advance(limits.UNRUNG_SECONDS)
        assert FindingKind.UNRUNG in kinds(fabric)

    def test_one_that_is_ahead_is_found_in_its_region_and_measured_in_all(self) -> None:
        fabric = healthy()
        put_by_a_clock_that_is_ahead(fabric, 3 * HOURS, "early")
        fabric.deliver()
        fabric.cloud.replicate()
        (finding,) = reconcile(fabric)
        assert (finding.kind, finding.lane, finding.is_alarm) == (FindingKind.CLOCK_AHEAD, LANE, True)
        assert value_of(fabric, Metric.CLOCK_AHEAD) == 3 * HOURS
        assert kinds(fabric.in_region(AWAY)) == []
        assert value_of(fabric, Metric.CLOCK_AHEAD) == 3 * HOURS
        fabric.clock.advance(3 * HOURS)
        fabric.telemetry.gauges.clear()
        assert kinds(fabric) == []
        assert (Metric.CLOCK_AHEAD, STREAM) not in fabric.telemetry.gauges

    @pytest.mark.parametrize("ahead_seconds", [0, limits.CLOCK_AHEAD_SECONDS])
    def test_clocks_differ_by_a_little_as_a_matter_of_course(self, ahead_seconds: float) -> None:
        fabric = healthy()
        put_by_a_clock_that_is_ahead(fabric, ahead_seconds, "early")
        fabric.deliver()
        assert kinds(fabric) == []

    @pytest.mark.parametrize(("ahead_ms", "latencies"), [(0, {0}), (900, {0}), (10_800_000, set())])
    def test_a_latency_is_never_below_0_and_not_measured_where_nobody_knows_it(
        self, ahead_ms: int, latencies: set[float]
    ) -> None:
        fabric = healthy()
        fabric.telemetry.totals.clear()
        put_by_a_clock_that_is_ahead(fabric, ahead_ms / 1000, "early")
        fabric.deliver()
        assert {v for m, v in fabric.telemetry.totals.items() if m is Metric.DELIVERY_LATENCY} == latencies
        assert fabric.telemetry.totals[Metric.EVENTS_HANDLED] == 1


class TestAReplicationLinkThatIsCut:
    def stalled(self, fabric: SubscribedStream) -> float:
        kinds(fabric, repair=True)
        return value_of(fabric, Metric.LANES_STALLED)

    def cut_for(
        self, fabric: SubscribedStream, away: SubscribedStream, seconds: float, *, publishes_for: float
    ) -> list[float]:
        fabric.cloud.cut(AWAY)
        said = []
        for number in range(int(seconds // PASS_SECONDS)):
            if number * PASS_SECONDS < publishes_for:
                fabric.put(*named(f"n{number}"))
            fabric.clock.advance(PASS_SECONDS)
            said.append(self.stalled(away))
        return said

    @pytest.mark.parametrize("publishes_for", [1, 1_200, 7_200])
    def test_the_stall_is_reported_until_something_comes_though_all_of_it_was_copied(
        self, publishes_for: float
    ) -> None:
        fabric = healthy()
        away = fabric.in_region(AWAY)
        said = self.cut_for(fabric, away, 2 * HOURS, publishes_for=publishes_for)
        assert said[0] == 0
        assert set(said[5:]) == {1}
        fabric.cloud.heal(AWAY)
        fabric.cloud.replicate()
        fabric.put(*named("news"))
        fabric.cloud.replicate()
        self.stalled(away)
        assert self.stalled(away) == 0

    def test_it_is_reported_while_the_origin_does_not_answer_either(self) -> None:
        fabric = healthy()
        away = fabric.in_region(AWAY)
        assert self.cut_for(fabric, away, 1_800, publishes_for=1)[-1] == 1
        alone = replace(away.ports(), at=nobody_answers)
        findings = Reconciler(away.stream, region=AWAY, ports=alone, telemetry=away.telemetry).run(
            repair=True
        )
        assert FindingKind.UNREACHABLE in [finding.kind for finding in findings]
        assert value_of(away, Metric.LANES_STALLED) == 1

    def test_it_is_over_for_every_lane_once_replication_moves_in_one(self) -> None:
        fabric = healthy()
        away = fabric.in_region(AWAY)
        assert self.cut_for(fabric, away, 1_800, publishes_for=1)[-1] == 1
        fabric.cloud.heal(AWAY)
        fabric.put(*named("other"), of=lane(1))
        fabric.cloud.replicate()
        self.stalled(away)
        assert self.stalled(away) == 0
        assert kinds(away) == []


def nobody_answers(region: Region) -> Ports:
    """A fabric in which no other Region can be reached."""
    raise OutcomeUnknownError("read", f"{region} does not answer")


class TestDeliveriesThatDoNotRun:
    @pytest.mark.parametrize("state", [CircuitState.PAUSED, CircuitState.OPEN])
    def test_events_that_wait_for_a_circuit_or_for_somebody_have_an_age(self, state: CircuitState) -> None:
        fabric = healthy()
        stream, subscription = StreamName(STREAM), SubscriptionName(SUBSCRIPTION)
        fabric.ledger.switch(stream, subscription, Circuit(), Circuit(state, "so", fabric.clock.now_ms()))
        fabric.put(*named("a"))
        assert passes(fabric, HOURS)[-1] >= HOURS - PASS_SECONDS

    def test_a_handler_that_hangs_or_dies_leaves_an_age(self) -> None:
        def dies(events: Sequence[Event]) -> None:
            raise SystemExit

        fabric = healthy()
        fabric.handler = Recorder(before=dies)
        fabric.put(*named("a"))
        with pytest.raises(SystemExit):
            fabric.deliver()
        assert passes(fabric, HOURS)[-1] >= HOURS - PASS_SECONDS

    def test_where_nothing_is_published_nothing_waits(self) -> None:
        assert passes(SubscribedStream(), HOURS)[-1] == 0
