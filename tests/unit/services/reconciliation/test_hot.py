"""Lanes in which so much is published that they come near their bound, as passes see them."""

from dataclasses import replace
from random import Random

import pytest

from eventfabric.model import Event
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.services.lanes.hot_lane import LaneSample
from eventfabric.services.reconciliation.reconcile import PassOrder, Reconciler
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Faults
from tests.support.failing_handlers import Failing, fabric_of
from tests.support.memory_fabric import AWAY, HOME, STREAM, event
from tests.support.subscribed_stream import SubscribedStream

PASS_SECONDS = 60
ENDS = 4
"""Lanes of the stream: a pass reads where each of them ends."""
TIME = "2026-11-01T00:00:00Z"


def published(
    events_a_record: int, records: int, *, hot_share: float = 0.0, size: int = 0
) -> SubscribedStream:
    """A stream in which so many records were appended within a minute after a pass."""
    fabric = fabric_of(Failing({}))
    fabric.put(event("first"))
    passed(fabric)
    passed(fabric)
    fabric.clock.advance(PASS_SECONDS)
    for number in range(records):
        fabric.put(*(_event(number, index, hot_share, size) for index in range(events_a_record)))
    return fabric


def _event(number: int, index: int, hot_share: float, size: int) -> Event:
    is_hot = (number + index) % 10 < 10 * hot_share
    key = "hot" if is_hot else f"k{number}-{index}"
    data = Random(f"{number} {index}").randbytes(size // 2).hex()
    return Event(id=f"{number} {index}", type="placed", key=key, data=data, time=TIME, source="/t")


def passed(fabric: SubscribedStream) -> tuple[list[Finding], int]:
    """Make a pass. Return what it finds of hot lanes, and how often it reads newest records."""
    faults = Faults()
    ports = replace(fabric.ports(), log_of=lambda stream: faults.log(fabric.log))
    reconciler = Reconciler(fabric.stream, region=fabric.region, ports=ports, telemetry=fabric.telemetry)
    findings = [
        finding
        for finding in reconciler.make(PassOrder(repair=False, thorough=False))
        if finding.kind in (FindingKind.HOT_LANE, FindingKind.HOT_KEY)
    ]
    return findings, faults.count("log.tail") - ENDS


def test_a_lane_that_is_not_hot_costs_no_read() -> None:
    fabric = published(1, 19 * PASS_SECONDS)
    assert passed(fabric) == ([], 0)
    assert fabric.telemetry.gauges[Metric.LANES_HOT, STREAM] == 0


def test_a_lane_of_many_packed_events_is_looked_at_once_and_is_not_hot() -> None:
    assert passed(published(50, 60)) == ([], 1)


@pytest.mark.parametrize(
    ("hot_share", "kind", "cure"),
    [(0.1, FindingKind.HOT_LANE, "pack more events"), (0.8, FindingKind.HOT_KEY, "80% of its events")],
)
def test_a_hundred_records_a_second_are_hot_whosever_they_are(
    hot_share: float, kind: FindingKind, cure: str
) -> None:
    fabric = published(1, 101 * PASS_SECONDS, hot_share=hot_share)
    ([finding], reads) = passed(fabric)
    assert (finding.kind, reads, finding.is_alarm) == (kind, 1, False)
    assert cure in finding.detail
    assert "hot" not in finding.detail, "no key is told"
    assert fabric.telemetry.gauges[Metric.LANES_HOT, STREAM] == 1


def test_packed_events_that_are_too_many_are_split() -> None:
    fabric = published(20, 30 * PASS_SECONDS, size=2_000)
    ([finding], _) = passed(fabric)
    assert finding.kind is FindingKind.HOT_LANE
    assert f"eventfabric lanes split orders {finding.lane}" in finding.detail


def test_a_replica_reports_nothing_of_lanes_that_are_written_elsewhere() -> None:
    fabric = published(1, 101 * PASS_SECONDS)
    fabric.cloud.replicate()
    assert passed(fabric.in_region(AWAY))[0] == []
    assert passed(fabric.in_region(HOME))[0]


def test_a_lane_without_events_is_no_sample() -> None:
    assert not LaneSample.of([]).load(1_000).is_hot
