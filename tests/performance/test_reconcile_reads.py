"""Reads of a reconciliation, counted: 100,000 events in 64 lanes, with 10 new records."""

from collections import Counter
from dataclasses import replace
from typing import cast

import pytest

from eventfabric.model import Region, SequenceNumber, Tail
from eventfabric.ports import Log, Page
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.stream_topology import StreamTopology
from tests.support.memory_fabric import AWAY, HOME, event, lane
from tests.support.subscribed_stream import SubscribedStream

LANES, RECORD_EVENTS, NEW_RECORDS = 32, 100, 10
"""Lanes of an origin: 64 in both."""


class CountingLog:
    """A log that counts what is read of it, by Region."""

    def __init__(self, log: Log, region: Region, reads: Counter[str]) -> None:
        self._log = log
        self._region = region
        self._reads = reads

    def tail(self, of: object, *, before: SequenceNumber | None = None) -> Tail:
        self._reads[f"tails in {self._region}"] += 1
        return self._log.tail(of, before=before)  # type: ignore[arg-type]  # passed on

    def read(self, of: object, start: SequenceNumber, *, records_max: int) -> Page:
        page = self._log.read(of, start, records_max=records_max)  # type: ignore[arg-type]  # passed on
        self._reads[f"records in {self._region}"] += len(page.records)
        return page


def a_pass(fabric: SubscribedStream) -> Counter[str]:
    """Run a pass in AWAY that finds nothing; return what it reads of the logs, declarations included."""
    reads: Counter[str] = Counter()

    def ports_of(region: Region):  # type: ignore[no-untyped-def]  # noqa: ANN202
        ports = fabric.ports(region)

        def log_of(stream: StreamTopology) -> Log:
            return cast(Log, CountingLog(ports.log_of(stream), region, reads))

        return replace(ports, log_of=log_of, at=ports_of)

    reconciler = Reconciler(fabric.stream, region=AWAY, ports=ports_of(AWAY), telemetry=fabric.telemetry)
    assert list(reconciler.run(repair=False)) == []
    return reads


@pytest.mark.parametrize("events", [10_000, 100_000])
def test_a_pass_reads_64_tails_a_region_and_the_new_records_however_long_the_log_is(events: int) -> None:
    fabric = SubscribedStream(lanes=LANES)
    assert len(lanes_of(fabric.stream)) == 64
    number = 0
    for _ in range(events // RECORD_EVENTS):
        index = number // RECORD_EVENTS % LANES
        fabric.put(*(event(f"e{number + n}", key=f"k{index}") for n in range(RECORD_EVENTS)), of=lane(index))
        number += RECORD_EVENTS
    fabric.cloud.replicate()
    a_pass(fabric)
    for index in range(NEW_RECORDS):
        fabric.put(event(f"new{index}", key=f"k{index}"), of=lane(index))
    fabric.cloud.replicate()
    assert a_pass(fabric) == {
        f"tails in {AWAY}": 64 + 4,
        f"tails in {HOME}": 32 + 4,
        f"records in {AWAY}": NEW_RECORDS,
    }
    assert a_pass(fabric) == {f"tails in {AWAY}": 64 + 4, f"tails in {HOME}": 32 + 4}
