"""Unreadable items: each costs its own lane, and nothing beside it."""

import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from eventfabric import limits
from eventfabric.errors import LogError, UncertainTailError, UndecodableItemError, UndecodableRecordError
from eventfabric.model import (
    EMPTY_TAIL,
    AtSequence,
    Batch,
    BatchId,
    Chain,
    HybridTime,
    Lane,
    Record,
    Region,
    SequenceNumber,
    Standing,
    Tail,
    record_at,
)
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.services.backfill.lifecycle import Backfiller
from eventfabric.services.backfill.request import BackfillRequest
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.lanes.tails import tails_of
from eventfabric.services.operations.failover import Failover
from eventfabric.services.operations.replay import Replay
from eventfabric.services.operations.survey import survey
from eventfabric.services.proof.prove import Prover
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.wire import marks_item, record_item
from eventfabric.wire.keys import circuit_key, cursor_key, marks_key
from eventfabric.wire.payload_codec import unpack
from tests.support.failing_handlers import Failing, fabric_of
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, batch_of, event, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

OTHER = lane(1)
BAD_FIELDS: dict[str, dict[str, Any]] = {
    "a time of 2^64": {"h": {"N": str(2**64)}},
    "a time of 2^63": {"h": {"N": str(2**63)}},
    "a count of 2^64": {"n": {"N": str(2**64)}},
    "no events": {"n": {"N": "0"}},
    "types that are numbers": {"t": {"NS": ["1"]}},
    "types that are bytes": {"t": {"BS": [b"x"]}},
    "a short chain": {"c": {"B": b"short"}},
    "a long batch id": {"b": {"B": b"b" * 17}},
    "a note of a far lane": {"m": {"S": "us-east-1/" + "9" * 200 + ".1/3"}},
    "an expiry before 1970": {"x": {"N": "-1"}},
}


def poisoned(fields: dict[str, Any] | None = None, *, delivered: int = 1) -> SubscribedStream:
    """Two lanes with events that are delivered, and behind the first one's an item that nobody can read."""
    fabric = SubscribedStream()
    for _ in range(delivered):
        fabric.put(event("a1"))
        fabric.put(event("b1"), of=OTHER)
    fabric.relay_all()
    fabric.deliver_all()
    item = record_item.to_item(fabric.record(fabric.origin_log.tail(LANE), event("a2")))
    log_table(fabric).write("Put", {"Item": {**item, **(fields or BAD_FIELDS["a time of 2^64"])}})
    return fabric


def log_table(fabric: SubscribedStream) -> Any:
    return fabric.cloud.log_table(fabric.stream.name, HOME)


def ledger_table(fabric: SubscribedStream) -> Any:
    return fabric.cloud.regions[HOME].table(fabric.topology.ledger.name)


def spoil(fabric: SubscribedStream, key: dict[str, Any], **fields: Any) -> None:
    """Change fields of an item of the ledger."""
    table = ledger_table(fabric)
    table.write("Put", {"Item": {**(table.get(key, consistent=True) or key), **fields}})


def spoiled_cursor() -> SubscribedStream:
    """Both lanes delivered, and the first one's cursor not as any version writes it."""
    fabric = SubscribedStream()
    fabric.put(event("a1"))
    fabric.put(event("b1"), of=OTHER)
    fabric.relay_all()
    fabric.deliver_all()
    spoil(fabric, cursor_key(fabric.key_of(LANE), HOME), s={"N": str(2**70)})
    return fabric


def pass_over(fabric: SubscribedStream, *, repair: bool = True) -> list[Finding]:
    reconciler = Reconciler(fabric.stream, region=HOME, ports=fabric.ports(), telemetry=fabric.telemetry)
    return list(reconciler.run(repair=repair, full=True))


