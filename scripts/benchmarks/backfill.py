"""Backfill and proof: a worker that copies a lane record by record, and the walk that proves a lane."""

from collections import Counter
from functools import partial
from typing import Any, cast

import msgspec

from eventfabric.aws.backfills import AwsBackfills
from eventfabric.aws.clients import Clients
from eventfabric.aws.log import AwsLog
from eventfabric.aws.system import SystemClock, SystemEntropy
from eventfabric.model import EMPTY_TAIL, Region, StreamName, Tail
from eventfabric.model.backfill import Backfill, Seam, Slice, SliceProgress
from eventfabric.services.backfill.copy_slice import SliceCopier
from eventfabric.services.proof.trail import Trail
from eventfabric.wire import backfill_item
from scripts.benchmarks.deliver import LANE, PAGE_RECORDS, RECORD_EVENTS, page_of
from scripts.benchmarks.measure import Contender, Section, Target, compare
from scripts.benchmarks.null_endpoint import REGION, NullEndpoint, session

_ELSEWHERE = Region("eu-west-1")
_NOTHING = b'{"Items":[],"Count":0}'
_PUT_MILLISECONDS = 5
"""Approximate time of a conditional put in its own Region."""


class SliceCopies:
    """A slice of one page of records of RECORD_EVENTS events. The target has none of them."""

    def __init__(self) -> None:
        self.source, self.target = NullEndpoint(), NullEndpoint()
        here, there = (Clients(region, session=session()).dynamodb for region in (REGION, _ELSEWHERE))
        self._here, self._there = here, there
        page = page_of(PAGE_RECORDS, RECORD_EVENTS)
        self.source.attach(here, page)
        backfill = Backfill(
            "b", StreamName("orders"), Region(REGION), _ELSEWHERE, (), None, 1, None, by="bench", started_ms=1
        )
        self._backfill = msgspec.json.encode({"Item": backfill_item.to_item(backfill)})
        self.target.attach(there, self._answer)
        self._log = AwsLog(here, "bench-orders")
        self._copier = SliceCopier(
            "b",
            source=self._log,
            target=AwsLog(there, "bench-orders"),
            backfills=AwsBackfills(there, "bench-ledger", _ELSEWHERE),
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
        last = self._log.read(LANE, EMPTY_TAIL.sequence, records_max=PAGE_RECORDS).records[-1]
        self.tail: Tail = last.tail
        self._slice = Slice(
            StreamName("orders"), LANE, Seam.of(EMPTY_TAIL), Seam.of(self.tail), Region(REGION), _ELSEWHERE
        )

    def copy(self, times: int) -> int:
        """Copy the slice `times` times, each time as if nothing had been copied. Returns the number of events."""
        for _ in range(times):
            progress = SliceProgress(self._slice, self._slice.start, self.tail.sequence)
            if not self._copier.copy(progress).progress.done:
                raise AssertionError("the slice was not copied")
        return times * self.tail.sequence

    def copy_unseen(self, times: int) -> int:
        """Read the page and write it elsewhere, 25 items a call, over existing items. Returns the number of events."""
        for _ in range(times):
            items = self._here.query(
                TableName="bench-orders",
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": str(LANE)}},
            )["Items"]
            for start in range(0, len(items), 25):
                puts = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
                self._there.batch_write_item(RequestItems={"bench-orders": cast(Any, puts)})
        return times * self.tail.sequence

    def prove(self, times: int) -> int:
        """Walk the lane as a proof does. Returns the number of events."""
        for _ in range(times):
            trail = Trail(self._log, LANE, expired_ms=None)
            for _record in trail.walk(self.tail.sequence):
                pass
            if trail.position != Seam.of(self.tail):
                raise AssertionError("the lane was not verified to its end")
        return times * self.tail.sequence

    def _answer(self, request: bytes) -> bytes:
        if b"KeyConditionExpression" in request:
            return _NOTHING
        return b"{}" if b'"Item"' in request else self._backfill


def bench(*, quick: bool) -> Section:
    """Time backfill, copying without checks, and proof. `quick` takes fewer rounds."""
    rounds, times = (2, 2) if quick else (5, 10)
    copying = SliceCopies()
    figures = compare(
        [
            Contender("eventfabric: backfill, one worker", partial(copying.copy, times)),
            Contender("boto3: read and written over, nothing looked at", partial(copying.copy_unseen, times)),
            Contender("eventfabric: prove", partial(copying.prove, times)),
        ],
        rounds=rounds,
    )
    for endpoint in (copying.source, copying.target):
        endpoint.calls.clear()
    copying.copy(1)
    read, written = Counter(copying.source.calls), Counter(copying.target.calls)
    calls = sum(read.values()) + sum(written.values()) - PAGE_RECORDS
    cpu_ms = figures[0].cpu_us_per_event * RECORD_EVENTS / 1000
    behind_aws = 1000 * RECORD_EVENTS / (cpu_ms + _PUT_MILLISECONDS)
    return Section(
        f"backfill, records of {RECORD_EVENTS} events, microseconds of CPU an event",
        figures,
        [
            Target("backfill, a worker", figures[0].events_per_second, 20_000, "events/s", at_least=True),
            # Checking twice that the backfill still runs; reading both logs; recording the progress.
            Target("calls beside the puts, a slice of a page", calls, 5, "calls"),
        ],
        [
            f"a page of {PAGE_RECORDS} records: {dict(read)} of the source, {dict(written)} of the target",
            "a copy that checks nothing writes 25 items a call, overwrites what is there, and notices no wrong record",
            f"if a put takes {_PUT_MILLISECONDS} ms, each worker copies {behind_aws:,.0f} events/s",
        ],
    )
