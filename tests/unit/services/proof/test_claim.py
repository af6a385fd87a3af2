"""A claim checks a cursor record by record: against what, until when, which exceptions count, and whose decisions."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from eventfabric.errors import DivergenceError, MissingRecordError
from eventfabric.model import (
    REPLAYED,
    Cursor,
    Failure,
    Note,
    Parked,
    ParkedState,
    Place,
    Record,
    SequenceNumber,
    Settled,
    Tail,
    to_ms,
)
from eventfabric.model.finding import FindingKind
from eventfabric.model.proof import ExceptionKind, Exempt, LaneProof
from eventfabric.services.proof.claim import Claim, exceptions_of
from eventfabric.services.proof.prove import Prover
from eventfabric.services.proof.trail import Trail
from eventfabric.testing.memory.faults import Faults
from tests.support.expiry import reconciled
from tests.support.failing_handlers import (
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
from tests.support.tampered_logs import (
    chained,
    delivered,
    log_table,
    proof,
    proofs,
    put,
    put_cursor,
    remove,
    wrong,
)

ONCE = retry(immediate=0, attempts=1)
DAY_SECONDS = 86_400


def claim(fabric: SubscribedStream, **changes: int) -> Claim:
    """Return a claim of the stored cursor with changes, before any check."""
    changed: dict[str, Any] = {name: SequenceNumber(value) for name, value in changes.items()}
    cursor = replace(fabric.cursor(), **changed)
    return Claim(fabric.key_of(LANE), HOME, cursor, sees_from=HOME)


def held(fabric: SubscribedStream, cursor: Cursor, *, end: int, expired_ms: int | None = None) -> LaneProof:
    """A cursor held against the log up to `end`, as beside another cursor that stands there."""
    claim = Claim(fabric.key_of(LANE), HOME, cursor, sees_from=HOME)
    trail = Trail(fabric.log, LANE, expired_ms=expired_ms)
    claim.start(trail)
    try:
        for record in trail.walk(SequenceNumber(end)):
            claim.meet(trail, record)
    except (MissingRecordError, DivergenceError) as error:
        claim.stop(error)
    else:
        claim.finish(trail, trail.position.sequence)
    return claim.proof()


def between(fabric: SubscribedStream, records: list[Record], sequence: int, *, base: int) -> Cursor:
    """A cursor in, or before, the record that begins at `base`."""
    before = [record for record in records if record.tail.sequence <= base]
    return replace(
        fabric.cursor(), sequence=SequenceNumber(sequence), base=SequenceNumber(base), chain=before[-1].chain
    )


def exceptions_in(proof: LaneProof) -> list[tuple[ExceptionKind, int, str, str]]:
    return [(exempt.kind, exempt.sequence, exempt.event_id, exempt.key) for exempt in proof.exceptions]


class TestWhereTheLogBreaks:
    """Beside a cursor that stands further on, a walk may break where another cursor needs nothing any more."""

    @pytest.mark.parametrize("far", [0, 12, 40])
    def test_a_walk_that_never_came_to_the_cursors_place_proves_nothing_wherever_it_broke(
        self, far: int
    ) -> None:
        broken_claim = claim(delivered())
        broken_claim.stop(MissingRecordError(LANE, far, "missing"))
        proof = broken_claim.proof()
        assert proof.wrong is not None
        assert (proof.wrong.kind, proof.wrong.sequence) == (FindingKind.HOLE, far)

    def test_a_cursor_between_records_needs_none_of_those_behind_it(self) -> None:
        fabric = delivered()
        records = fabric.records()
        put(fabric, replace(records[2], payload=records[3].payload))
        assert held(fabric, between(fabric, records, 4, base=4), end=12).is_proven
        assert not held(fabric, between(fabric, records, 6, base=6), end=12).is_proven

    def test_a_cursor_in_a_record_needs_the_very_next_one_and_no_more(self) -> None:
        fabric = fabric_of(Failing({}))
        fabric.put(event("a1"), event("a2"))
        fabric.put(event("a3"), event("a4"))
        fabric.put(event("a5"))
        fabric.put(event("a6"))
        fabric.put(event("a7"))
        drained(fabric)
        records = fabric.records()
        put(fabric, replace(records[3], batch_id=records[2].batch_id))
        assert held(fabric, between(fabric, records, 3, base=2), end=7).is_proven
        put(fabric, replace(records[2], batch_id=records[1].batch_id))
        assert not held(fabric, between(fabric, records, 3, base=2), end=7).is_proven

    def test_a_gap_of_expired_records_behind_a_cursor_takes_nothing_from_what_it_proves(self) -> None:
        fabric = delivered(retention_days=7)
        records = fabric.records()
        expired_ms = to_ms(records[-1].time)
        remove(fabric, records[3])
        for cursor in (between(fabric, records, 4, base=4), between(fabric, records, 5, base=4)):
            proof = held(fabric, cursor, end=12, expired_ms=expired_ms)
            assert (proof.is_proven, proof.first, proof.events) == (True, 0, cursor.sequence)

    def test_a_record_that_cannot_be_read_behind_the_cursor_is_not_looked_at(self) -> None:
        fabric = delivered()
        fabric.put(event("c1"))
        table = log_table(fabric)
        table.write("Put", {"Item": {**table.items[-1], "n": {"N": "0"}}})
        assert (wrong(fabric), proof(fabric).events) == (None, 12)

    def test_a_walk_goes_no_further_than_it_was_asked_to_and_on_from_there(self) -> None:
        fabric = delivered()
        records = fabric.records()
        trail = Trail(fabric.log, LANE, expired_ms=None)
        assert list(trail.walk(SequenceNumber(4))) == records[:2]
        assert trail.position.sequence == 4
        assert list(trail.walk(SequenceNumber(5))) == records[2:3]

    @pytest.mark.parametrize(("earlier_ms", "expired"), [(0, True), (1, False)])
    def test_what_was_appended_at_the_very_time_to_which_records_expire_may_have_expired(
        self, earlier_ms: int, expired: bool
    ) -> None:
        fabric = delivered(records=1)
        for name in ("c1", "d1"):
            fabric.clock.advance(DAY_SECONDS)
            fabric.put(event(name))
        records = fabric.records()
        remove(fabric, records[1])
        trail = Trail(fabric.log, LANE, expired_ms=to_ms(records[0].time) - earlier_ms)
        if expired:
            assert list(trail.walk(SequenceNumber(4))) == [records[0], records[2]]
        else:
            with pytest.raises(MissingRecordError):
                list(trail.walk(SequenceNumber(4)))


class TestACursorThatIsNotTheLogs:
    """The first contradiction is the one that is told."""

    def test_a_cursor_at_the_end_of_its_record_stands_in_no_record(self) -> None:
        fabric = delivered()
        records = fabric.records()
        put_cursor(fabric, sequence=SequenceNumber(6), base=records[2].sequence, chain=records[1].chain)
        finding = proof(fabric).wrong
        assert finding is not None
        assert finding.kind is FindingKind.CURSOR_BROKEN
        assert finding.detail == TextWith("stands at 6", "ends at 6")

    def test_what_follows_from_a_contradiction_does_not_take_its_place(self) -> None:
        fabric = delivered()
        records = fabric.records()
        put_cursor(fabric, sequence=SequenceNumber(20), base=records[2].sequence, chain=records[1].chain)
        assert wrong(fabric) is FindingKind.CURSOR_BROKEN

    def test_a_finding_is_of_the_region_that_looks_and_not_of_the_one_whose_cursor_it_is(self) -> None:
        fabric = delivered()
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        hand_over(away)
        remove(away, fabric.records()[-1])
        lane_proof = proof(away)
        assert lane_proof.wrong is not None
        assert (lane_proof.region, lane_proof.wrong.region) == (HOME, AWAY)

    def test_one_that_was_deleted_is_found_by_a_pass_that_saw_it(self) -> None:
        fabric = delivered()
        reconciled(fabric, repair=False)
        table = fabric.cloud.regions[HOME].table(fabric.topology.ledger.name)
        before = len(table.items)
        for item in table.items:
            table.write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})
            if not fabric.cursor().version:
                break
            table.write("Put", {"Item": item})
        assert len(table.items) == before - 1
        assert wrong(fabric) is FindingKind.CURSOR_BACK

    def test_one_that_went_back_by_a_replay_or_with_a_new_owner_is_not_moved_back(self) -> None:
        fabric = delivered()
        reconciled(fabric, repair=False)
        replay(fabric, 4)
        assert (wrong(fabric), proof(fabric).events) == (None, 4)
        fabric = delivered()
        reconciled(fabric, repair=False)
        back = between(fabric, fabric.records(), 4, base=4)
        put_cursor(fabric, sequence=back.sequence, base=back.base, chain=back.chain, epoch=1)
        assert (wrong(fabric), proof(fabric).events) == (None, 4)


FAILURE = Failure(
    "shop:Bad", "no", "", "a hint", attempts=3, crashes=0, first_ms=1_000, last_ms=2_000, event_id="a1"
)


def parked(failure: Failure, *places: Place, state: ParkedState = ParkedState.RETRYING) -> Parked:
    return Parked("a", "a", state, places, 0, failure)


def places_at(*sequences: int, replay: bool = False) -> list[Place]:
    return [Place(SequenceNumber(sequence), SequenceNumber(sequence), replay) for sequence in sequences]


def excepted(keys: Iterable[Parked] = (), settled: Iterable[Settled] = ()) -> list[Exempt]:
    exceptions = list(exceptions_of(keys, settled, end=SequenceNumber(100)))
    return [exemption for exemption in exceptions if isinstance(exemption, Exempt)]


class TestWhatIsExcepted:
    """Exceptions that follow from the ledger's parked keys and decisions."""

    @pytest.mark.parametrize(
        ("state", "kind", "is_now"),
        [
            (ParkedState.RETRYING, ExceptionKind.PARKED, "parked"),
            (ParkedState.DEAD, ExceptionKind.DEAD, "dead"),
        ],
    )
    def test_the_first_failed_last_and_what_is_behind_it_has_waited_since_it_failed_first(
        self, state: ParkedState, kind: ExceptionKind, is_now: str
    ) -> None:
        assert excepted([parked(FAILURE, *places_at(4, 9), state=state)]) == [
            Exempt(kind, SequenceNumber(4), TextWith("shop:Bad", "3 attempts"), 2_000, "a1", "a"),
            Exempt(ExceptionKind.WAITING, SequenceNumber(9), TextWith("behind 4", is_now), 1_000, key="a"),
        ]

    def test_crashes_are_named_where_there_were_some(self) -> None:
        (exemption,) = excepted([parked(replace(FAILURE, crashes=2), *places_at(4))])
        assert exemption.why == TextWith("shop:Bad", "3 attempts", "2 crashes")

    def test_what_is_replayed_by_its_key_comes_again_and_a_new_event_waits_behind_it(self) -> None:
        failure = replace(FAILURE, error_type=REPLAYED, event_id="")
        assert excepted([parked(failure, *places_at(4, 5, replay=True), *places_at(9))]) == [
            Exempt(ExceptionKind.REPLAYING, SequenceNumber(4), "a hint", 1_000, key="a"),
            Exempt(ExceptionKind.REPLAYING, SequenceNumber(5), "a hint", 1_000, key="a"),
            Exempt(ExceptionKind.WAITING, SequenceNumber(9), TextWith("behind 4", "parked"), 1_000, key="a"),
        ]

    def test_a_decision_names_its_event_who_made_it_and_when(self) -> None:
        decided = Settled(SequenceNumber(4), "discarded", FAILURE, at_ms=5_000, by="jo")
        assert excepted(settled=[decided]) == [
            Exempt(ExceptionKind.DISCARDED, SequenceNumber(4), "shop:Bad", 5_000, "a1", by="jo")
        ]

    def test_keys_whose_events_are_mixed_are_named_in_the_order_of_the_log(self) -> None:
        failing = Failing({"a1": 9, "b1": 9})
        fabric = drained(fabric_of(failing, *named("b1", "a1", "a2", "b2", "a3"), **ONCE))
        assert exceptions_in(proof(fabric)) == [
            (ExceptionKind.DEAD, 0, "b1", "b"),
            (ExceptionKind.DEAD, 1, "a1", "a"),
            (ExceptionKind.WAITING, 2, "a2", "a"),
            (ExceptionKind.WAITING, 3, "b2", "b"),
            (ExceptionKind.WAITING, 4, "a3", "a"),
        ]

    def test_of_a_record_that_this_version_cannot_read_the_ledgers_word_is_reported(self) -> None:
        fabric = drained(fabric_of(Failing({"a1": 9}), *named("b1", "a1"), **ONCE))
        records = fabric.records()
        newer = chained(records[1], records[0], payload=b"\x63of a later version")
        put(fabric, newer)
        put_cursor(fabric, chain=newer.chain)
        lane_proof = proof(fabric)
        assert (lane_proof.is_proven, lane_proof.events) == (True, 2)
        assert exceptions_in(lane_proof) == [(ExceptionKind.DEAD, 1, "a1", "a")]


