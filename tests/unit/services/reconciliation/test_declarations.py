"""Lanes of declarations in reconciliation: verified, compared and mended as others are, and at rest in between."""

import pytest

from eventfabric import limits
from eventfabric.model import DeclarationLane, LaneIndex, Marks, Region, StreamName
from eventfabric.model.catalogue import State
from eventfabric.model.finding import FindingKind
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.catalogue.lane import history
from eventfabric.services.reconciliation import pass_bounds
from eventfabric.services.reconciliation.noted_pass import NotedPass
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.testing.memory.faults import Faults
from eventfabric.wire.keys import record_key
from tests.support.memory_fabric import AWAY, HOME, STREAM
from tests.support.reconciliations import kinds, log_table, reconcile
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

OF_HOME, OF_AWAY = (DeclarationLane.of(region, StreamName(STREAM)) for region in (HOME, AWAY))


def deployed(*, retention_days: int = 0) -> SubscribedStream:
    """Return a stream that is declared in both Regions, in home's by three declarations, and was reconciled."""
    fabric = SubscribedStream(retention_days=retention_days)
    for region in (HOME, AWAY):
        deployer_of(fabric, region, "deployed").declare_together(fabric.stream)
    deployer_of(fabric, HOME, "gone").declare_state(fabric.stream, SUBSCRIPTION, State.UNDEPLOYED)
    deployer_of(fabric, HOME, "again").declare_subscription(fabric.subscription)
    fabric.cloud.replicate()
    assert kinds(fabric) == kinds(fabric.in_region(AWAY)) == []
    return fabric


def deployer_of(fabric: SubscribedStream, region: Region, request: str) -> Deployer:
    return Deployer(fabric.topology, region, fabric.ports(region), by="stack", request_id=request)


def lose(fabric: SubscribedStream, sequence: int, lane: DeclarationLane = OF_HOME) -> None:
    log_table(fabric).write("Delete", {"Key": record_key(lane, sequence)})


def declared(fabric: SubscribedStream) -> list[str]:
    log = fabric.ports(fabric.region).log_of(fabric.stream)
    return [declaration.change.request_id for declaration in history(log, OF_HOME)]


def calls_of_a_pass(fabric: SubscribedStream) -> list[str]:
    """Return the calls of a pass of the function that finds nothing."""
    faults = Faults()
    ports = faults.ports(fabric.ports(fabric.region))
    reconciler = Reconciler(fabric.stream, region=fabric.region, ports=ports, telemetry=fabric.telemetry)
    until_ms = fabric.clock.now_ms() + 1_000_000
    noted = NotedPass(fabric.stream, reconciler, ledger=ports.ledger, clock=fabric.clock, until_ms=until_ms)
    assert list(noted.run()) == []
    return faults.calls


def test_a_declaration_that_did_not_replicate_is_copied_once_replication_has_stalled() -> None:
    fabric = deployed()
    away = fabric.in_region(AWAY)
    fabric.cloud.cut(AWAY)
    deployer_of(fabric, HOME, "retired").declare_state(fabric.stream, SUBSCRIPTION, State.RETIRED)
    assert kinds(away, repair=True) == [FindingKind.REPLICATION_DELAY]
    fabric.clock.advance(limits.STALL_SECONDS)
    [finding] = reconcile(away, repair=True)
    assert (finding.kind, finding.lane, finding.is_repaired) == (
        FindingKind.REPLICATION_STALL,
        OF_HOME,
        True,
    )
    assert declared(away) == declared(fabric) == ["retired", "again", "gone", "deployed"]


@pytest.mark.parametrize("sequence", [0, 1, 2])
@pytest.mark.parametrize("lost_in", [HOME, AWAY])
def test_a_declaration_that_is_lost_is_copied_from_another_region(lost_in: Region, sequence: int) -> None:
    fabric = deployed()
    here = fabric.in_region(lost_in)
    lose(here, sequence)
    findings = [finding for finding in reconcile(here, repair=True, full=True) if finding.lane == OF_HOME]
    if sequence < 2 and lost_in == AWAY:  # it may still come
        here.clock.advance(limits.SETTLE_SECONDS)
        findings = reconcile(here, repair=True, full=True)
    assert [(finding.kind, finding.is_repaired) for finding in findings] == [(FindingKind.HOLE, True)]
    assert declared(here) == ["again", "gone", "deployed"]


