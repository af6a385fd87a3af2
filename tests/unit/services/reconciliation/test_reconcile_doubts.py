"""Passes with doubts: a Region that does not answer, records that expired in no order, a refused ring."""

from dataclasses import replace

import pytest

from eventfabric.model import Circuit, CircuitState, Region
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Ports
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.failovers import failover, with_load
from tests.support.memory_fabric import AWAY, event
from tests.support.reconciliations import kinds, reconcile, remove
from tests.support.subscribed_stream import LANE_KEY, SUBSCRIPTION, SubscribedStream

DAY_SECONDS = 86_400


def passed(fabric: SubscribedStream, ports: Ports) -> list[Finding]:
    """Run a pass that repairs, through these ports. Return its findings."""
    reconciler = Reconciler(fabric.stream, region=fabric.region, ports=ports, telemetry=fabric.telemetry)
    return list(reconciler.run(repair=True))


def delivered(fabric: SubscribedStream, *names: str) -> None:
    """A record of each event, delivered and replicated."""
    for name in names:
        fabric.put(event(name, type="paid"))
    fabric.relay_all()
    fabric.deliver_all()
    fabric.cloud.replicate()


def paused_in(fabric: SubscribedStream, region: Region) -> None:
    ledger = fabric.ports(region).ledger
    standing = ledger.standing(LANE_KEY.stream, LANE_KEY.subscription)
    paused = Circuit(CircuitState.PAUSED, "maintenance", fabric.clock.now_ms())
    assert ledger.switch(LANE_KEY.stream, LANE_KEY.subscription, standing.circuit, paused)


def test_a_region_that_was_lost_does_not_learn_from_a_pass_without_an_answer_that_it_still_owns() -> None:
    fabric = SubscribedStream()
    delivered(fabric, "a0")
    reconcile(fabric)
    fabric.put(event("a1"), event("a2"))
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    failover(fabric, lambda *_: Fault.LOST_REQUEST).hand_over()
    away.deliver()
    fabric.clock.advance(7200)  # HOME is back, and nothing of AWAY has come to it yet
    silent = Faults(lambda *_: Fault.LOST_REQUEST)

    def ports_in(region: Region) -> Ports:
        ports = fabric.ports(region)
        return replace(
            ports, ledger=silent.ledger(ports.ledger), log_of=lambda stream: silent.log(ports.log_of(stream))
        )

    passed(fabric, replace(fabric.ports(), at=ports_in))
    assert fabric.deliver().outcome is LaneOutcome.NOT_OWNER
    assert fabric.recorder.ids() == ["a0"]


@pytest.mark.parametrize("begun", [True, False])
def test_a_cursor_that_is_moved_over_unwanted_records_hides_no_doubt_about_the_owner(begun: bool) -> None:
    fabric = SubscribedStream(types=["paid"])
    if begun:
        delivered(fabric, "a0")
    fabric.put(event("u0", type="placed"))
    fabric.cloud.replicate()
    reconcile(fabric)
    failover(fabric, lambda *_: Fault.LOST_REQUEST).hand_over()
    fabric.clock.advance(7200)  # HOME is back, and nothing of AWAY has come to it yet
    silent = Faults(lambda *_: Fault.LOST_REQUEST)

    def ports_in(region: Region) -> Ports:
        return replace(fabric.ports(region), ledger=silent.ledger(fabric.ports(region).ledger))

    passed(fabric, replace(fabric.ports(), at=ports_in))
    fabric.put(event("a1", type="paid"))
    assert fabric.deliver().outcome is LaneOutcome.NOT_OWNER
    passed(fabric, fabric.ports())
    assert fabric.deliver().outcome is LaneOutcome.NOT_OWNER


def with_old_records() -> SubscribedStream:
    """A lane with six records that are past their retention, all of them still here, and two new ones."""
    fabric = SubscribedStream(retention_days=1)
    delivered(fabric, *(f"a{number}" for number in range(6)))
    reconcile(fabric)
    fabric.clock.advance(1.5 * DAY_SECONDS)
    delivered(fabric, "a6", "a7")
    reconcile(fabric)
    return fabric


def test_records_that_expire_in_no_order_are_no_hole_and_hide_no_event_that_waits() -> None:
    fabric = with_old_records()
    remove(fabric, 1)  # before the first
    fabric.cloud.replicate()
    assert FindingKind.HOLE not in kinds(fabric, repair=True, full=True)
    fabric.put(event("waits"))  # its doorbell is lost
    for _ in range(3):
        fabric.clock.advance(600)
        reconcile(fabric, repair=True)
        fabric.deliver_all()
    assert fabric.recorder.ids()[-1] == "waits"


def test_a_replica_behind_an_origin_that_lost_the_record_before_to_expiry_does_not_diverge() -> None:
    fabric = SubscribedStream(retention_days=1)
    delivered(fabric, "a0", "a1", "a2")
    reconcile(fabric.in_region(AWAY))
    fabric.clock.advance(1.2 * DAY_SECONDS)
    reconcile(fabric)
    fabric.put(event("new"))
    remove(fabric, 2)
    assert FindingKind.DIVERGENCE not in kinds(fabric.in_region(AWAY), repair=True)


def test_a_lane_that_waits_for_its_takeover_is_judged_by_what_its_former_owner_came_to() -> None:
    fabric = SubscribedStream(retention_days=1)
    delivered(fabric, "a0", "a1")
    for number in range(3):
        fabric.clock.advance(0.6 * DAY_SECONDS)
        delivered(fabric, f"b{number}")
        reconcile(fabric)
    remove(fabric, 0)
    fabric.cloud.replicate()
    paused_in(fabric, Region(AWAY))
    failover(fabric).hand_over()
    fabric.clock.advance(700)
    fabric.telemetry.gauges.clear()
    assert kinds(fabric.in_region(AWAY), repair=True) == []
    assert fabric.telemetry.gauges[Metric.OLDEST_UNDELIVERED, SUBSCRIPTION] == 0


def test_its_dead_letters_are_reported_until_it_is_taken_over() -> None:
    fabric = with_load()
    paused_in(fabric, Region(AWAY))
    failover(fabric).hand_over()
    fabric.clock.advance(700)
    assert FindingKind.DEAD in kinds(fabric.in_region(AWAY))
    assert (
        len(list(Operations(fabric.topology, AWAY, fabric.ports(AWAY)).dead_letters(SUBSCRIPTION).find()))
        == 1
    )


@pytest.mark.parametrize("takes", [True, False])
def test_a_ring_repairs_what_it_is_for_where_the_queue_takes_it(takes: bool) -> None:
    fabric = SubscribedStream()
    delivered(fabric, "a0")
    reconcile(fabric)
    fabric.put(event("a1"))
    fabric.clock.advance(800)
    reconcile(fabric)
    fabric.clock.advance(800)

    def refuses(called: str, overall: int, of_name: int) -> Fault | None:
        return None if takes or "doorbells" not in called else Fault.LOST_REQUEST

    ports = fabric.ports()
    findings = passed(fabric, replace(ports, doorbells=Faults(refuses).doorbells(ports.doorbells)))
    assert [(finding.kind, finding.is_repaired) for finding in findings] == [(FindingKind.UNRUNG, takes)]
    assert fabric.telemetry.totals.get(Metric.FINDINGS_REPAIRED, 0) == takes
