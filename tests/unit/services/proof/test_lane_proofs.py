"""Proofs of a lane: contradictions to its cursor, exceptions with who decided what and when, and reads."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric.errors import SettingError
from eventfabric.model import Chain, Lane, Note, Record, SequenceNumber, StreamName, SubscriptionName, to_ms
from eventfabric.model.finding import FindingKind
from eventfabric.model.proof import ExceptionKind, Exempt, LaneProof
from eventfabric.services.proof.prove import Prover
from tests.support.expiry import reconciled
from tests.support.failing_handlers import (
    BAD_ORDER,
    Failing,
    dead_letters,
    drained,
    fabric_of,
    named,
    retry,
    the_dead_letter,
)
from tests.support.findings import finding
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.messages import TextWith
from tests.support.recorded_reads import Read, RecordingLog
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream
from tests.support.tampered_logs import chained, delivered, proof, proofs, put, put_cursor, remove
from tests.unit.services.proof.test_claim import between, held
from tests.unit.services.proof.test_prove_exceptions import DAY_SECONDS, aged, dead, expired

OTHER_CHAIN = Chain(b"y" * 16)


def asked(fabric: SubscribedStream) -> tuple[RecordingLog, LaneProof]:
    """Prove the first lane. Return what that reads of the log, and the proof."""
    log = RecordingLog(fabric.log)
    ports = replace(fabric.ports(), log_of=lambda stream: log)
    (proof,) = Prover(fabric.stream, [fabric.subscription], ports, lane=LANE).prove(LANE)
    return log, proof


def lanes(fabric: SubscribedStream) -> list[Lane]:
    """Return the lanes that a Region proves."""
    return Prover(fabric.stream, [fabric.subscription], fabric.ports()).lanes


class TestContradictions:
    """Each contradiction has a kind, a place, and numbers that explain it."""

    @pytest.mark.parametrize(
        ("sequence", "base", "facts"),
        [(6, 4, ("stands at 6", "ends at 6")), (5, 5, ("begins at 5",))],
    )
    def test_a_cursor_that_fits_no_record(self, sequence: int, base: int, facts: tuple[str, ...]) -> None:
        fabric = delivered()
        before = fabric.log.tail(LANE, before=SequenceNumber(base))
        put_cursor(fabric, sequence=SequenceNumber(sequence), base=SequenceNumber(base), chain=before.chain)
        assert proof(fabric).wrong == finding(FindingKind.CURSOR_BROKEN, sequence, *facts)

    def test_a_cursor_of_another_chain(self) -> None:
        fabric = delivered()
        put_cursor(fabric, chain=OTHER_CHAIN)
        contradiction = finding(FindingKind.CURSOR_BROKEN, 12, "up to 12", "other chains")
        lane_proof = proof(fabric)
        assert (lane_proof.wrong, lane_proof.events, lane_proof.is_proven) == (contradiction, 0, False)

    def test_a_cursor_that_was_moved_back(self) -> None:
        fabric = delivered()
        reconciled(fabric, repair=False)
        records = fabric.records()
        put_cursor(fabric, sequence=SequenceNumber(4), base=SequenceNumber(4), chain=records[1].chain)
        assert proof(fabric).wrong == finding(FindingKind.CURSOR_BACK, 4, "at 12", "reconciled")

    @pytest.mark.parametrize(("pass_saw", "kind"), [(True, FindingKind.CURSOR_BACK), (False, None)])
    def test_a_cursor_that_stands_where_it_was_seen_or_further_on_is_right(
        self, pass_saw: bool, kind: FindingKind | None
    ) -> None:
        fabric = delivered()
        reconciled(fabric, repair=False)
        assert proof(fabric).wrong is None
        fabric.put(*named("c1"))
        fabric.deliver()
        if pass_saw:
            reconciled(fabric, repair=False)
        put_cursor(
            fabric, sequence=SequenceNumber(12), base=SequenceNumber(12), chain=fabric.records()[5].chain
        )
        wrong = proof(fabric).wrong
        assert (wrong.kind if wrong else None) is kind

    def test_a_record_that_is_missing_right_before_the_cursor(self) -> None:
        fabric = delivered()
        fabric.put(*named("c1"))
        remove(fabric, fabric.records()[-2])
        assert proof(fabric).wrong == finding(FindingKind.HOLE, 10, "missing", "up to 13")

    def test_a_record_that_is_missing_further_before(self) -> None:
        fabric = delivered()
        remove(fabric, fabric.records()[3])
        assert proof(fabric).wrong == finding(FindingKind.HOLE, 6, "missing", "at 8")

    def test_a_lane_that_ends_before_the_cursor(self) -> None:
        fabric = delivered()
        remove(fabric, fabric.records()[-1])
        assert proof(fabric).wrong == finding(FindingKind.CURSOR_AHEAD, 12, f"ends at 10 in {HOME}")

    def test_as_one_region_sees_it_that_may_be_where_it_is_replicated_to(self) -> None:
        fabric = delivered()
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        hand_over(away)
        remove(away, fabric.records()[-1])
        contradiction = finding(FindingKind.CURSOR_AHEAD, 12, f"ends at 10 in {AWAY}", region=AWAY)
        assert proof(away).wrong == contradiction

    def test_a_record_that_was_changed(self) -> None:
        fabric = delivered()
        records = fabric.records()
        put(fabric, replace(records[2], payload=records[3].payload))
        assert proof(fabric).wrong == finding(FindingKind.DIVERGENCE, 4, "record before")

    def test_a_record_in_the_place_of_the_oldest_one_that_is_kept(self) -> None:
        fabric = aged()
        records = expired(fabric, 3)
        put_cursor(fabric, sequence=SequenceNumber(7), base=SequenceNumber(6), chain=records[1].chain)
        assert proof(fabric).wrong == finding(FindingKind.CURSOR_BROKEN, 7, "record at 6")

    def test_a_cursor_in_a_record_that_has_expired_and_beyond_it(self) -> None:
        fabric = aged()
        records = expired(fabric, 3)
        put_cursor(fabric, sequence=SequenceNumber(7), base=SequenceNumber(4), chain=records[1].chain)
        assert proof(fabric).wrong == finding(FindingKind.CURSOR_BROKEN, 7, "begins at 4", "another at 6")
        put_cursor(fabric, sequence=SequenceNumber(6), base=SequenceNumber(4), chain=records[1].chain)
        lane_proof = proof(fabric)
        assert (lane_proof.wrong, lane_proof.first, lane_proof.events) == (None, 6, 0)

    def test_what_ends_a_lane_and_has_expired_leaves_nothing_to_be_proven(self) -> None:
        fabric = aged()
        records = fabric.records()
        fabric.put(event("late"))
        remove(fabric, records[-1])
        fabric.clock.advance(9 * DAY_SECONDS)
        lane_proof = proof(fabric)
        assert (lane_proof.wrong, lane_proof.first, lane_proof.events) == (None, 20, 0)

    def test_a_lane_that_ends_before_the_cursor_does_so_however_old_its_records_are(self) -> None:
        fabric = aged()
        fabric.clock.advance(9 * DAY_SECONDS)
        remove(fabric, fabric.records()[-1])
        assert proof(fabric).wrong == finding(FindingKind.CURSOR_AHEAD, 20, f"ends at 18 in {HOME}")

    def test_of_a_cursor_whose_records_have_expired_nothing_is_asked_that_is_behind_it(self) -> None:
        fabric = aged()
        expired_ms = to_ms(fabric.records()[4].time)
        records = expired(fabric, 3)
        put(fabric, replace(records[7], payload=records[8].payload))
        for cursor in (between(fabric, records, 4, base=4), between(fabric, records, 5, base=4)):
            proof = held(fabric, cursor, end=20, expired_ms=expired_ms)
            assert (proof.wrong, proof.first, proof.events) == (None, cursor.sequence, 0)
        assert held(fabric, between(fabric, records, 16, base=16), end=20, expired_ms=expired_ms).wrong


class TestWhoProves:
    """A Region proves the lanes that it delivers, and no others."""

    def test_its_own_lanes_and_those_that_were_handed_to_it_for_as_long_as_it_has_them(self) -> None:
        fabric = delivered()
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        theirs = [lane(0, AWAY), lane(1, AWAY)]
        assert lanes(fabric) == [lane(0), lane(1)]
        assert lanes(away) == theirs
        hand_over(away)
        assert lanes(away) == [lane(0), lane(1), *theirs]
        away.put(*named("c1"))
        fabric.cloud.replicate()
        away.deliver()
        (proof,) = proofs(away)
        assert (proof.region, proof.events) == (AWAY, 13)
        hand_over(away, epoch=2, to=HOME)
        assert lanes(away) == theirs
        assert Prover(away.stream, [away.subscription], away.ports()).prove(LANE) == []


class TestWhatIsRead:
    """The log once, up to the cursor, behind it only where the cursor is within a record; and what comes next."""

    def test_up_to_the_cursor(self) -> None:
        log, proof = asked(delivered())
        assert proof.is_proven
        assert (log.reads, log.tails) == ([Read(LANE, 0, 100, 12)], [(LANE, None)])

    def test_one_record_more_where_the_cursor_is_within_one(self) -> None:
        fabric = delivered()
        records = fabric.records()
        put_cursor(fabric, sequence=SequenceNumber(7), base=SequenceNumber(6), chain=records[2].chain)
        log, proof = asked(fabric)
        assert proof.is_proven
        assert log.reads == [Read(LANE, 0, 100, 7), Read(LANE, 7, 100, 9), Read(LANE, 6, 1, None)]

    def test_nothing_behind_a_cursor_whose_record_is_not_there(self) -> None:
        fabric = delivered()
        put_cursor(fabric, sequence=SequenceNumber(13), base=SequenceNumber(12), chain=fabric.cursor().chain)
        log, proof = asked(fabric)
        assert not proof.is_proven
        assert log.reads == [Read(LANE, 0, 100, 13)]

    def test_where_the_lane_ends_only_where_it_does_so_before_the_cursor(self) -> None:
        fabric = delivered()
        remove(fabric, fabric.records()[-1])
        log, proof = asked(fabric)
        assert not proof.is_proven
        assert log.tails == [(LANE, None), (LANE, None)]

    def test_a_lane_that_the_stream_does_not_have_is_refused(self) -> None:
        fabric = delivered()
        with pytest.raises(SettingError) as raised:
            Prover(fabric.stream, [fabric.subscription], fabric.ports(), lane=lane(7))
        assert str(raised.value) == TextWith("lane", lane(7), f"{HOME}/0.0 to {AWAY}/0.1")


def noted(fabric: SubscribedStream, of: Record, *names: str) -> Record:
    """A copy of another lane's batch at the end of the first lane, with a note of where the other one stands."""
    tail = fabric.origin_log.tail(LANE)
    before = fabric.records()[-1] if tail.sequence else None
    record = replace(fabric.record(tail, *named(*names)), batch_id=of.batch_id)
    copy = chained(record, before, note=Note(of.lane, of.sequence))
    assert fabric.origin_log.append(copy) is None
    return copy