def test_a_region_whose_table_lost_all_declarations_gets_them_back() -> None:
    fabric = deployed()
    for sequence in range(3):
        lose(fabric, sequence)
    lose(fabric, 0, OF_AWAY)
    assert {finding.lane for finding in reconcile(fabric, repair=True) if finding.is_repaired} == {
        OF_HOME,
        OF_AWAY,
    }
    assert declared(fabric) == ["again", "gone", "deployed"]
    assert kinds(fabric) == []


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_what_no_pass_ever_saw_of_its_own_comes_back_from_a_region_that_has_it(kept: int) -> None:
    fabric = deployed()
    for sequence in range(kept, 3):
        lose(fabric, sequence)
    marks = Region(f"@{HOME}")
    fabric.ledger.mark(StreamName(STREAM), marks, fabric.ledger.marks(StreamName(STREAM), marks), Marks())
    for repair in (False, True):
        findings = [finding for finding in reconcile(fabric, repair=repair) if finding.lane == OF_HOME]
        shown = [(finding.kind, finding.sequence, finding.is_repaired) for finding in findings]
        assert shown == [(FindingKind.HOLE, kept, repair)]
    assert declared(fabric) == ["again", "gone", "deployed"]
    assert kinds(fabric) == []


def test_another_declaration_in_the_same_place_is_a_divergence_and_stays() -> None:
    fabric = deployed()
    away = fabric.in_region(AWAY)
    lose(fabric, 2)
    deployer_of(fabric, HOME, "other").declare_state(fabric.stream, SUBSCRIPTION, State.DRAINING)
    [finding] = reconcile(away, repair=True)
    assert (finding.kind, finding.lane, finding.is_alarm) == (FindingKind.DIVERGENCE, OF_HOME, True)
    assert declared(away) == ["again", "gone", "deployed"]


def test_no_declaration_expires_though_events_do() -> None:
    fabric = deployed(retention_days=1)
    fabric.clock.advance(seconds=10 * 86_400)
    away = fabric.in_region(AWAY)
    lose(away, 0)
    assert kinds(away, full=True) == [FindingKind.REPLICATION_DELAY]
    away.clock.advance(limits.SETTLE_SECONDS)
    assert kinds(away, full=True) == [FindingKind.HOLE]


def test_an_idle_pass_reads_two_items_more_for_each_region_and_none_of_the_log() -> None:
    fabric = deployed()
    away = fabric.in_region(AWAY)
    calls_of_a_pass(away)
    calls = calls_of_a_pass(away)
    # The marks of two origins and of their declarations; the tails of two lanes of each origin.
    assert (calls.count("ledger.marks"), calls.count("log.tail"), calls.count("log.read")) == (2 + 2, 4, 0)
    fabric.clock.advance(seconds=pass_bounds.REST_SECONDS + 1)
    assert calls_of_a_pass(away).count("log.tail") == 4 + 2 * 2


def test_a_lane_that_lacks_a_declaration_does_not_rest() -> None:
    fabric = deployed()
    away = fabric.in_region(AWAY)
    fabric.cloud.cut(AWAY)
    deployer_of(fabric, HOME, "retired").declare_state(fabric.stream, SUBSCRIPTION, State.RETIRED)
    assert kinds(away) == [FindingKind.REPLICATION_DELAY]
    fabric.cloud.heal(AWAY)
    fabric.cloud.replicate()
    calls = calls_of_a_pass(away)
    # All four lanes of both origins, that of home's declarations, and none of its own.
    assert calls.count("log.tail") == 4 + 1


def test_a_lane_of_declarations_is_verified_again_after_a_day() -> None:
    fabric = deployed()
    fabric.clock.advance(seconds=limits.ROUND_SECONDS + 1)
    calls_of_a_pass(fabric)
    lose(fabric, 1)
    fabric.clock.advance(seconds=limits.ROUND_SECONDS + 1)
    assert FindingKind.HOLE in kinds(fabric)
    assert [finding.is_repaired for finding in reconcile(fabric, repair=True)] == [True]
    assert declared(fabric) == ["again", "gone", "deployed"]


def test_a_lane_whose_round_was_broken_does_not_rest() -> None:
    fabric = deployed()
    fabric.clock.advance(seconds=limits.ROUND_SECONDS + 1)
    lose(fabric, 1)
    kinds(fabric)
    marks = fabric.ledger.marks(StreamName(STREAM), Region(f"@{HOME}")).lanes
    assert marks[LaneIndex(0)].rests_ms == 0
    assert marks[LaneIndex(1)].rests_ms, "the lane of schemas is whole"
