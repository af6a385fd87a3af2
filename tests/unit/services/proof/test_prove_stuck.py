"""Proofs about what comes next: that events wait, since when, and what in the log is in their way."""

from dataclasses import replace

from eventfabric.model import Batch, BatchId, SequenceNumber, record_at
from eventfabric.model.finding import FindingKind
from eventfabric.model.proof import LaneProof
from eventfabric.services.delivery.lane_result import LaneOutcome
from tests.support.failing_handlers import Failing, fabric_of, named
from tests.support.memory_fabric import LANE, event
from tests.support.reconciliations import change, healthy, kinds, log_table, record_items, remove
from tests.support.subscribed_stream import SubscribedStream
from tests.support.tampered_logs import proof, proofs


def stuck(proof: LaneProof) -> tuple[FindingKind, SequenceNumber] | None:
    return (proof.stuck.kind, proof.stuck.sequence) if proof.stuck else None


def test_a_lane_whose_events_are_all_handled_waits_for_nothing() -> None:
    lane_proof = proof(healthy())
    assert (
        lane_proof.is_proven,
        lane_proof.tail,
        lane_proof.waiting,
        lane_proof.waits_since_ms,
        lane_proof.stuck,
    ) == (
        True,
        12,
        0,
        0,
        None,
    )


def test_events_that_only_wait_for_a_doorbell_are_counted_and_stuck_nowhere() -> None:
    fabric = healthy()
    since_ms = fabric.clock.now_ms()
    fabric.put(*named("c1", "c2"))
    fabric.clock.advance(600)
    lane_proof = proof(fabric)
    assert (lane_proof.is_proven, lane_proof.cursor.sequence, lane_proof.tail, lane_proof.waiting) == (
        True,
        12,
        14,
        2,
    )
    assert (lane_proof.waits_since_ms, lane_proof.stuck) == (since_ms, None)


def test_a_hole_at_the_cursor_is_why_a_lane_is_stuck_and_since_when() -> None:
    fabric = healthy()
    for name in ("c1", "c2"):
        fabric.put(*named(name))
    remove(fabric, -2)
    fabric.deliver()
    since_ms = fabric.clock.now_ms()
    kinds(fabric)
    fabric.clock.advance(3 * 3600)
    lane_proof = proof(fabric)
    assert lane_proof.is_proven
    assert (stuck(lane_proof), lane_proof.waiting) == ((FindingKind.HOLE, 12), 2)
    assert lane_proof.waits_since_ms == since_ms


def test_a_record_that_was_changed_is_why_a_lane_is_stuck() -> None:
    fabric = healthy()
    fabric.put(*named("c1", "c2"))
    change(fabric, -1, d=record_items(fabric)[0]["d"])
    fabric.deliver()
    assert stuck(proof(fabric)) == (FindingKind.DIVERGENCE, 12)


def test_a_record_that_the_subscription_does_not_want_is_in_nobody_s_way_whatever_it_holds() -> None:
    fabric = healthy(types=["placed"])
    later_version = Batch(BatchId(b"n" * 16), 1, frozenset({"other"}), b"\xff of a later version")
    tail, now_ms = fabric.origin_log.tail(LANE), fabric.clock.now_ms()
    fabric.origin_log.append(record_at(tail, LANE, later_version, now_ms=now_ms, retention_seconds=None))
    lane_proof = proof(fabric)
    assert (lane_proof.is_proven, lane_proof.waiting, lane_proof.stuck) == (True, 1, None)
    fabric.put(event("c2"))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert proof(fabric).waiting == 0


def test_a_record_that_nobody_can_decode_is_why_a_lane_is_stuck_though_it_is_the_newest() -> None:
    for broken in ({"n": {"N": "0"}}, {"d": {"B": b"nothing"}}):
        fabric = healthy()
        fabric.put(*named("c1"))
        change(fabric, -1, **broken)
        lane_proof = proof(fabric)
        assert (lane_proof.is_proven, stuck(lane_proof), lane_proof.waiting) == (
            True,
            (FindingKind.DIVERGENCE, 12),
            1,
        )


def test_a_lane_that_is_stuck_at_its_very_first_record_is_in_the_proof_all_the_same() -> None:
    fabric = fabric_of(Failing({}), *named("a1", "a2"))
    remove(fabric, 0)
    assert fabric.deliver().outcome.value == "hole"
    lane_proof = proof(fabric)
    assert (lane_proof.events, stuck(lane_proof), lane_proof.waiting) == (0, (FindingKind.HOLE, 0), 2)


def test_a_lane_that_has_delivered_nothing_yet_and_could_is_left_out() -> None:
    fabric = fabric_of(Failing({}), *named("a1", "a2"))
    assert proofs(fabric) == []
    assert proofs(SubscribedStream()) == []


def test_of_a_stream_that_expires_what_is_gone_is_in_the_way_only_where_a_subscription_halts() -> None:
    for on_expired, kind in (("halt", FindingKind.EXPIRED_UNREAD), ("skip", None)):
        fabric = fabric_of(Failing({}), *named("a1"), retention_days=1, on_expired=on_expired)
        fabric.deliver()
        fabric.put(*named("b1"))
        lost = record_items(fabric)[-1]
        fabric.clock.advance(3 * 86_400)
        fabric.put(*named("c1"))
        log_table(fabric).write("Delete", {"Key": {"pk": lost["pk"], "sk": lost["sk"]}})
        fabric.clock.advance(2 * 86_400)
        fabric.put(*named("d1"))
        lane_proof = proof(fabric)
        assert stuck(lane_proof) == ((kind, 1) if kind else None), on_expired


def test_a_cursor_that_stands_behind_the_end_of_its_lane_is_no_lane_that_is_stuck() -> None:
    fabric = healthy()
    remove(fabric, -1)
    lane_proof = proof(fabric)
    assert (lane_proof.wrong is not None, lane_proof.stuck, lane_proof.waiting) == (True, None, 0)
    assert replace(lane_proof, tail=SequenceNumber(0)).waiting == 0
    assert lane_proof.lane == LANE
