"""Small values of the model: their properties, and the names by which they are stored and counted."""

from dataclasses import replace

import pytest

from eventfabric.model import (
    EMPTY_TAIL,
    GENERATION_FIRST,
    START,
    UNKNOWN_CHAIN,
    AtSequence,
    AtTime,
    Batch,
    BatchId,
    Chain,
    Circuit,
    CircuitState,
    Cursor,
    Failure,
    HybridTime,
    Lane,
    LaneIndex,
    LaneKey,
    LaneState,
    Mark,
    Marks,
    Owner,
    Parked,
    ParkedChange,
    ParkedState,
    Place,
    SequenceNumber,
    Settled,
    Standing,
    StepKey,
    StepState,
    StreamName,
    SubscriptionName,
    Tail,
    WriteRefused,
    next_time,
    record_at,
    to_ms,
    uuid7_prefix,
    uuid7_suffixes,
)
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.model.proof import ExceptionKind, Exempt, LaneProof
from tests.support.memory_fabric import AWAY, FAR, HOME, LANE, lane
from tests.support.messages import raises_with

ORDERS, BILLING = StreamName("orders"), SubscriptionName("billing")


class TestCircuit:
    def test_it_is_closed_until_somebody_opens_it(self) -> None:
        assert Circuit() == Circuit(CircuitState.CLOSED, "", 0, 0, 0, 0, rings_owed=False, version=0)
        assert [str(state) for state in CircuitState] == ["closed", "open", "paused"]

    @pytest.mark.parametrize(
        ("state", "failed_ms", "excused"),
        [
            (CircuitState.CLOSED, 9, False),
            (CircuitState.CLOSED, 10, True),
            (CircuitState.CLOSED, 20, True),
            (CircuitState.CLOSED, 21, False),
            (CircuitState.OPEN, 9, False),
            (CircuitState.OPEN, 10, True),
            (CircuitState.OPEN, 21, True),
            (CircuitState.PAUSED, 21, True),
        ],
    )
    def test_failures_of_the_outage_are_excused_up_to_its_end(
        self, state: CircuitState, failed_ms: int, excused: bool
    ) -> None:
        assert Circuit(state, suspect_from_ms=10, suspect_to_ms=20).excuses(failed_ms) is excused

    def test_no_failure_is_excused_where_there_was_no_outage(self) -> None:
        assert [Circuit(suspect_to_ms=9).excuses(ms) for ms in (0, 1)] == [False, False]
        assert Circuit(suspect_from_ms=1, suspect_to_ms=9).excuses(1)


class TestOwner:
    def test_the_handover_with_the_highest_number_counts_and_of_two_that_of_the_later_name(self) -> None:
        first, second = Owner(HOME, AWAY, 1, HOME), Owner(HOME, FAR, 2, AWAY)
        rival, other = Owner(HOME, HOME, 2, FAR), Owner(AWAY, AWAY, 9, AWAY)
        standing = Standing(owners=(second, first, rival, other))
        assert standing.owner(HOME) == second  # its number is the rival's; "eu" comes after "ap"
        assert standing.owner(AWAY) == other
        assert standing.owner(FAR) is None

    def test_each_region_has_a_handover_of_its_own(self) -> None:
        owner, two = Owner(HOME, AWAY, 1, HOME), Owner(HOME, FAR, 2, AWAY)
        standing = Standing(owners=(owner, two))
        assert [standing.written(HOME, by) for by in (HOME, AWAY, FAR)] == [owner, two, None]
        assert standing.written(AWAY, HOME) is None

    def test_of_a_subscription_that_nobody_touched_nothing_is_reported(self) -> None:
        assert Standing() == Standing(Circuit(), (), 0, {})
        assert Owner(HOME, AWAY, 1, HOME) == Owner(HOME, AWAY, 1, HOME, 0, "", 0)


