"""Lanes at rest: the state of none is read in which nothing can have changed, and of every other it is."""

from dataclasses import replace

import pytest

from eventfabric.model import (
    EMPTY_TAIL,
    Chain,
    Mark,
    Owner,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
    Tail,
)
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.services.reconciliation import pass_bounds
from eventfabric.services.reconciliation.reconcile import PassOrder, Reconciler
from eventfabric.services.reconciliation.rest import digest_of_delivered, rests
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.failing_handlers import Failing, fabric_of, named, retry
from tests.support.failovers import failover
from tests.support.memory_fabric import AWAY, HOME, STREAM, lane
from tests.support.reconciliations import healthy, put_cursor, remove
from tests.support.replays import at_sequence, replay_of
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

PASS_SECONDS = 300


def light(fabric: SubscribedStream) -> tuple[list[Finding], int]:
    """Make a pass as a function does, five minutes later. Return its findings, and how many states it read."""
    fabric.clock.advance(PASS_SECONDS)
    faults = Faults()
    ports = replace(fabric.ports(), ledger=faults.ports(fabric.ports()).ledger)
    reconciler = Reconciler(fabric.stream, region=fabric.region, ports=ports, telemetry=fabric.telemetry)
    findings = list(reconciler.make(PassOrder(repair=True, thorough=False)))
    return findings, faults.count("ledger.state")


def at_rest() -> SubscribedStream:
    """Return a stream of which no state is read any more."""
    fabric = healthy()
    light(fabric)
    assert light(fabric) == ([], 0)
    return fabric


def test_an_event_that_nobody_rang_for_is_seen() -> None:
    fabric = at_rest()
    fabric.put(*named("x"))
    findings, states = light(fabric)
    assert ([finding.kind for finding in findings], states) == ([FindingKind.UNRUNG], 1)
    assert fabric.telemetry.gauges[Metric.OLDEST_UNDELIVERED, SUBSCRIPTION] == PASS_SECONDS


def test_a_lane_is_at_rest_again_once_all_is_delivered() -> None:
    fabric = at_rest()
    fabric.put(*named("x"))
    light(fabric)
    fabric.relay_all()
    fabric.deliver_all()
    assert light(fabric) == ([], 1)
    assert light(fabric) == ([], 0)


def test_a_lane_with_parked_keys_is_looked_at_by_every_pass() -> None:
    fabric = fabric_of(Failing({"a": 99}), *named("a"), **retry(immediate=0, attempts=1))
    fabric.relay_all()
    fabric.deliver_all()
    for _ in range(3):
        findings, states = light(fabric)
        assert ([finding.kind for finding in findings], states) == ([FindingKind.DEAD], 1)
        assert fabric.telemetry.gauges[Metric.KEYS_DEAD, SUBSCRIPTION] == 1


def test_a_lane_with_a_key_that_retries_is_looked_at_by_every_pass() -> None:
    late = retry(immediate=0, attempts=20, backoff_seconds=900, backoff_max_seconds=900)
    fabric = fabric_of(Failing({"a": 99}), *named("a"), **late)
    fabric.relay_all()
    fabric.answer(fabric.receive())
    assert [light(fabric) for _ in range(3)] == [([], 1)] * 3


def test_a_replay_of_a_lane_at_rest_is_seen_by_the_next_pass() -> None:
    fabric = at_rest()
    replay = replay_of(fabric)
    for plan in replay.plan(at_sequence(0)):
        replay.carry_out(plan)
    _, states = light(fabric)
    assert states
    for _ in range(2):
        assert light(fabric)[1] == states, "as long as it is under way"
    fabric.deliver_all()
    light(fabric)
    assert light(fabric) == ([], 0)


@pytest.mark.parametrize("back_to", [HOME, AWAY])
def test_a_handover_makes_its_lanes_be_looked_at(back_to: Region) -> None:
    fabric = at_rest()
    ledger = fabric.cloud.ledger(HOME)
    for epoch, region in ((1, AWAY), (2, back_to)):
        read = ledger.standing(StreamName(STREAM), SubscriptionName(SUBSCRIPTION)).written(HOME, HOME)
        owner = Owner(HOME, region, epoch, HOME, since_ms=fabric.clock.now_ms())
        assert ledger.hand_over(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), read, owner)
    assert light(fabric)[1] == (1 if back_to == HOME else 0)


