"""Exceptions of a proof, and proofs after an expired head, replays, late beginnings and handovers."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric.model import UNKNOWN_CHAIN, Note, Record, Region, SequenceNumber, Tail
from eventfabric.model.finding import FindingKind
from eventfabric.model.proof import ExceptionKind, LaneProof
from tests.support.failing_handlers import (
    BAD_ORDER,
    FEW,
    Failing,
    dead_letters,
    drained,
    fabric_of,
    named,
    retry,
    the_dead_letter,
)
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, event, lane
from tests.support.messages import TextWith
from tests.support.replays import replay
from tests.support.subscribed_stream import SubscribedStream
from tests.support.tampered_logs import chained, delivered, proof, put, put_cursor, remove, wrong

ONCE = retry(immediate=0, attempts=1)
DAY_SECONDS = 86_400
Exceptions = list[tuple[ExceptionKind, int, str, str]]


def exceptions_in(proof: LaneProof) -> Exceptions:
    return [
        (exemption.kind, exemption.sequence, exemption.event_id, exemption.key)
        for exemption in proof.exceptions
    ]


def dead(**settings: Any) -> SubscribedStream:
    """A dead event, `a1` at 1, with two behind it, and others handled."""
    settings = {**ONCE, **settings}
    fabric = fabric_of(Failing({"a1": 9}), *named("b1", "a1", "b2", "a2", "a3"), **settings)
    return drained(fabric)


class TestExceptions:
    """Events that were not handled as they are in the log."""

    def test_a_parked_event_and_what_waits_behind_it(self) -> None:
        fabric = fabric_of(Failing({"a1": 9}), *named("b1", "a1", "b2", "a2"), **FEW)
        fabric.deliver()
        lane_proof = proof(fabric)
        assert (lane_proof.is_proven, lane_proof.events) == (True, 4)
        assert exceptions_in(lane_proof) == [
            (ExceptionKind.PARKED, 1, "a1", "a"),
            (ExceptionKind.WAITING, 3, "a2", "a"),
        ]
        first, behind = lane_proof.exceptions
        assert (first.why, first.at_ms) == (
            TextWith(BAD_ORDER, "1 attempts"),
            fabric.clock.now_ms(),
        )
        assert behind.why == TextWith("behind 1", "parked")

    def test_a_dead_event_and_what_waits_behind_it(self) -> None:
        lane_proof = proof(dead())
        assert lane_proof.is_proven
        assert exceptions_in(lane_proof) == [
            (ExceptionKind.DEAD, 1, "a1", "a"),
            (ExceptionKind.WAITING, 3, "a2", "a"),
            (ExceptionKind.WAITING, 4, "a3", "a"),
        ]

    def test_a_discarded_event_and_who_did_it_and_when(self) -> None:
        fabric = dead()
        dead_letters(fabric).discard(the_dead_letter(fabric), by="jo")
        at_ms = fabric.clock.now_ms()
        drained(fabric)
        lane_proof = proof(fabric)
        assert exceptions_in(lane_proof) == [(ExceptionKind.DISCARDED, 1, "a1", "a")]
        assert (lane_proof.exceptions[0].by, lane_proof.exceptions[0].at_ms) == ("jo", at_ms)

    def test_an_edited_event_is_handled_but_not_as_it_stands_in_the_log(self) -> None:
        fabric = dead()
        letter = the_dead_letter(fabric)
        dead_letters(fabric).redrive(letter, replacement=event("a1", key="a"), by="jo")
        assert [exemption.kind for exemption in proof(fabric).exceptions][:2] == [
            ExceptionKind.PARKED,
            ExceptionKind.EDITED,
        ]
        fabric.recorder.before = lambda events: None
        drained(fabric)
        assert exceptions_in(proof(fabric)) == [(ExceptionKind.EDITED, 1, "a1", "a")]

    def test_a_discarded_event_that_came_again_by_a_replay_and_is_dead_again_is_listed_once(self) -> None:
        fabric = dead()
        dead_letters(fabric).discard(the_dead_letter(fabric))
        drained(fabric)
        replay(fabric, 0)
        drained(fabric)
        kinds = [exemption.kind for exemption in proof(fabric).exceptions if exemption.sequence == 1]
        assert kinds == [ExceptionKind.DEAD]

    def test_exceptions_are_listed_where_the_log_is_not_what_was_handled(self) -> None:
        fabric = dead()
        put_cursor(fabric, chain=type(fabric.cursor().chain)(b"y" * 16))
        lane_proof = proof(fabric)
        assert not lane_proof.is_proven
        assert [exemption.sequence for exemption in lane_proof.exceptions] == [1, 3, 4]

    def test_a_batch_whose_other_copy_is_delivered_is_excepted_where_it_was_stepped_over(self) -> None:
        fabric = SubscribedStream(lanes=2)
        first = fabric.put(*named("a1", "a2"), of=lane(1))
        noted_record = replace(
            fabric.record(fabric.origin_log.tail(LANE), *named("a1", "a2")), batch_id=first.batch_id
        )
        assert (
            fabric.origin_log.append(chained(noted_record, None, note=Note(first.lane, first.sequence)))
            is None
        )
        fabric.put(*named("b1"))
        fabric.deliver()
        fabric.deliver(lane(1))
        assert fabric.recorder.ids() == ["b1", "a1", "a2"]
        lane_proof = proof(fabric)
        assert exceptions_in(lane_proof) == [
            (ExceptionKind.ELSEWHERE, 0, "a1", "a"),
            (ExceptionKind.ELSEWHERE, 1, "a2", "a"),
        ]
        assert lane_proof.exceptions[0].why == f"delivered from {lane(1)}@0"
        assert (lane_proof.is_proven, lane_proof.events) == (True, 3)

    def test_a_copy_that_comes_after_the_noted_one_was_delivered_is_excepted_in_its_own_lane(self) -> None:
        fabric = SubscribedStream(lanes=2)
        late = fabric.record(
            Tail(
                SequenceNumber(0), type(fabric.cursor().chain)(bytes(16)), fabric.origin_log.tail(LANE).time
            ),
            *named("a1"),
        )
        noted_record = fabric.record(fabric.origin_log.tail(lane(1)), *named("a1"), of=lane(1))
        noted_record = chained(noted_record, None, batch_id=late.batch_id, note=Note(LANE, SequenceNumber(0)))
        assert fabric.origin_log.append(noted_record) is None
        fabric.deliver(lane(1))
        assert fabric.origin_log.append(late) is None
        fabric.deliver()
        assert fabric.recorder.ids() == ["a1"]
        assert exceptions_in(proof(fabric)) == [(ExceptionKind.ELSEWHERE, 0, "a1", "a")]


def expired(fabric: SubscribedStream, count: int) -> list[Record]:
    """Take the first records away, as their expiry would; returns what there was."""
    records = fabric.records()
    for record in records[:count]:
        remove(fabric, record)
    return records


def aged(**settings: Any) -> SubscribedStream:
    """Ten records of two events, a day apart, all handled, of a stream that keeps a week."""
    fabric = fabric_of(Failing({}), retention_days=7, **settings)
    for number in range(10):
        fabric.put(event(f"a{number}", key="a"), event(f"b{number}", key="b"))
        fabric.deliver()
        fabric.clock.advance(DAY_SECONDS)
    return fabric


class TestAnExpiredHead:
    """The oldest records of a stream with a retention are gone."""

    def test_what_is_kept_is_proven_from_the_end_of_the_oldest_record_on(self) -> None:
        fabric = aged()
        assert proof(fabric).first == 0
        records = expired(fabric, 3)
        lane_proof = proof(fabric)
        assert (lane_proof.is_proven, lane_proof.first, lane_proof.start, lane_proof.events) == (
            True,
            8,
            8,
            12,
        )
        put(fabric, replace(records[4], payload=records[5].payload))
        assert wrong(fabric) is FindingKind.DIVERGENCE

    def test_the_oldest_record_itself_is_taken_as_it_is(self) -> None:
        fabric = aged()
        records = expired(fabric, 3)
        put(fabric, replace(records[3], payload=records[5].payload))
        assert proof(fabric).first == 8
        put(fabric, chained(records[3], records[2], payload=records[5].payload))
        assert wrong(fabric) is FindingKind.DIVERGENCE

    def test_records_expire_in_no_order_and_the_proof_begins_behind_the_last_gap(self) -> None:
        fabric = aged()
        records = fabric.records()
        remove(fabric, records[1])
        assert proof(fabric).first == 6
        remove(fabric, records[3])
        assert proof(fabric).first == 10

    def test_a_record_that_cannot_have_expired_is_missing(self) -> None:
        fabric = aged()
        records = expired(fabric, 3)
        remove(fabric, records[5])
        finding = proof(fabric).wrong
        assert finding is not None
        assert (finding.kind, finding.sequence) == (FindingKind.HOLE, 10)

    def test_a_cursor_whose_records_have_all_expired_has_nothing_left_to_prove(self) -> None:
        fabric = aged()
        records = expired(fabric, 3)
        for stands in (1, 2, 3):
            sequence = records[stands].sequence
            put_cursor(fabric, sequence=sequence, base=sequence, chain=records[stands - 1].chain)
            lane_proof = proof(fabric)
            assert (lane_proof.is_proven, lane_proof.events, lane_proof.start) == (True, 0, sequence)
        put_cursor(fabric, base=SequenceNumber(4), sequence=SequenceNumber(7))
        assert wrong(fabric) is FindingKind.CURSOR_BROKEN
        put_cursor(fabric, base=SequenceNumber(6), sequence=SequenceNumber(5))
        assert wrong(fabric) is FindingKind.UNREADABLE

    def test_a_cursor_that_began_with_the_oldest_record_has_no_chain_and_proves_from_there_on(self) -> None:
        fabric = aged()
        records = expired(fabric, 3)
        sequence = records[3].sequence
        put_cursor(
            fabric, sequence=SequenceNumber(sequence + 1), base=sequence, chain=UNKNOWN_CHAIN, began=sequence
        )
        assert (wrong(fabric), proof(fabric).events) == (None, 0)
        put_cursor(
            fabric,
            sequence=SequenceNumber(sequence + 1),
            base=sequence,
            chain=records[2].chain,
            began=sequence,
        )
        assert (wrong(fabric), proof(fabric).events) == (None, 1)
        put_cursor(fabric, sequence=SequenceNumber(sequence + 1), base=sequence, chain=records[1].chain)
        assert wrong(fabric) is FindingKind.CURSOR_BROKEN

    def test_of_a_record_that_expired_while_it_was_being_handled_nothing_is_claimed(self) -> None:
        fabric = aged()
        records = fabric.records()
        put_cursor(fabric, sequence=SequenceNumber(5), base=SequenceNumber(4), chain=records[1].chain)
        assert proof(fabric).events == 5
        remove(fabric, records[2])
        assert (wrong(fabric), proof(fabric).start, proof(fabric).events) == (None, 5, 0)

    def test_a_cursor_that_stands_beyond_the_record_that_expired_under_it_is_broken(self) -> None:
        fabric = aged()
        records = fabric.records()
        remove(fabric, records[2])
        put_cursor(fabric, sequence=SequenceNumber(6), base=SequenceNumber(4), chain=records[1].chain)
        assert wrong(fabric) is None
        put_cursor(fabric, sequence=SequenceNumber(7), base=SequenceNumber(4), chain=records[1].chain)
        assert wrong(fabric) is FindingKind.CURSOR_BROKEN

    def test_what_is_excepted_of_it_is_named_by_what_the_ledger_knows(self) -> None:
        fabric = fabric_of(Failing({"a1": 9}), *named("a1", "a2", "b1"), retention_days=7, **ONCE)
        fabric.deliver()
        fabric.clock.advance(8 * DAY_SECONDS)
        expired(fabric, 2)
        assert exceptions_in(proof(fabric)) == [
            (ExceptionKind.DEAD, 0, "a1", "a"),
            (ExceptionKind.WAITING, 1, "", "a"),
        ]

    def test_without_a_retention_nothing_expires(self) -> None:
        fabric = delivered()
        fabric.clock.advance(400 * DAY_SECONDS)
        expired(fabric, 1)
        assert wrong(fabric) is FindingKind.HOLE


class TestWhereItBegan:
    """A subscription that did not begin with the first event."""

    def test_it_is_proven_from_where_it_began_and_the_log_before_is_bound_too(self) -> None:
        fabric = SubscribedStream(start="latest")
        for name in ("old 0", "old 1"):
            fabric.put(event(name))
            fabric.clock.advance(1)
        fabric.put(event("new 0"))
        fabric.deliver()
        fabric.put(event("new 1"))
        fabric.deliver()
        assert fabric.recorder.ids() == ["new 0", "new 1"]
        lane_proof = proof(fabric)
        assert (lane_proof.first, lane_proof.start, lane_proof.events) == (0, 2, 2)
        records = fabric.records()
        put(fabric, replace(records[0], payload=records[1].payload))
        assert wrong(fabric) is FindingKind.DIVERGENCE


class TestReplays:
    """A cursor that went back."""

    def test_it_proves_what_is_before_it_and_says_what_comes_again(self) -> None:
        fabric = delivered()
        replay(fabric, 5)
        lane_proof = proof(fabric)
        assert (lane_proof.is_proven, lane_proof.events, lane_proof.cursor.replay_until) == (True, 5, 12)

    def test_what_is_to_come_again_is_looked_at_too(self) -> None:
        fabric = delivered()
        records = fabric.records()
        replay(fabric, 4)
        put(fabric, replace(records[4], payload=records[3].payload))
        assert wrong(fabric) is FindingKind.DIVERGENCE
        put(fabric, records[4])
        remove(fabric, records[5])
        assert wrong(fabric) is FindingKind.CURSOR_AHEAD

    def test_a_decision_about_the_very_next_event_is_not_reported_before_that_came(self) -> None:
        fabric = dead()
        dead_letters(fabric).discard(the_dead_letter(fabric))
        drained(fabric)
        replay(fabric, 1)
        assert (proof(fabric).events, exceptions_in(proof(fabric))) == (1, [])

    def test_a_replay_to_the_end_of_a_record_that_expired_is_no_contradiction(self) -> None:
        fabric = aged()
        records = fabric.records()
        remove(fabric, records[2])
        put_cursor(
            fabric,
            sequence=SequenceNumber(6),
            base=SequenceNumber(4),
            chain=records[1].chain,
            replay_until=SequenceNumber(20),
        )
        assert wrong(fabric) is None

    def test_what_was_decided_about_an_event_that_comes_again_excepts_nothing_until_it_came(self) -> None:
        fabric = dead()
        dead_letters(fabric).discard(the_dead_letter(fabric))
        drained(fabric)
        replay(fabric, 0)
        assert (proof(fabric).events, exceptions_in(proof(fabric))) == (0, [])
        drained(fabric)
        assert ExceptionKind.DEAD in [exemption.kind for exemption in proof(fabric).exceptions]

    def test_a_replay_of_a_key_is_excepted_event_by_event(self) -> None:
        fabric = delivered(records=2)
        replay(fabric, 0, key="a")
        assert exceptions_in(proof(fabric)) == [
            (ExceptionKind.REPLAYING, 0, "a0", "a"),
            (ExceptionKind.REPLAYING, 2, "a1", "a"),
        ]
        drained(fabric)
        assert exceptions_in(proof(fabric)) == []


class TestHandovers:
    """Another Region delivers the lane."""

    @pytest.mark.parametrize("taken_over", [False, True])
    def test_the_new_owner_proves_by_the_cursor_that_it_goes_on_from(self, taken_over: bool) -> None:
        fabric = dead()
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        hand_over(away)
        if taken_over:
            away.deliver()
        lane_proof = proof(away)
        assert (lane_proof.is_proven, lane_proof.region, lane_proof.events) == (
            True,
            AWAY if taken_over else HOME,
            5,
        )
        assert [exemption.sequence for exemption in lane_proof.exceptions] == [1, 3, 4]

    @pytest.mark.parametrize("region", [HOME, AWAY])
    def test_where_all_regions_share_one_state_whoever_delivers_proves_by_it(self, region: Region) -> None:
        fabric = dead(durability="quorum")
        if region == AWAY:
            fabric = fabric.in_region(AWAY)
            hand_over(fabric)
        lane_proof = proof(fabric)
        assert (lane_proof.is_proven, lane_proof.region, lane_proof.events) == (True, HOME, 5)
        assert [exemption.sequence for exemption in lane_proof.exceptions] == [1, 3, 4]

    def test_a_cursor_that_came_before_its_records_is_ahead_until_they_come(self) -> None:
        fabric = delivered()
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        hand_over(away)
        remove(away, fabric.records()[-1])
        finding = proof(away).wrong
        assert finding is not None
        assert finding.kind is FindingKind.CURSOR_AHEAD
        assert finding.detail == TextWith(f"ends at 10 in {AWAY}")