class TestFinding:
    def test_its_kinds_have_the_names_that_are_counted_and_searched_for(self) -> None:
        assert [str(kind) for kind in FindingKind] == [
            "replication_delay",
            "replication_stall",
            "replication_silent",
            "clock_ahead",
            "unreachable",
            "hole",
            "far_tail",
            "divergence",
            "unreadable",
            "unrung",
            "parked_overdue",
            "dead",
            "cursor_ahead",
            "cursor_back",
            "cursor_broken",
            "parked_differs",
            "epoch_ahead",
            "stale_owner",
            "expires_soon",
            "expired_unread",
            "hot_lane",
            "hot_key",
            "abandoned",
        ]

    @pytest.mark.parametrize("kind", FindingKind)
    def test_it_is_an_alarm_unless_it_is_a_mere_metric_or_was_repaired(self, kind: FindingKind) -> None:
        finding = Finding(kind, ORDERS, LANE, HOME, SequenceNumber(3), "so")
        metrics = {"replication_delay", "replication_silent", "unreachable", "dead", "hot_lane", "hot_key"}
        assert (finding.subscription, finding.is_repaired) == (None, False)
        assert finding.is_alarm is (kind not in metrics)
        assert not replace(finding, is_repaired=True).is_alarm


class TestProof:
    @pytest.mark.parametrize(
        ("first", "began", "position", "start"),
        [(0, 0, 9, 0), (4, 0, 9, 4), (0, 5, 9, 5), (4, 5, 9, 5), (5, 4, 9, 5), (12, 5, 9, 9)],
    )
    def test_it_says_from_where_on_the_log_was_handled(
        self, first: int, began: int, position: int, start: int
    ) -> None:
        cursor = Cursor(
            SequenceNumber(position), SequenceNumber(position), Chain(b""), began=SequenceNumber(began)
        )
        proof = LaneProof(ORDERS, BILLING, LANE, HOME, cursor, SequenceNumber(first))
        assert (proof.start, proof.events, proof.is_proven) == (start, position - start, True)
        assert proof.exceptions == ()
        wrong = replace(proof, wrong=Finding(FindingKind.HOLE, ORDERS, LANE, HOME, SequenceNumber(3), "so"))
        assert (wrong.start, wrong.events, wrong.is_proven) == (start, 0, False)

    def test_its_exceptions_have_the_names_that_are_reported(self) -> None:
        assert [str(kind) for kind in ExceptionKind] == [
            "parked",
            "dead",
            "waiting",
            "replaying",
            "discarded",
            "edited",
            "elsewhere",
            "skipped",
        ]
        assert Exempt(ExceptionKind.DEAD, SequenceNumber(3), "so", 7) == Exempt(
            ExceptionKind.DEAD, SequenceNumber(3), "so", 7, "", "", ""
        )


class TestIdentity:
    @pytest.mark.parametrize(
        "text", ["", "us-east-1", "/0.1", "us-east-1/01", "a/b/0.1", "us-east-1/a.1", "us-east-1/0.b"]
    )
    def test_a_text_that_is_no_lane_is_refused_with_what_may_be(self, text: str) -> None:
        with raises_with(ValueError, repr(text), "<origin>/<generation>.<index>"):
            Lane.parse(text)

    def test_lanes_stand_by_origin_then_index(self) -> None:
        lanes = [lane(index, origin) for origin in (FAR, AWAY, HOME) for index in (2, 10)]
        assert sorted(lanes) == lanes
        assert (GENERATION_FIRST, lane(3).local, str(lane(3))) == (0, "0.3", "us-east-1/0.3")
        assert str(LaneKey(ORDERS, BILLING, LANE)) == "orders/billing/us-east-1/0.0"

    def test_a_uuid7_is_made_of_time_counter_and_random_bits_as_the_rfc_says(self) -> None:
        assert uuid7_prefix(0x0123_4567_89AB) == "01234567-89ab-"
        suffixes = uuid7_suffixes(bytes.fromhex("12345678 9abcdef0 1234"))
        assert (len(suffixes), suffixes[0], suffixes[-1]) == (
            256,
            "71ff-8567-89abcdef0123",
            "7100-8567-89abcdef0123",
        )
        variants = {uuid7_suffixes(bytes([0, number, *bytes(8)]))[0][5] for number in range(4)}
        assert variants == set("89ab")

    @pytest.mark.parametrize(
        ("previous", "now_ms", "time"),
        [
            (0, 1, 1 << 16),
            (1 << 16, 1, (1 << 16) + 1),
            ((1 << 16) - 1, 1, 1 << 16),
            (9 << 16, 1, (9 << 16) + 1),
        ],
    )
    def test_the_time_of_an_append_is_the_wall_clocks_or_the_next_after_the_last(
        self, previous: int, now_ms: int, time: int
    ) -> None:
        assert next_time(HybridTime(previous), now_ms) == time
        assert (to_ms(HybridTime(5 << 16)), to_ms(HybridTime((6 << 16) - 1))) == (5, 5)