def test_a_lane_that_was_handed_over_does_not_rest_before_it_is_taken_over() -> None:
    """More of the former owner's state may still come."""
    away = at_rest().in_region(AWAY)
    failover(away, lambda *_: Fault.LOST_REQUEST).hand_over()
    assert [light(away)[1] for _ in range(3)] == [1, 1, 1]
    away.deliver()
    light(away)
    assert light(away)[1] == 0


def test_a_cursor_that_somebody_moved_is_found_within_the_hour() -> None:
    fabric = at_rest()
    put_cursor(fabric, sequence=2, base=2)
    passes = pass_bounds.REST_SECONDS // PASS_SECONDS
    findings = [finding.kind for _ in range(passes) for finding in light(fabric)[0]]
    assert findings[0] is FindingKind.CURSOR_BACK


def test_a_lane_rests_for_an_hour_and_no_longer_however_late_its_neighbour_came_to_rest() -> None:
    fabric = at_rest()
    put_cursor(fabric, sequence=2, base=2)
    findings: list[Finding] = []
    for number in range(pass_bounds.REST_SECONDS // PASS_SECONDS):
        if number % 3 == 0:
            fabric.put(*named(f"n{number}"), of=lane(1))
            fabric.relay_all()
            fabric.deliver_all()
        findings += [finding for finding in light(fabric)[0] if finding.lane == lane(0)]
    assert findings[0].kind is FindingKind.CURSOR_BACK


def test_a_lane_of_which_something_is_wrong_does_not_rest() -> None:
    fabric = at_rest()
    fabric.put(*named("x"))
    end = fabric.log.tail(lane(0)).sequence
    put_cursor(fabric, sequence=end, base=end, chain=Chain(b"x" * 16))
    for _ in range(3):
        assert [finding.kind for finding in light(fabric)[0]] == [FindingKind.CURSOR_BROKEN]


def test_a_lost_end_is_found_at_once() -> None:
    fabric = at_rest()
    remove(fabric, -1)
    findings, _ = light(fabric)
    assert [finding.kind for finding in findings] == [FindingKind.HOLE]
    assert findings[0].is_repaired


def test_a_clock_that_was_set_back_lets_no_lane_rest() -> None:
    fabric = at_rest()
    fabric.clock.set_back(3 * PASS_SECONDS)
    assert light(fabric)[1] == 1


def test_another_subscription_or_owner_makes_a_lane_be_looked_at() -> None:
    owner = Owner(HOME, HOME, 0, HOME)
    delivered = {"billing": owner}
    others: list[dict[str, Owner | None]] = [
        {},
        {"billing": None},
        {"audit": owner},
        {**delivered, "audit": owner},
        {"billing": replace(owner, epoch=1)},
        {"billing": replace(owner, region=AWAY)},
    ]
    mark = Mark(SequenceNumber(3), Chain(b"c" * 16), rests_ms=1, rests_for=digest_of_delivered(delivered))
    tail = Tail(mark.sequence, mark.chain, EMPTY_TAIL.time)
    assert rests(mark, tail, digest_of_delivered(dict(delivered)))
    assert not any(rests(mark, tail, digest_of_delivered(other)) for other in others)


def test_each_lane_rests_for_itself() -> None:
    fabric = healthy()
    fabric.put(*named("y"), of=lane(1))
    fabric.relay_all()
    fabric.deliver_all()
    light(fabric)
    light(fabric)
    fabric.put(*named("z"), of=lane(1))
    assert light(fabric)[1] == 1


def test_the_marks_of_a_lane_at_rest_are_not_written() -> None:
    fabric = at_rest()
    before = fabric.ledger.marks(StreamName(STREAM), HOME).versions
    for _ in range(5):
        light(fabric)
    assert fabric.ledger.marks(StreamName(STREAM), HOME).versions == before
