"""Passes that are cut off: what one invocation knows of another, and of the pass before both."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import ThrottledError
from eventfabric.model import Lane, LaneIndex, SubscriptionName
from eventfabric.model.finding import FindingKind
from eventfabric.services.reconciliation import pass_bounds
from eventfabric.services.reconciliation.reconcile import PassOrder, Reconciler
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.failing_handlers import named
from tests.support.memory_fabric import AWAY, HOME, lane
from tests.support.reconciliations import reconcile
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream
from tests.unit.services.reconciliation.test_noted_pass import NAME, OWN, Invocations, SlowLog


@pytest.fixture(autouse=True)
def parts_of_one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MARKS_ITEM_LANES", 1)


def test_a_pass_that_goes_on_counts_as_the_look_of_when_it_began() -> None:
    """No pass saw what came since then, although some lanes are checked later."""
    invocations = Invocations()
    began_ms = invocations.fabric.clock.now_ms()
    for seconds in (150, 1e6):
        invocations.invoke(seconds=seconds)
        standing = invocations.fabric.ledger.standing(NAME, SubscriptionName(SUBSCRIPTION))
        assert standing.seen_ms == began_ms


def test_what_came_before_a_pass_began_is_as_old_as_that_in_lanes_that_another_invocation_checks() -> None:
    invocations = Invocations()
    fabric = invocations.fabric
    fabric.put(*named("x"), of=lane(3))
    put_ms = fabric.clock.now_ms()
    fabric.clock.advance(60)
    invocations.invoke(seconds=150)
    age_seconds = (fabric.clock.now_ms() - put_ms) / 1000
    invocations.invoke()
    assert fabric.telemetry.gauges[Metric.OLDEST_UNDELIVERED, SUBSCRIPTION] == age_seconds


def test_a_pass_in_which_a_lane_failed_counts_as_broken_however_many_invocations_later_it_ends() -> None:
    invocations = Invocations()
    right = invocations.ports
    calls = Faults(
        lambda name, overall, of_name: Fault.THROTTLED if (name, of_name) == ("ledger.state", 1) else None
    )
    invocations.ports = replace(right, ledger=calls.ports(right).ledger)
    invocations.invoke(seconds=50)
    invocations.ports = right
    for seconds in (50, 1e6):
        invocations.invoke(seconds=seconds)
    assert invocations.progress.part == ""
    assert (invocations.completed, invocations.dead) == (0, None)


def test_a_pass_that_failed_is_taken_up_at_once_and_not_when_its_time_would_have_been_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pass_bounds, "PASS_FAILURES_MAX", 1)
    invocations = Invocations()
    right = invocations.ports
    calls = Faults(
        lambda name, overall, of_name: Fault.THROTTLED if (name, of_name) == ("ledger.state", 3) else None
    )
    invocations.ports = replace(right, ledger=calls.ports(right).ledger)
    with pytest.raises(ThrottledError):
        invocations.invoke(seconds=800)
    invocations.ports = right
    assert invocations.invoke()[1] == ""
    assert invocations.tails[0] == f"{HOME}/0.2"


def test_a_part_that_is_given_up_and_checked_again_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MARKS_ITEM_LANES", 2)
    monkeypatch.setattr(pass_bounds, "PASS_FAILURES_MAX", 1)
    invocations = Invocations(tail_seconds=10)
    right = invocations.ports
    assert invocations.invoke(seconds=15)[1] == f"{HOME}/0001"
    calls = Faults(
        lambda name, overall, of_name: Fault.THROTTLED if (name, of_name) == ("ledger.state", 2) else None
    )
    invocations.ports = replace(right, ledger=calls.ports(right).ledger)
    with pytest.raises(ThrottledError):
        invocations.invoke()
    invocations.ports = right
    assert len(invocations.invoke()[0]) == 2
    assert (invocations.completed, invocations.dead) == (1, 4)


@pytest.mark.parametrize("seconds", [25, 1e6], ids=["cut off", "whole"])
def test_lanes_are_silent_no_more_once_replication_moves_in_another_lane_of_the_invocation(
    seconds: float,
) -> None:
    fabric = SubscribedStream(lanes=4)
    away = fabric.in_region(AWAY)
    fabric.put(*named("a"))
    fabric.cloud.replicate()
    reconcile(away)
    fabric.cloud.cut(AWAY)
    fabric.put(*named("b"))
    for _ in range(2):  # late, then stalled and copied
        fabric.clock.advance(limits.STALL_SECONDS)
        reconcile(away, repair=True)
    assert [finding.kind for finding in reconcile(away)] == [FindingKind.REPLICATION_SILENT]
    fabric.cloud.heal(AWAY)
    fabric.put(*named("c"), of=lane(1))
    fabric.cloud.replicate()
    ports = away.ports()
    slow = replace(
        ports, log_of=lambda stream: SlowLog(ports.log_of(stream), lambda of: fabric.clock.advance(10))
    )
    reconciler = Reconciler(away.stream, region=AWAY, ports=slow, telemetry=away.telemetry)
    order = PassOrder(repair=True, until_ms=fabric.clock.now_ms() + int(1000 * seconds))
    assert [finding.kind for finding in reconciler.make(order)] == [FindingKind.REPLICATION_SILENT]
    assert reconciler.progress.part == (f"{HOME}/0003" if seconds < 1e6 else "")
    assert away.ledger.marks(NAME, HOME).of(LaneIndex(0)).since_ms == 0


def test_a_defect_that_one_lane_shows_keeps_no_other_from_being_checked_at_any_pass() -> None:
    invocations = Invocations(tail_seconds=0)

    def tick(of: Lane) -> None:
        if of == lane(0):
            raise KeyError("nobody foresaw it")

    ports = invocations.fabric.ports()
    invocations.ports = replace(ports, log_of=lambda stream: SlowLog(ports.log_of(stream), tick))
    for _ in range(2):
        lanes: list[str] = []
        with pytest.raises(KeyError, match="nobody foresaw it"):
            lanes.extend(str(finding.lane) for finding in invocations.noted(seconds=1e6).run())
        assert lanes == OWN[1:]
