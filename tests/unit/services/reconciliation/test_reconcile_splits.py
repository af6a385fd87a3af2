"""Reconciliation of lanes that were split: children are found at their parents' ends, and verified from there on."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.model import Committed, Lane, Mark, StreamName
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.services.reconciliation.reconcile import PassOrder, Reconciler
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Faults
from eventfabric.wire.doorbell import from_body
from eventfabric.wire.keys import record_key
from tests.support.failing_handlers import Failing, fabric_of, retry
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event
from tests.support.splits import event_in, pass_seal, put_in, split, split_twice, start
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

LEFT, RIGHT = LANE.children
ORDERS = StreamName(STREAM)
LATE_SECONDS = limits.UNRUNG_SECONDS + 1


def reconcile(fabric: SubscribedStream, *, repair: bool = True, full: bool = False) -> list[Finding]:
    reconciler = Reconciler(
        fabric.stream, region=fabric.region, ports=fabric.ports(), telemetry=fabric.telemetry
    )
    return list(reconciler.run(repair=repair, full=full))


def kinds(findings: list[Finding]) -> list[tuple[FindingKind, Lane]]:
    return [(finding.kind, finding.lane) for finding in findings]


def marks(fabric: SubscribedStream) -> dict[Lane, Mark]:
    stored = fabric.ledger.marks(ORDERS, HOME)
    return {lane: stored.of(lane.number) for lane in (LANE, LEFT, RIGHT, *LEFT.children, *RIGHT.children)}


def rung(fabric: SubscribedStream) -> list[Lane]:
    """Return the lanes that were rung for."""
    return [from_body(body).lane for body in fabric.queue.bodies]


@pytest.mark.parametrize("full", [False, True])
def test_a_tree_in_which_nothing_is_wrong_is_verified_lane_by_lane(full: bool) -> None:
    fabric = split_twice()
    assert reconcile(fabric, full=full) == []
    ends = {lane: fabric.log.tail(lane) for lane in (LANE, LEFT, LEFT.children[1])}
    ends |= {RIGHT: start(fabric, RIGHT), LEFT.children[0]: start(fabric, LEFT.children[0])}
    noted = marks(fabric)
    assert {lane: (noted[lane].sequence, noted[lane].chain) for lane in ends} == {
        lane: (tail.sequence, tail.chain) for lane, tail in ends.items()
    }
    assert noted[RIGHT.children[0]] == Mark()
    assert noted[LEFT].cursors == {SUBSCRIPTION: (0, 6)}
    assert reconcile(fabric) == []


def test_a_hole_in_a_child_is_found_and_reported_there() -> None:
    fabric = split_twice()
    assert reconcile(fabric) == []
    fabric.table.write("Delete", {"Key": record_key(LEFT, start(fabric, LEFT).sequence)})
    assert (FindingKind.HOLE, LEFT) in kinds(reconcile(fabric, full=True))


def test_rounds_through_a_child_begin_behind_the_seal() -> None:
    fabric = split_twice()
    assert reconcile(fabric) == []
    for _ in range(2):
        fabric.clock.advance(limits.ROUND_SECONDS + 1)
        assert reconcile(fabric) == []
    assert [marks(fabric)[lane].rounds for lane in (LANE, LEFT, LEFT.children[1])] == [2, 2, 2]
    fabric.table.write("Delete", {"Key": record_key(LEFT, start(fabric, LEFT).sequence)})
    fabric.clock.advance(limits.ROUND_SECONDS + 1)
    assert (FindingKind.HOLE, LEFT) in kinds(reconcile(fabric))


def test_what_waits_in_a_child_that_began_is_rung_for() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"))
    fabric.deliver()
    split(fabric)
    pass_seal(fabric)
    put_in(fabric, LEFT, event("b"))
    fabric.clock.advance(LATE_SECONDS)
    assert kinds(reconcile(fabric)) == [(FindingKind.UNRUNG, LEFT)]
    assert rung(fabric) == [LEFT]


def test_a_seal_is_rung_for_and_what_lies_beneath_it_waits() -> None:
    fabric = SubscribedStream(types=["paid"])
    fabric.put(event("a"))
    split(fabric)
    put_in(fabric, LEFT, event("b", type="paid"))
    fabric.clock.advance(LATE_SECONDS)
    assert kinds(reconcile(fabric)) == [(FindingKind.UNRUNG, LANE)]
    assert rung(fabric) == [LANE]
    assert fabric.cursor().sequence < fabric.log.tail(LANE).sequence, "the seal is passed by a run alone"


def unbegun(fabric: SubscribedStream, of: Lane) -> None:
    """Take it from a child that it was begun, as where it has yet to be taken over."""
    read = fabric.cursor(of)
    assert isinstance(fabric.ledger.commit(fabric.key_of(of), read, replace(read, begun=None)), Committed)


@pytest.mark.parametrize("repair", [True, False])
def test_a_parent_is_rung_for_a_child_that_nobody_began(repair: bool) -> None:
    fabric = split_twice()
    unbegun(fabric, RIGHT)
    assert reconcile(fabric) == [], "the run that does that may be under way"
    fabric.clock.advance(LATE_SECONDS)
    (finding,) = reconcile(fabric, repair=repair)
    assert (finding.kind, finding.lane, finding.is_repaired) == (FindingKind.UNRUNG, LANE, repair)
    assert str(RIGHT) in finding.detail
    assert rung(fabric) == ([LANE] if repair else [])


def test_keys_are_counted_once_where_they_wait() -> None:
    fabric = fabric_of(Failing({"bad": 99}), **retry(immediate=0, attempts=1))
    fabric.put(event_in(fabric, LEFT, "bad"), event_in(fabric, LEFT, "behind"))
    fabric.deliver()
    split(fabric)
    pass_seal(fabric)
    assert kinds(reconcile(fabric)) == [(FindingKind.DEAD, LEFT)]
    assert fabric.telemetry.gauges[Metric.KEYS_DEAD, SUBSCRIPTION] == 1


def test_a_tree_at_rest_is_left_alone_until_something_comes() -> None:
    fabric, faults = split_twice(), Faults()
    assert reconcile(fabric) == []
    assert reconcile(fabric) == []
    ports = faults.ports(fabric.ports())
    reconciler = Reconciler(fabric.stream, region=HOME, ports=ports, telemetry=fabric.telemetry)
    assert list(reconciler.make(PassOrder(repair=True, thorough=False))) == []
    assert faults.count("ledger.state") == 0
    put_in(fabric, RIGHT, event("f"))
    assert list(reconciler.make(PassOrder(repair=True, thorough=False))) == []
    assert faults.count("ledger.state") == 1


def test_a_replica_verifies_a_child_against_its_origin() -> None:
    fabric = split_twice()
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    assert reconcile(away) == []
    put_in(fabric, RIGHT, event("f"))
    assert kinds(reconcile(away)) == [(FindingKind.REPLICATION_DELAY, RIGHT)]
    fabric.clock.advance(limits.STALL_SECONDS + 1)
    (stall,) = reconcile(away)
    assert (stall.kind, stall.lane, stall.is_repaired) == (FindingKind.REPLICATION_STALL, RIGHT, True)
    assert away.log.tail(RIGHT) == fabric.log.tail(RIGHT)


def test_a_replica_that_lacks_the_seal_lags_behind_its_origin() -> None:
    fabric = SubscribedStream()
    fabric.put(event("a"))
    fabric.cloud.replicate()
    split(fabric)
    away = fabric.in_region(AWAY)
    assert kinds(reconcile(away)) == [(FindingKind.REPLICATION_DELAY, LANE)]
    fabric.clock.advance(limits.STALL_SECONDS + 1)
    assert [finding.is_repaired for finding in reconcile(away)] == [True]
    assert away.log.tail(LANE).is_sealed


def calls_of(make: Callable[[], SubscribedStream]) -> dict[str, int]:
    fabric, faults = make(), Faults()
    ports = faults.ports(fabric.ports())
    list(Reconciler(fabric.stream, region=HOME, ports=ports, telemetry=fabric.telemetry).run(repair=True))
    return {name: faults.count(name) for name in set(faults.calls)}


def test_a_stream_of_which_nothing_was_split_takes_no_call_more() -> None:
    def plain() -> SubscribedStream:
        fabric = SubscribedStream()
        fabric.put(event("a"))
        fabric.deliver()
        return fabric

    def ended() -> SubscribedStream:
        fabric = plain()
        split(fabric)
        pass_seal(fabric)
        return fabric

    before, after = calls_of(plain), calls_of(ended)
    assert before["log.tail"] == 4 + 4, "lanes here, and at the other origin"
    assert before["ledger.marks"] == 4
    assert {name: after[name] - before[name] for name in ("log.tail", "ledger.marks", "ledger.state")} == {
        "log.tail": 2,
        "ledger.marks": 1,
        "ledger.state": 2,
    }
