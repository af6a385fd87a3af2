"""Cursors that a pass takes for wrong, those that it skips, and the reads of the log for that."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from eventfabric.model import Chain, Owner, SequenceNumber
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.testing.memory.faults import Fault
from tests.support.failing_handlers import Failing, drained, fabric_of, named, retry
from tests.support.failovers import failover
from tests.support.memory_fabric import AWAY, HOME, LANE
from tests.support.messages import TextWith
from tests.support.reconciliations import healthy, kinds, put_cursor, reconcile, remove
from tests.support.recorded_reads import Read, RecordingLog
from tests.support.subscribed_stream import LANE_KEY, SubscribedStream

WRONG = Chain(b"x" * 16)


def asked(fabric: SubscribedStream) -> tuple[RecordingLog, list[Finding]]:
    """Run a pass. Return its reads of the log, and its findings."""
    log, ports = RecordingLog(fabric.log), fabric.ports()
    ports = replace(ports, log_of=lambda stream: log)
    reconciler = Reconciler(fabric.stream, region=fabric.region, ports=ports, telemetry=fabric.telemetry)
    return log, list(reconciler.run(repair=False))


def in_the_last_record(sequence: int, chain: Chain | None = None) -> SubscribedStream:
    """A cursor in the record of three events from 12 on, which ends the lane."""
    fabric = healthy()
    before = fabric.log.tail(LANE)
    fabric.put(*named("c1", "c2", "c3"))
    put_cursor(
        fabric, sequence=SequenceNumber(sequence), base=SequenceNumber(12), chain=chain or before.chain
    )
    return fabric


@pytest.mark.parametrize(
    ("sequence", "chain", "finding_kinds"),
    [
        (13, None, []),
        (14, None, []),
        (15, None, [FindingKind.CURSOR_BROKEN]),
        (13, WRONG, [FindingKind.CURSOR_BROKEN]),
    ],
)
def test_a_cursor_may_stand_within_its_record_if_that_follows_on_what_was_handled(
    sequence: int, chain: Chain | None, finding_kinds: list[FindingKind]
) -> None:
    assert kinds(in_the_last_record(sequence, chain)) == finding_kinds


def test_a_cursor_that_stands_behind_its_record_stands_in_none_whatever_follows() -> None:
    fabric = healthy()
    before = fabric.log.tail(LANE)
    fabric.put(*named("c1"))
    fabric.put(*named("d1", "d2"))
    put_cursor(fabric, sequence=SequenceNumber(13), base=SequenceNumber(12), chain=before.chain)
    assert kinds(fabric) == [FindingKind.CURSOR_BROKEN]


@pytest.mark.parametrize(
    ("retention_days", "is_there", "finding_kinds"),
    [
        (4, False, []),
        (4, True, [FindingKind.CURSOR_BROKEN]),
        (0, False, [FindingKind.CURSOR_BROKEN]),
    ],
)
def test_where_the_record_before_it_has_expired_there_is_nothing_to_hold_it_against(
    retention_days: int, is_there: bool, finding_kinds: list[FindingKind]
) -> None:
    fabric = healthy(retention_days=retention_days)
    put_cursor(fabric, sequence=SequenceNumber(10), base=SequenceNumber(10), chain=WRONG, epoch=1)
    if not is_there:
        remove(fabric, 4)
    assert kinds(fabric) == finding_kinds


def test_the_very_first_cursor_that_was_written_is_looked_at_like_any_other() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    put_cursor(fabric, sequence=SequenceNumber(9), base=SequenceNumber(9))
    assert fabric.cursor().version == 1
    assert kinds(fabric) == [FindingKind.CURSOR_AHEAD]


def test_a_lane_that_nobody_began_with_has_no_cursor_to_be_wrong() -> None:
    fabric = fabric_of(Failing({}), *named("a1", "b1"))
    log, findings = asked(fabric)
    assert findings == []
    # Where each of the four lanes ends, and the four of declarations and schemas, and nothing about a cursor.
    assert [before for _, before in log.tails] == [None] * 8
    assert log.reads == [Read(LANE, 0, 100), Read(LANE, 0, 1)]


def test_of_what_waits_only_the_first_record_is_read_from_where_the_cursor_is() -> None:
    fabric = healthy()
    fabric.put(*named("c1", "c2", "c3"))
    fabric.put(*named("d1"))
    before = fabric.log.tail(LANE, before=SequenceNumber(12))
    put_cursor(fabric, sequence=SequenceNumber(13), base=SequenceNumber(12), chain=before.chain)
    log, findings = asked(fabric)
    assert findings == []
    assert log.reads == [Read(LANE, 12, 100), Read(LANE, 12, 1)]


def test_of_a_replay_the_first_record_behind_it_is_read_too() -> None:
    fabric = healthy()
    put_cursor(
        fabric,
        sequence=SequenceNumber(0),
        base=SequenceNumber(0),
        chain=Chain(bytes(16)),
        replay_until=SequenceNumber(6),
    )
    log, findings = asked(fabric)
    assert findings == []
    assert log.reads == [Read(LANE, 0, 1), Read(LANE, 6, 1)]


@pytest.mark.parametrize(
    ("changes", "finding_kinds"),
    [
        ({}, [FindingKind.CURSOR_BACK]),
        ({"replay_until": SequenceNumber(12)}, []),
        ({"epoch": 1}, []),
    ],
)
def test_one_that_went_back_is_wrong_unless_by_a_replay_or_a_new_owner(
    changes: Mapping[str, Any], finding_kinds: list[FindingKind]
) -> None:
    fabric = healthy()
    tail = fabric.log.tail(LANE, before=SequenceNumber(4))
    put_cursor(fabric, sequence=tail.sequence, base=tail.sequence, chain=tail.chain, **changes)
    assert kinds(fabric) == finding_kinds


def test_where_all_regions_share_one_state_whoever_delivers_counts_its_parked_keys() -> None:
    ending = retry(immediate=0, attempts=1)
    fabric = drained(fabric_of(Failing({"a1": 9}), *named("a1", "b1"), durability="quorum", **ending))
    away = fabric.in_region(AWAY)
    new_owner = Owner(HOME, AWAY, 1, AWAY, since_ms=fabric.clock.now_ms())
    assert away.ledger.hand_over(LANE_KEY.stream, LANE_KEY.subscription, None, new_owner)
    assert [(finding.kind, finding.region, finding.detail) for finding in reconcile(away)] == [
        (FindingKind.DEAD, AWAY, TextWith("1 dead letters", "0 events"))
    ]
    assert kinds(fabric) == []


def test_a_former_owners_cursor_may_come_before_the_records_that_it_stands_behind() -> None:
    fabric = SubscribedStream()
    fabric.put(*named("a0"))
    fabric.put(*named("a1"))
    fabric.relay_all()
    fabric.deliver_all()
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    remove(away, -1)  # as if it had not come yet
    failover(fabric, lambda *_: Fault.LOST_REQUEST).hand_over()
    assert FindingKind.CURSOR_AHEAD not in kinds(away)
    away.deliver()
    assert FindingKind.CURSOR_AHEAD not in kinds(away)
