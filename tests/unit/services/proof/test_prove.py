"""Proofs of a log and a ledger that were tampered with: findings, exceptions and costs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eventfabric.errors import SettingError
from eventfabric.model import UNKNOWN_CHAIN, Chain, Record, SequenceNumber
from eventfabric.model.finding import FindingKind
from eventfabric.services.proof.prove import Prover
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.testing.memory.faults import Faults
from tests.support.memory_fabric import AWAY, HOME, LANE, event, lane
from tests.support.messages import TextWith
from tests.support.subscribed_stream import SubscribedStream
from tests.support.tampered_logs import chained, delivered, proof, proofs, put, put_cursor, remove, wrong


class TestAHealthyLog:
    """Nothing is wrong."""

    def test_all_of_it_is_proven_and_nothing_is_excepted(self) -> None:
        lane_proof = proof(delivered())
        assert (lane_proof.first, lane_proof.cursor.sequence, lane_proof.events, lane_proof.exceptions) == (
            0,
            12,
            12,
            (),
        )
        assert lane_proof.is_proven

    def test_an_empty_lane_and_one_that_nobody_delivered_have_no_proof(self) -> None:
        fabric = SubscribedStream()
        fabric.put(event("a1"))
        assert proofs(fabric) == []

    def test_what_is_behind_the_cursor_is_not_part_of_it(self) -> None:
        fabric = delivered()
        tail = fabric.put(event("c1"))
        put(fabric, replace(tail, payload=b"\x01\x90"))
        assert proof(fabric).events == 12

    def test_every_region_proves_what_it_delivers_and_no_more(self) -> None:
        fabric = delivered()
        fabric.cloud.replicate()
        assert proofs(fabric.in_region(AWAY)) == []
        with pytest.raises(SettingError, match=r"0\.0 to .*0\.1"):
            Prover(fabric.stream, [fabric.subscription], fabric.ports(), lane=lane(7))

    def test_one_lane_can_be_proven_alone(self) -> None:
        fabric = delivered()
        prover = Prover(fabric.stream, [fabric.subscription], fabric.ports(), lane=LANE)
        assert prover.lanes == [LANE]

    def test_the_log_is_read_once_a_page_and_the_events_of_each_record_are_reported(self) -> None:
        fabric, faults = delivered(records=250), Faults()
        ports = fabric.ports()
        counted = replace(
            ports, log_of=lambda stream: faults.log(ports.log_of(stream)), ledger=faults.ledger(ports.ledger)
        )
        events: list[int] = []
        prover = Prover(fabric.stream, [fabric.subscription], counted, lane=LANE)
        (proof,) = prover.prove(LANE, watch=events.append)
        assert (proof.events, events) == (500, [2] * 250)
        assert {
            name: faults.count(name) for name in ("log.read", "log.tail", "ledger.state", "ledger.settled")
        } == {
            "log.read": 3,
            "log.tail": 1,
            "ledger.state": 1,
            "ledger.settled": 1,
        }


def change_payload(fabric: SubscribedStream, records: list[Record], index: int) -> None:
    put(fabric, replace(records[index], payload=records[index + 1].payload))


def change_time(fabric: SubscribedStream, records: list[Record], index: int) -> None:
    put(fabric, replace(records[index], time=type(records[index].time)(records[index].time + 1)))


def change_types_with_its_chain(fabric: SubscribedStream, records: list[Record], index: int) -> None:
    put(fabric, chained(records[index], records[index - 1] if index else None, types=frozenset(["other"])))


def remove_one(fabric: SubscribedStream, records: list[Record], index: int) -> None:
    remove(fabric, records[index])


def remove_one_and_close_the_gap(fabric: SubscribedStream, records: list[Record], index: int) -> None:
    before = records[index - 1] if index else None
    remove(fabric, records[-1])
    for number in range(index, len(records) - 1):
        before = chained(records[number + 1], before, sequence=records[number].sequence)
        put(fabric, before)


def insert_between(fabric: SubscribedStream, records: list[Record], index: int) -> None:
    put(
        fabric,
        chained(
            records[index], records[index], sequence=SequenceNumber(records[index].sequence + 1), count=1
        ),
    )


def double_one(fabric: SubscribedStream, records: list[Record], index: int) -> None:
    """It stands in the place of the next one, too."""
    put(fabric, chained(records[index], records[index], sequence=records[index + 1].sequence))


def swap_two(fabric: SubscribedStream, records: list[Record], index: int) -> None:
    record, other = records[index], records[index + 1]
    put(fabric, replace(other, sequence=record.sequence))
    put(fabric, replace(record, sequence=other.sequence))


def write_the_lane_anew(fabric: SubscribedStream, records: list[Record], index: int) -> None:
    """From a changed record on, every chain is right again."""
    before = records[index - 1] if index else None
    for number in range(index, len(records)):
        changes: dict[str, Any] = {"batch_id": b"z" * 16} if number == index else {}
        before = chained(records[number], before, **changes)
        put(fabric, before)


TAMPERINGS = [
    change_payload,
    change_time,
    change_types_with_its_chain,
    remove_one,
    remove_one_and_close_the_gap,
    insert_between,
    double_one,
    swap_two,
    write_the_lane_anew,
]


class TestATamperedLog:
    """Whatever is done to a record before the cursor."""

    @pytest.mark.parametrize("index", [0, 2, 4])
    @pytest.mark.parametrize("tamper", TAMPERINGS)
    def test_it_is_found(
        self, tamper: Callable[[SubscribedStream, list[Record], int], None], index: int
    ) -> None:
        fabric = delivered()
        tamper(fabric, fabric.records(), index)
        lane_proof = proof(fabric)
        assert not lane_proof.is_proven
        assert lane_proof.events == 0
        assert lane_proof.wrong is not None
        assert (lane_proof.wrong.subscription, lane_proof.wrong.lane, lane_proof.wrong.region) == (
            "billing",
            LANE,
            HOME,
        )

    def test_the_finding_says_where_and_what(self) -> None:
        fabric = delivered()
        records = fabric.records()
        change_payload(fabric, records, 2)
        finding = proof(fabric).wrong
        assert finding is not None
        assert (finding.kind, finding.sequence) == (FindingKind.DIVERGENCE, 4)
        put(fabric, records[2])
        remove(fabric, records[3])
        finding = proof(fabric).wrong
        assert finding is not None
        assert (finding.kind, finding.sequence, finding.detail) == (
            FindingKind.HOLE,
            6,
            TextWith("missing", "at 8"),
        )

    def test_a_log_that_is_written_anew_up_to_its_end_is_not_what_was_handled(self) -> None:
        fabric = delivered()
        write_the_lane_anew(fabric, fabric.records(), 0)
        assert wrong(fabric) is FindingKind.CURSOR_BROKEN

    def test_the_last_record_before_the_cursor_counts_too(self) -> None:
        fabric = delivered()
        last = fabric.records()[-1]
        put(fabric, chained(last, fabric.records()[-2], batch_id=b"z" * 16))
        assert wrong(fabric) is FindingKind.CURSOR_BROKEN
        remove(fabric, last)
        assert wrong(fabric) is FindingKind.CURSOR_AHEAD
        put(fabric, last)
        assert wrong(fabric) is None

    def test_a_record_missing_right_before_the_cursor_is_a_hole_where_others_stand_behind(self) -> None:
        fabric = delivered()
        fabric.put(event("c1"))
        remove(fabric, fabric.records()[-2])
        assert wrong(fabric) is FindingKind.HOLE

    @pytest.mark.parametrize("page", [99, 199])
    def test_a_record_inserted_where_one_read_ends_and_the_next_begins_is_found(self, page: int) -> None:
        fabric = delivered(records=210)
        insert_between(fabric, fabric.records(), page)
        assert wrong(fabric) is FindingKind.DIVERGENCE

    def test_a_record_that_cannot_be_read_is_found(self) -> None:
        fabric = delivered()
        table = fabric.cloud.log_table(fabric.stream.name, HOME)
        table.write("Put", {"Item": {**table.items[2], "n": {"N": "0"}}})
        assert wrong(fabric) is FindingKind.DIVERGENCE

    def test_the_expiry_is_nobodys_business(self) -> None:
        fabric = delivered()
        put(fabric, replace(fabric.records()[1], expires_at=7))
        assert proof(fabric).events == 12

    def test_a_cursor_before_the_damage_is_proven_and_one_behind_it_is_not(self) -> None:
        fabric = delivered(deliver="everywhere")
        fabric.cloud.replicate()
        away = fabric.in_region(AWAY)
        away.relay_all()
        away.deliver_all()
        for number in range(3):
            fabric.put(event(f"c{number}"))
        fabric.relay_all()
        fabric.deliver_all()
        fabric.cloud.replicate()
        put(away, replace(fabric.records()[-2], batch_id=type(fabric.records()[0].batch_id)(b"z" * 16)))
        assert (wrong(fabric), wrong(away)) == (None, None)
        put(fabric, replace(fabric.records()[-2], batch_id=type(fabric.records()[0].batch_id)(b"z" * 16)))
        assert wrong(fabric) is FindingKind.DIVERGENCE


class TestATamperedCursor:
    """The ledger was changed, not the log."""

    @pytest.mark.parametrize(
        ("changes", "kind"),
        [
            ({"sequence": SequenceNumber(13), "base": SequenceNumber(13)}, FindingKind.CURSOR_AHEAD),
            ({"sequence": SequenceNumber(10), "base": SequenceNumber(10)}, FindingKind.CURSOR_BROKEN),
            ({"sequence": SequenceNumber(11), "base": SequenceNumber(11)}, FindingKind.CURSOR_BROKEN),
            ({"sequence": SequenceNumber(13), "base": SequenceNumber(12)}, FindingKind.CURSOR_AHEAD),
            ({"chain": Chain(b"y" * 16)}, FindingKind.CURSOR_BROKEN),
            ({"chain": UNKNOWN_CHAIN}, FindingKind.CURSOR_BROKEN),
        ],
    )
    def test_a_cursor_that_is_not_the_logs_is_found(self, changes: dict[str, Any], kind: FindingKind) -> None:
        fabric = delivered()
        put_cursor(fabric, **changes)
        assert wrong(fabric) is kind

    def test_a_sequence_beyond_its_record_is_found(self) -> None:
        fabric = delivered()
        records = fabric.records()
        put_cursor(fabric, base=records[2].sequence, chain=records[1].chain)
        assert wrong(fabric) is FindingKind.CURSOR_BROKEN

    def test_one_that_was_moved_back_with_the_right_chain_proves_less_until_a_pass_saw_it(self) -> None:
        fabric = delivered()
        list(
            Reconciler(fabric.stream, region=HOME, ports=fabric.ports(), telemetry=fabric.telemetry).run(
                repair=False
            )
        )
        assert wrong(fabric) is None
        records = fabric.records()
        put_cursor(fabric, sequence=records[2].sequence, base=records[2].sequence, chain=records[1].chain)
        finding = proof(fabric).wrong
        assert finding is not None
        assert (finding.kind, finding.detail) == (
            FindingKind.CURSOR_BACK,
            TextWith("at 12", "reconciled"),
        )

    def test_a_cursor_in_the_middle_of_a_record_is_bound_by_the_record_behind(self) -> None:
        fabric = delivered()
        records = fabric.records()
        put_cursor(fabric, sequence=SequenceNumber(7), base=records[3].sequence, chain=records[2].chain)
        assert proof(fabric).events == 7
        put(fabric, replace(records[3], payload=records[4].payload))
        assert wrong(fabric) is FindingKind.DIVERGENCE
        put(fabric, chained(records[3], records[2], payload=records[4].payload))
        assert wrong(fabric) is FindingKind.DIVERGENCE
        put(fabric, records[3])
        insert_between(fabric, records, 3)
        assert wrong(fabric) is FindingKind.DIVERGENCE
        remove(fabric, replace(records[3], sequence=SequenceNumber(7)))
        assert wrong(fabric) is None
        put(fabric, replace(records[5], batch_id=records[4].batch_id))
        assert wrong(fabric) is None