class TestALogItem:
    @pytest.mark.parametrize("fields", BAD_FIELDS.values(), ids=BAD_FIELDS)
    def test_publishing_behind_it_is_refused_by_its_own_error_and_only_there(
        self, fields: dict[str, Any]
    ) -> None:
        fabric = poisoned(fields)
        appender = fabric.appender()
        with pytest.raises(UncertainTailError, match=r"record 1 of lane us-east-1/0\.0"):
            appender.append(LANE, batch_of([event("a3")], b"3" * 16))
        assert appender.append(OTHER, batch_of([event("b3")], b"4" * 16)).sequence == 1

    def test_publishing_onto_it_by_an_older_tail_is_refused_as_well(self) -> None:
        fabric = SubscribedStream()
        appender = fabric.appender()
        appender.append(LANE, batch_of([event("a1")], b"1" * 16))  # remembers the tail
        item = record_item.to_item(fabric.record(fabric.origin_log.tail(LANE), event("a2")))
        log_table(fabric).write("Put", {"Item": {**item, "h": {"N": str(2**64)}}})
        with pytest.raises(UndecodableRecordError):
            appender.append(LANE, batch_of([event("a3")], b"3" * 16))

    @pytest.mark.parametrize("fields", BAD_FIELDS.values(), ids=BAD_FIELDS)
    def test_delivery_stops_that_lane_and_goes_on_with_the_other(self, fields: dict[str, Any]) -> None:
        fabric = poisoned(fields)
        fabric.put(event("b2"), of=OTHER)
        result = fabric.deliverer().deliver(fabric.bell(LANE, tail=2), deadline_ms=10**15)
        assert result.outcome is LaneOutcome.STOPPED
        assert isinstance(result.cause, UndecodableRecordError)
        assert (
            fabric.deliverer().deliver(fabric.bell(OTHER), deadline_ms=10**15).outcome
            is LaneOutcome.DELIVERED
        )

    @pytest.mark.parametrize("fields", BAD_FIELDS.values(), ids=BAD_FIELDS)
    def test_reconciliation_reports_it_and_goes_on(self, fields: dict[str, Any]) -> None:
        fabric = poisoned(fields)
        spoiled = {(finding.kind, finding.lane) for finding in pass_over(fabric) if finding.is_alarm}
        assert spoiled == {(FindingKind.UNREADABLE, LANE)}
        fabric.clock.advance(limits.UNRUNG_SECONDS + 1)
        fabric.put(event("b2"), of=OTHER)
        fabric.clock.advance(limits.UNRUNG_SECONDS + 1)
        assert (FindingKind.UNRUNG, OTHER) in {(finding.kind, finding.lane) for finding in pass_over(fabric)}

    def test_a_survey_a_proof_a_replay_and_a_failover_go_on_with_the_other_lanes(self) -> None:
        fabric = poisoned()
        unread: list[LogError | UndecodableItemError] = []
        tails = tails_of(
            fabric.log, lanes_of(fabric.stream), now_ms=fabric.clock.now_ms(), unreadable=unread.append
        )
        assert set(tails) == {OTHER}
        assert [str(error)[:30] for error in unread] == ["record 1 of lane us-east-1/0.0"]
        prover = Prover(fabric.stream, [fabric.subscription], fabric.ports())
        assert {proof.lane: proof.is_proven for lane in prover.lanes for proof in prover.prove(lane)} == {
            LANE: True,  # up to its cursor the log can be read
            OTHER: True,
        }
        plans = {plan.lane: plan for plan in replay_of(fabric).plan(AtSequence(SequenceNumber(0)))}
        assert plans[OTHER].events == 1
        (ready,) = [
            readiness
            for readiness in Failover(
                fabric.topology, source=HOME, target=AWAY, ports=fabric.ports(AWAY)
            ).readiness()
            if readiness.owner.origin == HOME
        ]
        assert ready.behind is not None

    def test_a_backfill_notes_that_lane_as_failed_and_copies_the_other(self) -> None:
        fabric = poisoned()
        backfiller = Backfiller(fabric.topology, fabric.ports(AWAY))
        backfill = backfiller.begin(BackfillRequest(STREAM, HOME))
        more: str | None = None
        while True:
            handout = backfiller.hand_out(backfill.id, more)
            for progress in handout.slices:
                backfiller.copier(backfill.id).copy(progress)
            more = handout.more
            if more is None:
                break
        report = backfiller.report(backfill.id)
        assert "attribute h" in str(report.lanes[LANE].failures)
        assert fabric.cloud.log(STREAM, AWAY).tail(OTHER).sequence == 1

    def test_a_record_that_no_reader_would_take_is_not_made(self) -> None:
        tail = Tail(SequenceNumber(limits.SEQUENCE_MAX), EMPTY_TAIL.chain, HybridTime(0))
        with pytest.raises(UndecodableRecordError):
            record_at(tail, LANE, batch_of([event("a")], b"1" * 16), now_ms=1, retention_seconds=None)


def replay_of(fabric: SubscribedStream) -> Replay:
    ports = fabric.ports()
    return Replay(
        fabric.subscription,
        fabric.stream,
        log=fabric.log,
        ledger=fabric.ledger,
        doorbells=ports.doorbells,
        clock=fabric.clock,
        entropy=fabric.entropy,
    )