class TestMarks:
    def test_a_lane_that_was_not_looked_at_has_a_mark_at_its_start(self) -> None:
        marks = Marks({LaneIndex(1): Mark(SequenceNumber(4))})
        assert Mark() == Mark(
            EMPTY_TAIL.sequence, EMPTY_TAIL.chain, EMPTY_TAIL.sequence, 0, {}, SequenceNumber(0)
        )
        assert (marks.of(LaneIndex(1)), marks.of(LaneIndex(0))) == (Mark(SequenceNumber(4)), Mark())
        assert Marks() == Marks({}, {})


class TestParked:
    def test_a_key_that_was_just_parked_is_not_being_tried(self) -> None:
        failure = Failure("E", "no", "", "", 1, 0, 5, 6)
        assert failure == Failure("E", "no", "", "", 1, 0, 5, 6, "", "", "", "")
        place = Place(SequenceNumber(3), SequenceNumber(4))
        assert place == Place(SequenceNumber(3), SequenceNumber(4), replay=False)
        parked = Parked("k", "k", ParkedState.RETRYING, (place,), 9, failure)
        assert parked == Parked(
            "k",
            "k",
            ParkedState.RETRYING,
            (place,),
            9,
            failure,
            attempting=False,
            replacement=None,
            version=0,
        )
        assert [str(state) for state in ParkedState] == ["retrying", "dead"]
        assert Settled(SequenceNumber(4), "discarded", failure, 9) == Settled(
            SequenceNumber(4), "discarded", failure, 9, "", None
        )

    def test_a_change_is_written_at_the_next_version_of_what_stands(self) -> None:
        failure = Failure("E", "no", "", "", 1, 0, 5, 6)
        place = Place(SequenceNumber(3), SequenceNumber(4))
        before = Parked("k", "k", ParkedState.RETRYING, (place,), 9, failure, version=7)
        after = replace(before, version=3)
        assert ParkedChange(before, after).version == 8
        assert ParkedChange(before, None).version == 8
        assert ParkedChange(None, after).version == 4


class TestRecord:
    def test_the_lane_begins_with_a_chain_of_zeros(self) -> None:
        assert Tail(SequenceNumber(0), Chain(bytes(16)), HybridTime(0)) == EMPTY_TAIL
        assert UNKNOWN_CHAIN == b""
        assert Cursor(SequenceNumber(0), SequenceNumber(0), Chain(bytes(16)), version=0, epoch=0) == START

    def test_a_record_takes_all_from_its_batch_and_the_rest_from_where_it_stands(self) -> None:
        batch = Batch(BatchId(b"b" * 16), 3, frozenset({"placed"}), b"payload")
        tail = Tail(SequenceNumber(5), Chain(b"c" * 16), HybridTime(9))
        record = record_at(tail, LANE, batch, now_ms=2_999, retention_seconds=60)
        assert (record.lane, record.sequence, record.count, record.note) == (LANE, 5, 3, None)
        assert (record.batch_id, record.types, record.payload) == (batch.id, batch.types, batch.payload)
        assert (record.time, record.expires_at) == (2_999 << 16, 62)
        assert record.tail == Tail(SequenceNumber(8), record.chain, record.time)
        assert record_at(tail, LANE, batch, now_ms=1, retention_seconds=None).expires_at is None

    def test_any_record_extends_what_has_expired(self) -> None:
        batch = Batch(BatchId(b"b" * 16), 1, frozenset({"Placed"}), b"")
        record = record_at(EMPTY_TAIL, LANE, batch, now_ms=1, retention_seconds=None)
        assert record.extends(UNKNOWN_CHAIN)
        assert record.extends(EMPTY_TAIL.chain)
        assert not record.extends(Chain(b"x" * 16))


