"""Exceptions of a proof, and proofs after an expired head, replays, late beginnings and handovers."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric.model.finding import FindingKind
from eventfabric.model.identity import Region, SequenceNumber
from eventfabric.model.proof import ExceptionKind, LaneProof
from eventfabric.model.record import UNKNOWN_CHAIN, Note, Record, Tail
from tests.support.failing_handlers import (
    BAD_ORDER,
    FEW,
    Failing,
    dead_letters,
    drained,
    named,
    retry,
    the_dead_letter,
    world_of,
)
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, event, lane
from tests.support.messages import TextWith
from tests.support.replays import replay
from tests.support.subscribed_stream import SubscribedStream
from tests.support.tampered_logs import chained, delivered, proof, put, put_cursor, remove, wrong

ONCE = retry(immediate=0, attempts=1)
DAY_SECONDS = 86_400
Told = list[tuple[ExceptionKind, int, str, str]]


def told(proof: LaneProof) -> Told:
    return [
        (exemption.kind, exemption.sequence, exemption.event_id, exemption.key)
        for exemption in proof.exceptions
    ]


def dead(**settings: Any) -> SubscribedStream:
    """A dead event, `a1` at 1, with two behind it, and others handled."""
    settings = {**ONCE, **settings}
    world = world_of(Failing({"a1": 9}), *named("b1", "a1", "b2", "a2", "a3"), **settings)
    return drained(world)


class TestExceptions:
    """Events that were not handled as they are in the log."""

    def test_a_parked_event_and_what_waits_behind_it(self) -> None:
        world = world_of(Failing({"a1": 9}), *named("b1", "a1", "b2", "a2"), **FEW)
        world.deliver()
        lane_proof = proof(world)
        assert (lane_proof.is_proven, lane_proof.events) == (True, 4)
        assert told(lane_proof) == [
            (ExceptionKind.PARKED, 1, "a1", "a"),
            (ExceptionKind.WAITING, 3, "a2", "a"),
        ]
        first, behind = lane_proof.exceptions
        assert (first.why, first.at_ms) == (
            TextWith(BAD_ORDER, "1 attempts"),
            world.clock.now_ms(),
        )
        assert behind.why == TextWith("behind 1", "parked")

    def test_a_dead_event_and_what_waits_behind_it(self) -> None:
        lane_proof = proof(dead())
        assert lane_proof.is_proven
        assert told(lane_proof) == [
            (ExceptionKind.DEAD, 1, "a1", "a"),
            (ExceptionKind.WAITING, 3, "a2", "a"),
            (ExceptionKind.WAITING, 4, "a3", "a"),
        ]

    def test_a_discarded_event_and_who_did_it_and_when(self) -> None:
        world = dead()
        dead_letters(world).discard(the_dead_letter(world), by="jo")
        at_ms = world.clock.now_ms()
        drained(world)
        lane_proof = proof(world)
        assert told(lane_proof) == [(ExceptionKind.DISCARDED, 1, "a1", "a")]
        assert (lane_proof.exceptions[0].by, lane_proof.exceptions[0].at_ms) == ("jo", at_ms)

    def test_an_edited_event_is_handled_but_not_as_it_stands_in_the_log(self) -> None:
        world = dead()
        letter = the_dead_letter(world)
        dead_letters(world).redrive(letter, replacement=event("a1", key="a"), by="jo")
        assert [exemption.kind for exemption in proof(world).exceptions][:2] == [
            ExceptionKind.PARKED,
            ExceptionKind.EDITED,
        ]
        world.recorder.before = lambda events: None
        drained(world)
        assert told(proof(world)) == [(ExceptionKind.EDITED, 1, "a1", "a")]

    def test_a_discarded_event_that_came_again_by_a_replay_and_is_dead_again_is_listed_once(self) -> None:
        world = dead()
        dead_letters(world).discard(the_dead_letter(world))
        drained(world)
        replay(world, 0)
        drained(world)
        kinds = [exemption.kind for exemption in proof(world).exceptions if exemption.sequence == 1]
        assert kinds == [ExceptionKind.DEAD]

    def test_exceptions_are_listed_where_the_log_is_not_what_was_handled(self) -> None:
        world = dead()
        put_cursor(world, chain=type(world.cursor().chain)(b"y" * 16))
        lane_proof = proof(world)
        assert not lane_proof.is_proven
        assert [exemption.sequence for exemption in lane_proof.exceptions] == [1, 3, 4]

    def test_a_batch_whose_other_copy_is_delivered_is_excepted_where_it_was_stepped_over(self) -> None:
        world = SubscribedStream(lanes=2)
        first = world.put(*named("a1", "a2"), of=lane(1))
        noted = replace(
            world.record(world.origin_log.tail(LANE), *named("a1", "a2")), batch_id=first.batch_id
        )
        assert world.origin_log.append(chained(noted, None, note=Note(first.lane, first.sequence))) is None
        world.put(*named("b1"))
        world.deliver()
        world.deliver(lane(1))
        assert world.recorder.ids() == ["b1", "a1", "a2"]
        lane_proof = proof(world)
        assert told(lane_proof) == [
            (ExceptionKind.ELSEWHERE, 0, "a1", "a"),
            (ExceptionKind.ELSEWHERE, 1, "a2", "a"),
        ]
        assert lane_proof.exceptions[0].why == f"delivered from {lane(1)}@0"
        assert (lane_proof.is_proven, lane_proof.events) == (True, 3)

    def test_a_copy_that_comes_after_the_noted_one_was_delivered_is_excepted_in_its_own_lane(self) -> None:
        world = SubscribedStream(lanes=2)
        late = world.record(
            Tail(SequenceNumber(0), type(world.cursor().chain)(bytes(16)), world.origin_log.tail(LANE).time),
            *named("a1"),
        )
        noted = world.record(world.origin_log.tail(lane(1)), *named("a1"), of=lane(1))
        noted = chained(noted, None, batch_id=late.batch_id, note=Note(LANE, SequenceNumber(0)))
        assert world.origin_log.append(noted) is None
        world.deliver(lane(1))
        assert world.origin_log.append(late) is None
        world.deliver()
        assert world.recorder.ids() == ["a1"]
        assert told(proof(world)) == [(ExceptionKind.ELSEWHERE, 0, "a1", "a")]


def expired(world: SubscribedStream, count: int) -> list[Record]:
    """Take the first records away, as their expiry would; returns what there was."""
    records = world.records()
    for record in records[:count]:
        remove(world, record)
    return records


def aged(**settings: Any) -> SubscribedStream:
    """Ten records of two events, a day apart, all handled, of a stream that keeps a week."""
    world = world_of(Failing({}), retention_days=7, **settings)
    for number in range(10):
        world.put(event(f"a{number}", key="a"), event(f"b{number}", key="b"))
        world.deliver()
        world.clock.advance(DAY_SECONDS)
    return world


class TestAnExpiredHead:
    """The oldest records of a stream with a retention are gone."""

    def test_what_is_kept_is_proven_from_the_end_of_the_oldest_record_on(self) -> None:
        world = aged()
        assert proof(world).first == 0
        records = expired(world, 3)
        lane_proof = proof(world)
        assert (lane_proof.is_proven, lane_proof.first, lane_proof.start, lane_proof.events) == (
            True,
            8,
            8,
            12,
        )
        put(world, replace(records[4], payload=records[5].payload))
        assert wrong(world) is FindingKind.DIVERGENCE

    def test_the_oldest_record_itself_is_taken_as_it_is(self) -> None:
        world = aged()
        records = expired(world, 3)
        put(world, replace(records[3], payload=records[5].payload))
        assert proof(world).first == 8
        put(world, chained(records[3], records[2], payload=records[5].payload))
        assert wrong(world) is FindingKind.DIVERGENCE

    def test_records_expire_in_no_order_and_the_proof_begins_behind_the_last_gap(self) -> None:
        world = aged()
        records = world.records()
        remove(world, records[1])
        assert proof(world).first == 6
        remove(world, records[3])
        assert proof(world).first == 10

    def test_a_record_that_cannot_have_expired_is_missing(self) -> None:
        world = aged()
        records = expired(world, 3)
        remove(world, records[5])
        finding = proof(world).wrong
        assert finding is not None
        assert (finding.kind, finding.sequence) == (FindingKind.HOLE, 10)

    def test_a_cursor_whose_records_have_all_expired_has_nothing_left_to_prove(self) -> None:
        world = aged()
        records = expired(world, 3)
        for stands in (1, 2, 3):
            sequence = records[stands].sequence
            put_cursor(world, sequence=sequence, base=sequence, chain=records[stands - 1].chain)
            lane_proof = proof(world)
            assert (lane_proof.is_proven, lane_proof.events, lane_proof.start) == (True, 0, sequence)
        put_cursor(world, base=SequenceNumber(4), sequence=SequenceNumber(7))
        assert wrong(world) is FindingKind.CURSOR_BROKEN
        put_cursor(world, base=SequenceNumber(6), sequence=SequenceNumber(5))
        assert wrong(world) is FindingKind.UNREADABLE

    def test_a_cursor_that_began_with_the_oldest_record_has_no_chain_and_proves_from_there_on(self) -> None:
        world = aged()
        records = expired(world, 3)
        sequence = records[3].sequence
        put_cursor(
            world, sequence=SequenceNumber(sequence + 1), base=sequence, chain=UNKNOWN_CHAIN, began=sequence
        )
        assert (wrong(world), proof(world).events) == (None, 0)
        put_cursor(
            world,
            sequence=SequenceNumber(sequence + 1),
            base=sequence,
            chain=records[2].chain,
            began=sequence,
        )
        assert (wrong(world), proof(world).events) == (None, 1)
        put_cursor(world, sequence=SequenceNumber(sequence + 1), base=sequence, chain=records[1].chain)
        assert wrong(world) is FindingKind.CURSOR_BROKEN

    def test_of_a_record_that_expired_while_it_was_being_handled_nothing_is_claimed(self) -> None:
        world = aged()
        records = world.records()
        put_cursor(world, sequence=SequenceNumber(5), base=SequenceNumber(4), chain=records[1].chain)
        assert proof(world).events == 5
        remove(world, records[2])
        assert (wrong(world), proof(world).start, proof(world).events) == (None, 5, 0)

    def test_a_cursor_that_stands_beyond_the_record_that_expired_under_it_is_broken(self) -> None:
        world = aged()
        records = world.records()
        remove(world, records[2])
        put_cursor(world, sequence=SequenceNumber(6), base=SequenceNumber(4), chain=records[1].chain)
        assert wrong(world) is None
        put_cursor(world, sequence=SequenceNumber(7), base=SequenceNumber(4), chain=records[1].chain)
        assert wrong(world) is FindingKind.CURSOR_BROKEN

    def test_what_is_excepted_of_it_is_named_by_what_the_ledger_knows(self) -> None:
        world = world_of(Failing({"a1": 9}), *named("a1", "a2", "b1"), retention_days=7, **ONCE)
        world.deliver()
        world.clock.advance(8 * DAY_SECONDS)
        expired(world, 2)
        assert told(proof(world)) == [(ExceptionKind.DEAD, 0, "a1", "a"), (ExceptionKind.WAITING, 1, "", "a")]

    def test_without_a_retention_nothing_expires(self) -> None:
        world = delivered()
        world.clock.advance(400 * DAY_SECONDS)
        expired(world, 1)
        assert wrong(world) is FindingKind.HOLE


class TestWhereItBegan:
    """A subscription that did not begin with the first event."""

    def test_it_is_proven_from_where_it_began_and_the_log_before_is_bound_too(self) -> None:
        world = SubscribedStream(start="latest")
        for name in ("old 0", "old 1"):
            world.put(event(name))
            world.clock.advance(1)
        world.put(event("new 0"))
        world.deliver()
        world.put(event("new 1"))
        world.deliver()
        assert world.recorder.ids() == ["new 0", "new 1"]
        lane_proof = proof(world)
        assert (lane_proof.first, lane_proof.start, lane_proof.events) == (0, 2, 2)
        records = world.records()
        put(world, replace(records[0], payload=records[1].payload))
        assert wrong(world) is FindingKind.DIVERGENCE


class TestReplays:
    """A cursor that went back."""

    def test_it_proves_what_is_before_it_and_says_what_comes_again(self) -> None:
        world = delivered()
        replay(world, 5)
        lane_proof = proof(world)
        assert (lane_proof.is_proven, lane_proof.events, lane_proof.cursor.replay_until) == (True, 5, 12)

    def test_what_is_to_come_again_is_looked_at_too(self) -> None:
        world = delivered()
        records = world.records()
        replay(world, 4)
        put(world, replace(records[4], payload=records[3].payload))
        assert wrong(world) is FindingKind.DIVERGENCE
        put(world, records[4])
        remove(world, records[5])
        assert wrong(world) is FindingKind.CURSOR_AHEAD

    def test_a_decision_about_the_very_next_event_is_not_reported_before_that_came(self) -> None:
        world = dead()
        dead_letters(world).discard(the_dead_letter(world))
        drained(world)
        replay(world, 1)
        assert (proof(world).events, told(proof(world))) == (1, [])

    def test_a_replay_to_the_end_of_a_record_that_expired_is_no_contradiction(self) -> None:
        world = aged()
        records = world.records()
        remove(world, records[2])
        put_cursor(
            world,
            sequence=SequenceNumber(6),
            base=SequenceNumber(4),
            chain=records[1].chain,
            replay_until=SequenceNumber(20),
        )
        assert wrong(world) is None

    def test_what_was_decided_about_an_event_that_comes_again_excepts_nothing_until_it_came(self) -> None:
        world = dead()
        dead_letters(world).discard(the_dead_letter(world))
        drained(world)
        replay(world, 0)
        assert (proof(world).events, told(proof(world))) == (0, [])
        drained(world)
        assert ExceptionKind.DEAD in [exemption.kind for exemption in proof(world).exceptions]

    def test_a_replay_of_a_key_is_excepted_event_by_event(self) -> None:
        world = delivered(records=2)
        replay(world, 0, key="a")
        assert told(proof(world)) == [
            (ExceptionKind.REPLAYING, 0, "a0", "a"),
            (ExceptionKind.REPLAYING, 2, "a1", "a"),
        ]
        drained(world)
        assert told(proof(world)) == []


class TestHandovers:
    """Another Region delivers the lane."""

    @pytest.mark.parametrize("taken_over", [False, True])
    def test_the_new_owner_proves_by_the_cursor_that_it_goes_on_from(self, taken_over: bool) -> None:
        world = dead()
        world.cloud.replicate()
        away = world.at(AWAY)
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
        world = dead(durability="quorum")
        if region == AWAY:
            world = world.at(AWAY)
            hand_over(world)
        lane_proof = proof(world)
        assert (lane_proof.is_proven, lane_proof.region, lane_proof.events) == (True, HOME, 5)
        assert [exemption.sequence for exemption in lane_proof.exceptions] == [1, 3, 4]

    def test_a_cursor_that_came_before_its_records_is_ahead_until_they_come(self) -> None:
        world = delivered()
        world.cloud.replicate()
        away = world.at(AWAY)
        hand_over(away)
        remove(away, world.records()[-1])
        finding = proof(away).wrong
        assert finding is not None
        assert finding.kind is FindingKind.CURSOR_AHEAD
        assert finding.detail == TextWith(f"ends at 10 in {AWAY}")
