"""Reconciliation: a pass over a lane's new records, next to what people write themselves, comparing item by item."""

import json
from collections import Counter
from functools import partial

from eventfabric.aws.clients import Clients
from eventfabric.aws.log import AwsLog
from eventfabric.aws.system import SystemClock
from eventfabric.model import Mark, Region, StreamName
from eventfabric.services.reconciliation.replica import Replica
from scripts.benchmarks.deliver import LANE, PAGE_RECORDS, RECORD_EVENTS, page_of
from scripts.benchmarks.measure import Contender, Figure, Section, Target, compare
from scripts.benchmarks.null_endpoint import REGION, NullEndpoint, session

_ELSEWHERE = Region("eu-west-1")


class Reconciling:
    """A lane that is the same in two Regions: a page of records of RECORD_EVENTS events."""

    def __init__(self) -> None:
        self._page = page_of(PAGE_RECORDS, RECORD_EVENTS)
        self._tail = json.dumps({"Items": [json.loads(self._page)["Items"][-1]], "Count": 1}).encode()
        self.endpoint = NullEndpoint()
        self._here, self._there = (
            Clients(region, session=session()).dynamodb for region in (REGION, _ELSEWHERE)
        )
        for client in (self._here, self._there):
            self.endpoint.attach(client, self._answer)
        self._replica = Replica(
            StreamName("orders"),
            _ELSEWHERE,
            log=AwsLog(self._there, "bench-orders"),
            elsewhere=lambda region: AwsLog(self._here, "bench-orders"),
            regions=[Region(REGION), _ELSEWHERE],
            expires=False,
            now_ms=SystemClock().now_ms(),
            repairs=True,
            clock=SystemClock(),
        )
        self.verified = self._replica.examine(LANE, Mark()).mark

    def examine(self, times: int, mark: Mark) -> int:
        """Make `times` passes over the lane, which is verified up to the mark. Returns the number of its events."""
        for _ in range(times):
            examined = self._replica.examine(LANE, mark)
            if examined.findings or examined.mark != self.verified:
                raise AssertionError(f"found {examined.findings}")
        return times * PAGE_RECORDS * RECORD_EVENTS

    def compare_items(self, times: int) -> int:
        """Read both tables, and compare them item by item. Returns the number of events."""
        for _ in range(times):
            here, there = (
                {
                    item["sk"]["N"]: item
                    for item in client.query(
                        TableName="bench-orders",
                        KeyConditionExpression="pk = :pk",
                        ExpressionAttributeValues={":pk": {"S": str(LANE)}},
                    )["Items"]
                }
                for client in (self._here, self._there)
            )
            if here != there:
                raise AssertionError("the tables differ")
        return times * PAGE_RECORDS * RECORD_EVENTS

    def calls(self, mark: Mark) -> Counter[str]:
        """Count the calls of one pass."""
        self.endpoint.calls.clear()
        self.examine(1, mark)
        return Counter(self.endpoint.calls)

    def _answer(self, request: bytes) -> bytes:
        return self._tail if b'"ScanIndexForward"' in request else self._page


def bench(*, quick: bool) -> Section:
    """Time a pass. `quick` takes fewer rounds."""
    rounds, times = (2, 2) if quick else (5, 10)
    lane = Reconciling()
    figures = compare(
        [
            Contender("eventfabric: a pass, all records new", partial(lane.examine, times, Mark())),
            Contender("eventfabric: a pass, nothing new", partial(lane.examine, times, lane.verified)),
            Contender("boto3: both tables read and compared", partial(lane.compare_items, times)),
        ],
        rounds=rounds,
    )
    new, quiet, both = figures
    calls_new, calls_quiet = lane.calls(Mark()), lane.calls(lane.verified)
    return Section(
        f"reconciliation, {PAGE_RECORDS} records of {RECORD_EVENTS} events, microseconds of CPU an event",
        figures,
        [
            Target("a comparison / a pass, nothing new", _ratio(both, quiet), 5, "times", at_least=True),
            Target("a pass with new records / a comparison", _ratio(new, both), 1.1, "times"),
            Target("calls of a pass, nothing new", sum(calls_quiet.values()), 2, "calls"),
        ],
        [
            f"calls of a pass: {dict(calls_quiet)} where nothing is new, {dict(calls_new)} for a page of new records",
            "a comparison reads both tables whole, every time; a pass reads the end of each lane, and new records once",
            "a comparison cannot see that both tables lack, or changed, the same record; the chain can",
        ],
    )


def _ratio(figure: Figure, base: Figure) -> float:
    return figure.cpu_us_per_event / base.cpu_us_per_event
