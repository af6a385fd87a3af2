"""Defects that the simulator found in rare schedules, each in a few lines. Seeds: see docs/simulation.md."""

from dataclasses import replace
from typing import cast

import pytest

from eventfabric import limits
from eventfabric.model import (
    START,
    AtSequence,
    AtTime,
    Circuit,
    CircuitState,
    Lane,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
    Tail,
)
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Log, Ports
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.lanes.locate import kept_in, locate
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import Fault, Faults, at_random
from eventfabric.wire.doorbell import from_body
from eventfabric.wire.keys import Item
from tests.support.failing_handlers import Failing, fabric_of, named
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

OF = (StreamName(STREAM), SubscriptionName(SUBSCRIPTION))


def opened(fabric: SubscribedStream, *, probe_seconds: float) -> None:
    """Open the circuit; its next probe is due so many seconds from now."""
    probe_ms = fabric.clock.now_ms() + int(1000 * probe_seconds)
    to = Circuit(CircuitState.OPEN, "downstream is down", since_ms=fabric.clock.now_ms(), probe_ms=probe_ms)
    assert fabric.ledger.switch(*OF, Circuit(), to)


def reconciled(fabric: SubscribedStream, ports: Ports | None = None) -> list[Finding]:
    reconciler = Reconciler(
        fabric.stream, region=fabric.region, ports=ports or fabric.ports(), telemetry=fabric.telemetry
    )
    return list(reconciler.run(repair=True))


def test_a_probes_doorbell_that_came_too_early_is_rung_again_by_another_that_no_queue_drops() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    opened(fabric, probe_seconds=60)
    assert fabric.deliver().outcome is LaneOutcome.WAITING
    fabric.clock.advance(120)
    body = fabric.timers.take()
    assert body is not None
    early = from_body(body)
    fabric.clock.set_back(100)  # the machine that is rung has another clock
    deliverer = fabric.deliverer()
    assert deliverer.deliver(early, deadline_ms=fabric.clock.now_ms() + 60_000).outcome is LaneOutcome.WAITING
    fabric.clock.advance(120)
    again = fabric.timers.take()
    assert again is not None
    assert from_body(again).deduplication_id != early.deduplication_id


@pytest.mark.parametrize(("waited_seconds", "kinds"), [(200, []), (400, [FindingKind.UNRUNG])])
def test_a_lane_that_waits_for_a_probe_that_nobody_makes_is_rung_by_reconciliation(
    waited_seconds: int, kinds: list[FindingKind]
) -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    fabric.deliver()
    fabric.put(*named("a2"))
    reconciled(fabric)
    opened(fabric, probe_seconds=0)
    fabric.clock.advance(waited_seconds)
    assert [finding.kind for finding in reconciled(fabric)] == kinds
    fabric.deliver_all()
    assert fabric.recorder.ids() == (["a1", "a2"] if kinds else ["a1"])


def a_replica_without_its_head() -> SubscribedStream:
    """A lane of two records, the first of which is lost in the other Region before anybody delivered it there."""
    fabric = fabric_of(Failing({}), *named("a1", "a2"), retention_days=1, deliver="everywhere")
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    head = away.table.items[0]
    away.table.write("Delete", {"Key": {"pk": head["pk"], "sk": head["sk"]}})
    return away


@pytest.mark.parametrize("was_verified", [False, True])
def test_the_lost_head_of_a_replica_is_a_hole_and_copied_while_its_origin_keeps_it(
    was_verified: bool,
) -> None:
    away = a_replica_without_its_head()
    if was_verified:
        away.table.write("Put", {"Item": away.in_region(HOME).table.items[0]})
        assert reconciled(away) == []
        head = away.table.items[0]
        away.table.write("Delete", {"Key": {"pk": head["pk"], "sk": head["sk"]}})
    findings: list[Finding] = []
    for _ in range(3):
        away.clock.advance(limits.UNRUNG_SECONDS + 1)
        findings += reconciled(away)
    assert FindingKind.EXPIRED_UNREAD not in [finding.kind for finding in findings]
    assert any(finding.kind is FindingKind.HOLE and finding.is_repaired for finding in findings)
    away.relay_all()
    away.deliver_all()
    assert away.recorder.ids() == ["a1", "a2"]


def test_a_head_that_its_origin_does_not_keep_either_has_expired() -> None:
    away = a_replica_without_its_head()
    home = away.in_region(HOME)
    head = home.table.items[0]
    home.table.write("Delete", {"Key": {"pk": head["pk"], "sk": head["sk"]}})
    away.clock.advance(limits.UNRUNG_SECONDS + 1)
    assert FindingKind.HOLE not in [finding.kind for finding in reconciled(away)]


def test_a_pass_goes_on_where_the_origin_gives_no_reply_to_whether_it_keeps_a_head() -> None:
    away = a_replica_without_its_head()
    ports = away.ports()
    silent = Faults(at_random(1.0, [Fault.LOST_REQUEST], seed=0, names=["log.read"]))

    def ports_in(region: Region) -> Ports:
        there = away.ports(region)

        def log_of(stream: StreamTopology) -> Log:
            return silent.log(there.log_of(stream))

        return replace(there, log_of=log_of)

    findings = reconciled(away, replace(ports, at=ports_in))
    assert silent.count("log.read") > 0
    assert any(finding.lane == LANE for finding in findings)


def test_a_sequence_in_a_record_behind_a_missing_one_is_waited_for_at_the_missing_one() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    fabric.put(*named("a2", "a3"))
    head = fabric.table.items[0]
    fabric.table.write("Delete", {"Key": {"pk": head["pk"], "sk": head["sk"]}})
    cursor = locate(fabric.log, LANE, AtSequence(SequenceNumber(2)), end=fabric.log.tail(LANE))
    assert cursor == START


class _Arriving:
    """ports.Log of which a lost head comes once the newest record was looked for so many times."""

    def __init__(self, fabric: SubscribedStream, head: Item, *, after: int) -> None:
        self._world = fabric
        self._head = head
        self._left = after

    def tail(self, lane: Lane, *, before: SequenceNumber | None = None) -> Tail:
        if self._left == 0:
            self._world.table.write("Put", {"Item": self._head})
        self._left -= 1
        return self._world.log.tail(lane, before=before)


@pytest.mark.parametrize("after", range(7))
@pytest.mark.parametrize("retention_seconds", [None, 86_400])
def test_a_lane_begins_at_its_head_whenever_that_comes_while_it_is_looked_for(
    after: int, retention_seconds: int | None
) -> None:
    fabric = fabric_of(Failing({}), *named("a1", "a2", "a3", "a4"))
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    head = away.table.items[0]
    away.table.write("Delete", {"Key": {"pk": head["pk"], "sk": head["sk"]}})
    end = away.log.tail(LANE)
    kept_part = kept_in(
        LANE, Region(AWAY), retention_seconds=retention_seconds, now_ms=away.clock.now_ms() + 1000
    )
    log = cast(Log, _Arriving(away, head, after=after))
    cursor = locate(log, LANE, AtTime(away.clock.now_ms() - 60_000), end=end, kept_part=kept_part)
    # Or it has not come yet, and that is known.
    assert cursor == START or (cursor is None and retention_seconds is not None)