class TestLaneState:
    def test_the_latest_region_is_the_owner_with_the_highest_number_then_who_came_furthest(self) -> None:
        def cursor(epoch: int, sequence: int) -> Cursor:
            return replace(START, epoch=epoch, sequence=SequenceNumber(sequence))

        assert LaneState({HOME: cursor(1, 3), AWAY: cursor(0, 9)}).latest == HOME
        assert LaneState({HOME: cursor(1, 3), AWAY: cursor(1, 9)}).latest == AWAY
        assert LaneState({AWAY: cursor(1, 3), HOME: cursor(1, 3)}).latest == HOME
        assert LaneState({HOME: cursor(1, 3), AWAY: cursor(2, 0)}).epoch == 2
        assert LaneState({}) == LaneState({}, {}, frozenset())

    @pytest.mark.parametrize(("until", "replay"), [(0, False), (4, False), (5, False), (6, True)])
    def test_the_next_event_is_a_replay_before_that_place(self, until: int, replay: bool) -> None:
        cursor = replace(START, sequence=SequenceNumber(5), replay_until=SequenceNumber(until))
        assert (cursor.is_replay, cursor.is_replaying) == (replay, replay)
        later = replace(cursor, replay_from=SequenceNumber(6))
        assert (later.is_replay, later.is_replaying) == (False, replay)


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (AtSequence(SequenceNumber(4)), "sequence 4"),
        (AtTime(0), "1970-01-01T00:00:00.000+00:00"),
        (AtTime(1_790_000_000_001), "2026-09-21T14:13:20.001+00:00"),
    ],
)
def test_a_place_is_printed_as_people_write_it(start: AtSequence | AtTime, text: str) -> None:
    assert str(start) == text


def test_the_key_of_a_step_is_ascii_without_spaces() -> None:
    key = StepKey(ORDERS, BILLING, "charge", "/s é", "ä b/:@+,;=!$&()*#%?")
    source = "48a78deabada51f626376413f9feb13f"
    assert str(key) == f"orders/billing/step/charge/{source}/%C3%A4%20b/:@+,;=!$&()*%23%25%3F"
    assert StepState(done=False) == StepState(done=False, result="null")


def test_what_was_refused_is_the_same_whatever_stands_there() -> None:
    refusal = WriteRefused(1, "ConditionalCheckFailed", "no")
    assert refusal == WriteRefused(1, "ConditionalCheckFailed", "no", {"id": {"S": "x"}})
    assert (refusal.item, refusal == WriteRefused(2, "ConditionalCheckFailed", "no")) == (None, False)


def test_the_region_that_delivered_first_is_that_of_the_lowest_epoch_unless_the_default_ever_did() -> None:
    owners = tuple(Owner(HOME, region, epoch, region) for region, epoch in ((AWAY, 0), (FAR, 2), (HOME, 3)))
    assert Standing(owners=owners[:2]).first(HOME, HOME) == AWAY
    assert Standing(owners=owners).first(HOME, HOME) == HOME
    assert Standing(owners=owners).first(AWAY, AWAY) == AWAY
