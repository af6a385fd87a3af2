"""Findings and repairs of a reconciliation, things that it leaves alone, and its reads."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.errors import ThrottledError
from eventfabric.model import Chain, Circuit, CircuitState, Owner, SequenceNumber
from eventfabric.model.finding import FindingKind
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.testing.memory.faults import Faults
from tests.support.failing_handlers import FEW, Failing, fabric_of, named, retry
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM
from tests.support.messages import TextWith
from tests.support.reconciliations import (
    Kinds,
    change,
    healthy,
    kinds,
    log_table,
    put_cursor,
    reconcile,
    record_items,
    remove,
)
from tests.support.subscribed_stream import LANE_KEY, SubscribedStream


def alarms(fabric: SubscribedStream, **how: bool) -> Kinds:
    return [finding.kind for finding in reconcile(fabric, **how) if finding.is_alarm]


def test_a_healthy_fabric_has_no_findings_and_neither_has_an_empty_one() -> None:
    assert kinds(SubscribedStream()) == []
    fabric = healthy()
    assert kinds(fabric) == kinds(fabric, full=True) == []
    assert kinds(fabric.in_region(AWAY), full=True) == []


class TestTheLog:
    """Findings about records."""

    def test_a_record_that_is_missing_in_a_replica_is_a_hole_after_a_while_and_copied(self) -> None:
        fabric = healthy()
        away = fabric.in_region(AWAY)
        for name in ("c1", "c2", "c3"):
            fabric.put(*named(name))
        fabric.cloud.replicate()
        remove(away, -2)
        assert kinds(away, repair=True) == [FindingKind.REPLICATION_DELAY]
        away.clock.advance(limits.SETTLE_SECONDS)
        assert kinds(away) == [FindingKind.HOLE]
        (finding,) = reconcile(away, repair=True)
        assert (finding.kind, finding.sequence, finding.is_repaired) == (FindingKind.HOLE, 13, True)
        assert record_items(away) == record_items(fabric)
        assert kinds(away) == []

    def test_verified_records_that_are_gone_are_a_hole_at_once(self) -> None:
        fabric = healthy()
        away = fabric.in_region(AWAY)
        remove(away, -1)
        (finding,) = reconcile(away, repair=True)
        assert (finding.kind, finding.sequence, finding.is_repaired) == (FindingKind.HOLE, 10, True)
        assert (kinds(away), record_items(away)) == ([], record_items(fabric))

    def test_the_origin_gets_its_own_records_back_from_a_replica(self) -> None:
        fabric = healthy()
        before = record_items(fabric)
        remove(fabric, -1)
        assert alarms(fabric.in_region(AWAY)) == []
        assert alarms(fabric) == [FindingKind.HOLE]
        assert alarms(fabric, repair=True) == []
        assert record_items(fabric) == before

    @pytest.mark.parametrize("index", [0, 2, 5])
    def test_what_was_verified_long_ago_is_looked_at_again_by_a_full_pass(self, index: int) -> None:
        away = healthy().in_region(AWAY)
        remove(away, index)
        if index < 5:
            assert kinds(away) == []
        for _ in range(2):
            findings = reconcile(away, full=True, repair=True)
            away.clock.advance(limits.SETTLE_SECONDS)
        assert [(f.kind, f.is_repaired) for f in findings] == (
            [(FindingKind.HOLE, True)] if index < 5 else []
        )
        assert kinds(away, full=True) == []

    @pytest.mark.parametrize("attribute", ["c", "b", "h", "n", "t"])
    @pytest.mark.parametrize("full", [False, True], ids=["new", "verified"])
    def test_a_changed_record_is_divergence_and_nobody_mends_it(self, attribute: str, full: bool) -> None:
        away = healthy().in_region(AWAY)
        if not full:
            away.put(*named("c1"))
            away.cloud.replicate()
        values: dict[str, dict[str, Any]] = {
            "c": {"B": b"y" * 16},
            "b": {"B": b"z" * 16},
            "h": {"N": "1"},
            "n": {"N": "7"},
            "t": {"SS": ["x"]},
        }
        change(away, -1 if not full else 1, **{attribute: values[attribute]})
        before = record_items(away)
        assert FindingKind.DIVERGENCE in alarms(away, repair=True, full=full)
        assert record_items(away) == before

    def test_a_changed_payload_is_divergence(self) -> None:
        away = healthy().in_region(AWAY)
        other = record_items(away)[2]["d"]
        change(away, 1, d=other)
        assert alarms(away, full=True) == [FindingKind.DIVERGENCE]

    def test_a_doubled_record_is_divergence(self) -> None:
        away = healthy().in_region(AWAY)
        item = record_items(away)[-1]
        log_table(away).write("Put", {"Item": {**item, "sk": {"N": str(int(item["sk"]["N"]) + 1)}}})
        assert FindingKind.DIVERGENCE in alarms(away, full=True)

    def test_two_regions_that_have_different_records_diverge(self) -> None:
        fabric = healthy()
        fabric.cloud.cut(AWAY)
        fabric.put(*named("c1"))
        tail = fabric.log.tail(LANE, before=SequenceNumber(12))
        other = fabric.record(tail, *named("d1"))
        assert fabric.cloud.log(STREAM, AWAY).append(other) is None
        (finding,) = reconcile(fabric.in_region(AWAY), repair=True)
        assert (finding.kind, finding.sequence, finding.is_alarm) == (FindingKind.DIVERGENCE, 13, True)

    def test_a_replica_that_moves_is_late_and_one_that_does_not_is_stalled(self) -> None:
        fabric = healthy()
        away = fabric.in_region(AWAY)
        fabric.cloud.cut(AWAY)
        for number in range(3):
            fabric.put(*named(f"c{number}"))
            fabric.cloud.heal(AWAY)
            fabric.cloud.replicate()
            fabric.cloud.cut(AWAY)
            fabric.put(*named(f"d{number}"))
            fabric.clock.advance(limits.STALL_SECONDS)
            assert kinds(away, repair=True) == [FindingKind.REPLICATION_DELAY]
        fabric.clock.advance(limits.STALL_SECONDS)
        assert alarms(away) == [FindingKind.REPLICATION_STALL]
        (finding,) = reconcile(away, repair=True)
        assert "copied from us-east-1" in finding.detail
        assert record_items(away) == record_items(fabric)
        assert kinds(away) == [FindingKind.REPLICATION_SILENT]

    def test_a_region_that_does_not_answer_is_reported_and_no_alarm(self) -> None:
        away = healthy().in_region(AWAY)
        ports = away.ports()

        class Silent:
            def __getattr__(self, name: str) -> Any:
                raise ThrottledError(name, "no answer")

        silent = replace(ports, log_of=lambda stream: Silent())
        reconciler = Reconciler(
            away.stream, region=AWAY, ports=replace(ports, at=lambda region: silent), telemetry=away.telemetry
        )
        findings = list(reconciler.run(repair=True))
        assert {f.kind for f in findings} == {FindingKind.UNREACHABLE}
        assert not any(f.is_alarm for f in findings)


class TestSubscriptions:
    """Findings about cursors, keys and doorbells."""

    def test_lost_doorbells_are_rung_again(self) -> None:
        fabric = healthy()
        fabric.put(*named("c1"))
        assert kinds(fabric) == []
        fabric.clock.advance(3600)
        assert alarms(fabric) == [FindingKind.UNRUNG]
        assert [(f.kind, f.is_repaired) for f in reconcile(fabric, repair=True)] == [
            (FindingKind.UNRUNG, True)
        ]
        fabric.deliver_all()
        assert fabric.recorder.ids()[-1] == "c1"
        assert kinds(fabric) == []

    def test_a_paused_subscription_is_left_in_peace(self) -> None:
        fabric = healthy()
        fabric.put(*named("c1"))
        ledger = fabric.ledger
        ledger.switch(LANE_KEY.stream, LANE_KEY.subscription, Circuit(), Circuit(CircuitState.PAUSED))
        fabric.clock.advance(3600)
        assert kinds(fabric, repair=True) == []

    def test_a_key_whose_timer_was_lost_is_rung_for(self) -> None:
        fabric = fabric_of(Failing({"a1": 1}), *named("a1"), **FEW)
        fabric.deliver()
        while fabric.timers.take() is not None:
            pass
        fabric.clock.advance(3600)
        while fabric.timers.take() is not None:
            pass
        (finding,) = reconcile(fabric, repair=True)
        assert (finding.kind, finding.is_repaired) == (FindingKind.PARKED_OVERDUE, True)
        fabric.deliver_all()
        assert (fabric.recorder.ids(), fabric.parked(), kinds(fabric)) == (["a1"], {}, [])

    def test_dead_letters_are_counted_and_no_alarm(self) -> None:
        fabric = fabric_of(Failing({"a1": 9}), *named("a1", "a2"), **retry(immediate=0, attempts=1))
        fabric.put(*named("b1"))
        fabric.deliver()
        fabric.clock.advance(3600)
        (finding,) = reconcile(fabric, repair=True)
        assert (finding.kind, finding.sequence, finding.is_alarm) == (FindingKind.DEAD, 0, False)
        assert finding.detail == TextWith("1 dead letters", "1 events")

    def test_a_cursor_that_was_set_back_is_found(self) -> None:
        fabric = healthy()
        tail = fabric.log.tail(LANE, before=SequenceNumber(4))
        put_cursor(fabric, sequence=tail.sequence, base=tail.sequence, chain=tail.chain)
        assert alarms(fabric, repair=True) == [FindingKind.CURSOR_BACK]

    def test_a_cursor_beyond_the_end_of_its_lane_is_found(self) -> None:
        fabric = healthy()
        put_cursor(fabric, sequence=SequenceNumber(99), base=SequenceNumber(99))
        assert alarms(fabric, repair=True) == [FindingKind.CURSOR_AHEAD]

    @pytest.mark.parametrize(
        "changes",
        [
            {"chain": Chain(b"x" * 16)},
            {"sequence": SequenceNumber(13)},
            {"base": SequenceNumber(11)},
            {"base": SequenceNumber(10)},
        ],
        ids=["chain", "sequence", "within a record", "base"],
    )
    def test_a_cursor_that_is_not_on_the_logs_chain_is_found(self, changes: dict[str, Any]) -> None:
        fabric = healthy()
        fabric.put(*named("c1", "c2", "c3"))
        fabric.deliver()
        put_cursor(fabric, **changes)
        broken = [FindingKind.CURSOR_BROKEN], [FindingKind.CURSOR_BACK], [FindingKind.UNREADABLE]
        assert alarms(fabric, repair=True) in broken

    def test_an_owner_that_goes_on_after_a_handover_is_found(self) -> None:
        fabric = healthy()
        away = fabric.in_region(AWAY)
        new_owner = Owner(HOME, AWAY, 1, AWAY, since_ms=fabric.clock.now_ms())
        assert away.ledger.hand_over(LANE_KEY.stream, LANE_KEY.subscription, None, new_owner)
        away.deliver()
        assert kinds(away) == []
        fabric.clock.advance(3600)
        put_cursor(fabric)
        fabric.cloud.replicate()
        assert alarms(away) == [FindingKind.STALE_OWNER]


def test_a_pass_reads_only_what_is_new_however_long_the_log_is() -> None:
    short, long = calls_of_a_pass(20), calls_of_a_pass(200)
    assert short == long
    # Two origins of two lanes each, one of declarations and one of schemas; one page for the records that are new.
    assert (short.count("log.tail"), short.count("log.read")) == (8, 1)


def calls_of_a_pass(records: int) -> list[str]:
    """Return the calls of a pass over three new records."""
    fabric = healthy(records)
    for name in ("c1", "c2", "c3"):
        fabric.put(*named(name))
    fabric.deliver()
    faults, ports = Faults(), fabric.ports()
    ports = replace(ports, log_of=lambda stream: faults.log(fabric.log), ledger=faults.ledger(ports.ledger))
    reconciler = Reconciler(fabric.stream, region=HOME, telemetry=fabric.telemetry, ports=ports)
    assert list(reconciler.run(repair=False)) == []
    return faults.calls