class TestExceptions:
    """Each exception has a place, a reason, a time, and the event."""

    def test_a_dead_event_and_what_waits_behind_it(self) -> None:
        fabric = dead()
        at_ms = fabric.clock.now_ms()
        lane_proof = proof(fabric)
        assert lane_proof.exceptions == (
            Exempt(
                ExceptionKind.DEAD, SequenceNumber(1), TextWith(BAD_ORDER, "1 attempts"), at_ms, "a1", "a"
            ),
            Exempt(ExceptionKind.WAITING, SequenceNumber(3), TextWith("behind 1", "dead"), at_ms, "a2", "a"),
            Exempt(ExceptionKind.WAITING, SequenceNumber(4), TextWith("behind 1", "dead"), at_ms, "a3", "a"),
        )

    def test_a_discarded_event(self) -> None:
        fabric = dead()
        fabric.clock.advance(5)
        dead_letters(fabric).discard(the_dead_letter(fabric), by="jo")
        at_ms = fabric.clock.now_ms()
        drained(fabric)
        expected = Exempt(ExceptionKind.DISCARDED, SequenceNumber(1), BAD_ORDER, at_ms, "a1", "a", by="jo")
        assert proof(fabric).exceptions == (expected,)

    def test_a_discarded_event_whose_record_has_expired_keeps_the_name_that_the_ledger_knows(self) -> None:
        settings: dict[str, Any] = {"retention_days": 7, **retry(immediate=0, attempts=1)}
        fabric = fabric_of(Failing({"a1": 9}), *named("a1", "b1"), **settings)
        fabric.deliver()
        dead_letters(fabric).discard(the_dead_letter(fabric), by="jo")
        at_ms = fabric.clock.now_ms()
        drained(fabric)
        fabric.clock.advance(8 * DAY_SECONDS)
        expired(fabric, 1)
        expected = Exempt(ExceptionKind.DISCARDED, SequenceNumber(0), BAD_ORDER, at_ms, "a1", by="jo")
        assert proof(fabric).exceptions == (expected,)

    def test_every_batch_whose_other_copy_is_delivered(self) -> None:
        fabric = SubscribedStream(lanes=2)
        first = fabric.put(*named("a1"), of=lane(1))
        second = fabric.put(*named("a2"), of=lane(1))
        noted(fabric, first, "a1")
        noted(fabric, second, "a2")
        fabric.put(*named("b1"))
        fabric.deliver()
        fabric.deliver(lane(1))
        assert fabric.recorder.ids() == ["b1", "a1", "a2"]
        assert proof(fabric).exceptions == tuple(
            Exempt(
                ExceptionKind.ELSEWHERE,
                SequenceNumber(number),
                TextWith(f"from {lane(1)}@{number}"),
                0,
                f"a{number + 1}",
                "a",
            )
            for number in range(2)
        )

    def test_a_copy_that_its_publisher_noted_elsewhere(self) -> None:
        fabric = SubscribedStream(lanes=2)
        late = fabric.record(fabric.origin_log.tail(LANE), *named("a1"))
        copy = fabric.record(fabric.origin_log.tail(lane(1)), *named("a1"), of=lane(1))
        copy = chained(copy, None, batch_id=late.batch_id, note=Note(LANE, SequenceNumber(0)))
        assert fabric.origin_log.append(copy) is None
        fabric.deliver(lane(1))
        assert fabric.origin_log.append(late) is None
        fabric.deliver()
        why = TextWith("another lane", "note")
        expected = Exempt(ExceptionKind.ELSEWHERE, SequenceNumber(0), why, 0, "a1", "a")
        assert proof(fabric).exceptions == (expected,)