class TestALedgerItem:
    def test_a_cursor_stops_its_lane_only(self) -> None:
        fabric = spoiled_cursor()
        result = fabric.deliverer().deliver(fabric.bell(LANE, tail=9), deadline_ms=10**15)
        assert (result.outcome, type(result.cause)) == (LaneOutcome.STOPPED, UndecodableItemError)
        assert "orders/billing/us-east-1/0.0 us-east-1/cursor: field s" in str(result.cause)
        assert fabric.deliverer().deliver(fabric.bell(OTHER), deadline_ms=10**15).cause is None

    def test_reconciliation_and_a_proof_tell_of_it_and_go_on(self) -> None:
        fabric = spoiled_cursor()
        findings = pass_over(fabric)
        assert [(finding.kind, finding.lane, finding.subscription) for finding in findings] == [
            (FindingKind.UNREADABLE, LANE, SUBSCRIPTION)
        ]
        prover = Prover(fabric.stream, [fabric.subscription], fabric.ports())
        proofs = [proof for lane in prover.lanes for proof in prover.prove(lane)]
        assert {proof.lane: proof.wrong and proof.wrong.kind for proof in proofs} == {
            LANE: FindingKind.UNREADABLE,
            OTHER: None,
        }

    def test_a_survey_a_replay_and_a_failover_go_on(self) -> None:
        fabric = spoiled_cursor()
        unread: list[LogError | UndecodableItemError] = []
        tails = tails_of(fabric.log, lanes_of(fabric.stream), now_ms=fabric.clock.now_ms())
        surveyed = partial(survey, log=fabric.log, ledger=fabric.ledger, standing=Standing())
        standings = surveyed(fabric.subscription, tails, unreadable=unread.append)
        assert [standing.lane for standing in standings] == [OTHER]
        assert len(unread) == 1
        plans = {plan.lane: plan for plan in replay_of(fabric).plan(AtSequence(SequenceNumber(0)))}
        assert "field s" in plans[LANE].unreadable
        assert not plans[LANE].changes_anything
        assert plans[OTHER].events == 1

    def test_a_failover_hands_over_the_rest_and_says_which_lane_cannot_be_read(self) -> None:
        fabric = spoiled_cursor()
        fabric.cloud.replicate()
        failover = Failover(fabric.topology, source=HOME, target=AWAY, ports=fabric.ports(AWAY))
        assert any(
            "field s" in reason for readiness in failover.readiness() for reason in readiness.unreadable
        )
        assert failover.hand_over()

    def test_marks_are_written_anew_by_a_repair_and_kept_for_whoever_only_looks(self) -> None:
        fabric = SubscribedStream()
        fabric.put(event("a1"))
        fabric.relay_all()
        fabric.deliver_all()
        assert pass_over(fabric) == []
        (key,) = [
            {"pk": item["pk"], "sk": item["sk"]}
            for item in ledger_table(fabric).items
            if item["sk"]["S"].endswith("marks/0000") and item["pk"]["S"].endswith("/us-east-1")
        ]
        spoil(fabric, key, m={"B": b"\xc1"})
        assert [(finding.kind, finding.is_repaired) for finding in pass_over(fabric, repair=False)] == [
            (FindingKind.UNREADABLE, False)
        ]
        assert ledger_table(fabric).get(key, consistent=True)["m"] == {"B": b"\xc1"}
        assert [(finding.kind, finding.is_repaired) for finding in pass_over(fabric)] == [
            (FindingKind.UNREADABLE, True)
        ]
        assert pass_over(fabric) == []

    def test_a_circuit_stops_its_subscription_and_the_pass_goes_on(self) -> None:
        fabric = SubscribedStream()
        fabric.put(event("a1"))
        spoil(
            fabric,
            circuit_key(fabric.key_of(LANE).stream, fabric.key_of(LANE).subscription, HOME),
            f={"S": "[" * 3000},
            v={"N": "1"},
        )
        assert fabric.deliverer().deliver(fabric.bell(), deadline_ms=10**15).outcome is LaneOutcome.STOPPED
        assert [finding.kind for finding in pass_over(fabric)] == [FindingKind.UNREADABLE]