def noted_first(**settings: Any) -> tuple[SubscribedStream, Record]:
    """A record of two events whose note says that it also stands in lane 1, where it was delivered first."""
    fabric = SubscribedStream(lanes=2, **settings)
    first = fabric.put(event("a1", key="a"), event("a2", key="a", type="other"), of=lane(1))
    tail = fabric.origin_log.tail(LANE)
    record = fabric.record(tail, event("a1", key="a"), event("a2", key="a", type="other"))
    note = Note(first.lane, first.sequence)
    noted_record = chained(replace(record, batch_id=first.batch_id), None, note=note)
    assert fabric.origin_log.append(noted_record) is None
    fabric.put(*named("b1"))
    fabric.deliver()
    fabric.deliver(lane(1))
    return fabric, noted_record


class TestBatchesThatStandTwice:
    """Batches that were stepped over here, since their other copy is delivered."""

    def test_only_what_the_subscription_wants_is_excepted(self) -> None:
        fabric, _ = noted_first(types=["placed"])
        assert fabric.recorder.ids() == ["b1", "a1"]
        assert exceptions_in(proof(fabric)) == [(ExceptionKind.ELSEWHERE, 0, "a1", "a")]

    @pytest.mark.parametrize("sequence", [0, 1])
    def test_what_is_at_the_cursor_or_behind_it_is_not_excepted(self, sequence: int) -> None:
        fabric, _ = noted_first()
        put_cursor(
            fabric,
            sequence=SequenceNumber(sequence),
            base=SequenceNumber(0),
            chain=type(fabric.cursor().chain)(bytes(16)),
            replay_until=SequenceNumber(3),
        )
        faults, ports = Faults(), fabric.ports()
        counted = replace(ports, ledger=faults.ledger(ports.ledger))
        (proof,) = Prover(fabric.stream, [fabric.subscription], counted, lane=LANE).prove(LANE)
        assert [(exemption.kind, exemption.sequence) for exemption in proof.exceptions] == [
            (ExceptionKind.ELSEWHERE, number) for number in range(sequence)
        ]
        assert faults.count("ledger.state") == 1 + sequence  # of the other lane only where it may matter

    def test_the_copy_that_is_delivered_is_no_exception_in_its_own_lane(self) -> None:
        fabric = SubscribedStream(lanes=2)
        start = Tail(
            SequenceNumber(0), type(fabric.cursor().chain)(bytes(16)), fabric.origin_log.tail(LANE).time
        )
        late = fabric.record(start, *named("a1"))
        noted_record = fabric.record(fabric.origin_log.tail(lane(1)), *named("a1"), of=lane(1))
        noted_record = chained(noted_record, None, batch_id=late.batch_id, note=Note(LANE, SequenceNumber(0)))
        assert fabric.origin_log.append(noted_record) is None
        fabric.deliver(lane(1))
        (proof,) = [proof for proof in proofs(fabric) if proof.lane == lane(1)]
        assert (proof.is_proven, proof.events, proof.exceptions) == (True, 1, ())

    def test_another_regions_decision_says_nothing_where_every_region_delivers_for_itself(self) -> None:
        fabric = SubscribedStream(lanes=2, deliver="everywhere")
        start = Tail(
            SequenceNumber(0), type(fabric.cursor().chain)(bytes(16)), fabric.origin_log.tail(LANE).time
        )
        late = fabric.record(start, *named("a1"))
        noted_record = fabric.record(fabric.origin_log.tail(lane(1)), *named("a1"), of=lane(1))
        noted_record = chained(noted_record, None, batch_id=late.batch_id, note=Note(LANE, SequenceNumber(0)))
        assert fabric.origin_log.append(noted_record) is None
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        away.deliver(lane(1))
        assert away.recorder.ids() == ["a1"]
        fabric.cloud.replicate()
        assert fabric.origin_log.append(late) is None
        fabric.deliver()
        assert fabric.recorder.ids() == ["a1"]
        assert exceptions_in(proof(fabric)) == []


class TestWhoseDecisionsCount:
    """Decisions about dead letters, by the Region that made them."""

    def test_where_every_region_delivers_for_itself_only_its_own(self) -> None:
        fabric = drained(fabric_of(Failing({"a1": 9}), *named("a1", "b1"), deliver="everywhere", **ONCE))
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        away.deliver()
        dead_letters(fabric).discard(the_dead_letter(fabric), by="jo")
        drained(fabric)
        fabric.cloud.replicate()
        assert exceptions_in(proof(away)) == []
        assert exceptions_in(proof(fabric)) == [(ExceptionKind.DISCARDED, 0, "a1", "a")]

    def test_where_one_region_delivers_those_of_the_former_owner_too(self) -> None:
        fabric = drained(fabric_of(Failing({"a1": 9}), *named("a1", "b1"), **ONCE))
        dead_letters(fabric).discard(the_dead_letter(fabric), by="jo")
        drained(fabric)
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        hand_over(away)
        away.put(*named("c1"))
        fabric.cloud.replicate()
        away.deliver()
        lane_proof = proof(away)
        assert lane_proof.region == AWAY
        assert exceptions_in(lane_proof) == [(ExceptionKind.DISCARDED, 0, "a1", "a")]