def test_where_every_region_delivers_for_itself_another_ones_word_does_not_count_against_its_own() -> None:
    memory_fabric = SubscribedStream(lanes=2, deliver="everywhere")
    late = memory_fabric.record(memory_fabric.origin_log.tail(LANE), *named("a1"))
    copy = memory_fabric.record(memory_fabric.origin_log.tail(lane(1)), *named("a1"), of=lane(1))
    copy = chained(copy, None, batch_id=late.batch_id, note=Note(LANE, SequenceNumber(0)))
    assert memory_fabric.origin_log.append(copy) is None
    memory_fabric.deliver(lane(1))
    assert memory_fabric.origin_log.append(late) is None
    memory_fabric.cloud.replicate()
    away = memory_fabric.in_region(AWAY)
    away.deliver()
    away.deliver(lane(1))
    memory_fabric.cloud.replicate()
    assert (memory_fabric.recorder.ids(), away.recorder.ids()) == (["a1"], ["a1"])
    for fabric, expected in ((memory_fabric, []), (away, [(ExceptionKind.ELSEWHERE, 0)])):
        (proof,) = [proof for proof in proofs(fabric) if proof.lane == lane(1)]
        assert [(exemption.kind, exemption.sequence) for exemption in proof.exceptions] == expected


def test_a_proof_is_of_whom_it_names() -> None:
    fabric = delivered(records=2)
    assert proofs(fabric) == [
        LaneProof(
            StreamName(STREAM),
            SubscriptionName(SUBSCRIPTION),
            LANE,
            HOME,
            fabric.cursor(),
            SequenceNumber(0),
            (),
            tail=fabric.cursor().sequence,
        )
    ]