class TestBoundsBeforeMemory:
    """A hostile record is a kilobyte or two; what reading it may take is bounded by what an honest one holds."""

    PEAK_BYTES = 24 * 1024 * 1024

    @staticmethod
    def columns(**changed: object) -> bytes:
        columns: dict[str, object] = {
            "ids": [""] * 1000,
            "types": ["t"],
            "keys": ["k"],
            "times": [0],
            "sources": ["s"],
            "headers": [{}],
            "kinds": [0],
            "contents": [b""] * 1000,
        }
        return msgspec.msgpack.encode(tuple({**columns, **changed}.values()))

    HOSTILE: dict[str, Callable[[], bytes]] = {  # noqa: RUF012  never changed
        "shared headers of a million ids": lambda: TestBoundsBeforeMemory.columns(
            ids=[""] * 200_000, headers=[{f"h{n}": "x" * 60 for n in range(500)}]
        ),
        "many shared headers": lambda: TestBoundsBeforeMemory.columns(
            headers=[{f"h{n:05}": 0 for n in range(25_000)}]
        ),
        "a million ids": lambda: TestBoundsBeforeMemory.columns(ids=[""] * 250_000),
        "a long key for all": lambda: TestBoundsBeforeMemory.columns(keys=["k" * 200_000]),
        "long ids": lambda: TestBoundsBeforeMemory.columns(ids=["i" * 129] * 1000),
        "zeros": lambda: bytes(100_000_000),
        "nesting": lambda: b"\x91" * 250_000,
        "rows": lambda: msgspec.msgpack.encode([()] * 200_000),
    }

    @pytest.mark.parametrize("hostile", HOSTILE)
    @pytest.mark.parametrize("codec", [2, 4])
    def test_a_small_record_that_unpacks_to_much_is_refused_within_bounds(
        self, hostile: str, codec: int
    ) -> None:
        payload = bytes([codec]) + zstd.compress(self.HOSTILE[hostile](), 19)
        assert len(payload) < 16_000
        record = Record(
            LANE,
            SequenceNumber(0),
            1000,
            Chain(bytes(16)),
            BatchId(bytes(16)),
            HybridTime(0),
            frozenset("t"),
            payload,
        )
        tracemalloc.start()
        try:
            with pytest.raises(UndecodableRecordError):
                unpack(record)
            assert tracemalloc.get_traced_memory()[1] < self.PEAK_BYTES
        finally:
            tracemalloc.stop()

    def test_the_lane_stops_there_with_what_cannot_be_read_and_the_other_goes_on(self) -> None:
        fabric = SubscribedStream()
        payload = b"\4" + zstd.compress(self.HOSTILE["shared headers of a million ids"](), 19)
        batch = Batch(BatchId(b"h" * 16), 1000, frozenset({"placed"}), payload)
        fabric.origin_log.append(
            record_at(EMPTY_TAIL, LANE, batch, now_ms=fabric.clock.now_ms(), retention_seconds=None)
        )
        fabric.put(event("b1"), of=OTHER)
        result = fabric.deliverer().deliver(fabric.bell(LANE), deadline_ms=10**15)
        assert (result.outcome, type(result.cause)) == (LaneOutcome.STOPPED, UndecodableRecordError)
        assert (
            fabric.deliverer().deliver(fabric.bell(OTHER), deadline_ms=10**15).outcome
            is LaneOutcome.DELIVERED
        )

    def test_marks_of_more_lanes_than_an_item_holds_are_refused(self) -> None:
        content = msgspec.msgpack.encode({n: {} for n in range(limits.MARKS_ITEM_LANES + 1)})
        key = marks_key(fabric_stream(), HOME, HOME, "0000")
        read = marks_item.from_items([{**key, "m": {"B": content}, "v": {"N": "1"}}])
        assert (read.lanes, list(read.unreadable)) == ({}, ["0000"])


def fabric_stream() -> Any:
    return SubscribedStream().key_of(LANE).stream


@pytest.mark.parametrize(
    "text",
    [
        "us-east-1/0.٣",
        "us-east-1/00.1",
        "us-east-1/0.4096",
        f"{'r' * 33}/0.1",
        "us east/0.1",
        "us-east-1/0.1\n",
        "/0.1",
    ],
)
def test_a_lane_that_cannot_be_a_message_group_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a lane"):
        Lane.parse(text)


def test_a_lane_has_one_text() -> None:
    assert str(Lane.parse("us-east-1/0.17")) == "us-east-1/0.17"
    assert Region("us-east-1") == Lane.parse("us-east-1/0.17").origin


def test_the_longest_key_is_parked_and_read_back() -> None:
    key = "k" * limits.KEY_BYTES_MAX
    fabric = fabric_of(Failing({"a1": 99}))
    fabric.put(event("a1", key=key))
    fabric.deliver()
    assert [parked.key for parked in fabric.parked().values()] == [key]
