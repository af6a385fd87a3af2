"""Backfill, killed wherever it can be killed, and by how much more workers are faster."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from eventfabric.model import Lane, Record, SequenceNumber
from eventfabric.model.backfill import BackfillState
from eventfabric.ports import Log, Page
from eventfabric.sdk.backfill import plan, run_backfill, work
from eventfabric.services.backfill.lifecycle import spread
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.faults import Fault, SimulatedCrash, nth
from tests.simulation.turns import Turns
from tests.support.backfill_regions import SOURCE, TARGET, BackfillRegions
from tests.support.memory_fabric import lane
from tests.support.recorded_reads import RecordingLog

KINDS = [Fault.CRASH_BEFORE, Fault.CRASH_AFTER]


def process(fabric: BackfillRegions, backfill_id: str) -> None:
    """A process that knows nothing but the backfill's id, until it ends or is killed."""
    run_backfill(fabric.backfiller(), backfill_id)


def until_done(fabric: BackfillRegions, backfill_id: str) -> int:
    """Processes, one after the other, until one ends; how many were killed."""
    for killed in range(100):
        try:
            process(fabric, backfill_id)
        except SimulatedCrash:
            continue
        return killed
    raise AssertionError("it never ends")


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_call_it_ends_with_equal_logs(kind: Fault) -> None:
    def fabric_with_holes() -> BackfillRegions:
        fabric = BackfillRegions(lanes=2)
        made = fabric.fill(12)
        fabric.fill(5, of=lane(1))
        fabric.copy_to_target([made[0], made[1], made[6], made[9]])
        return fabric

    calm = fabric_with_holes()
    backfill = calm.begin(slice_events=300)
    before = len(calm.faults.calls), len(calm.reading.calls)
    process(calm, backfill.id)
    calls = len(calm.faults.calls) - before[0], len(calm.reading.calls) - before[1]
    assert min(calls) > 15
    for number, (of_source, count) in enumerate((("source", calls[1]), ("target", calls[0]))):
        for call in range(1, count + 1):
            fabric = fabric_with_holes()
            backfill = fabric.begin(slice_events=300)
            faults = fabric.reading if of_source == "source" else fabric.faults
            faults.rules.append(nth(len(faults.calls) + call, kind))
            assert until_done(fabric, backfill.id) == 1, (number, call)
            assert fabric.items(TARGET) == fabric.items(SOURCE), call
            assert fabric.backfiller().find(backfill.id).state is BackfillState.DONE


class CountingReads(RecordingLog):
    """A log that counts how often each record left it, but for the first of a lane, which planning looks at."""

    def __init__(self, log: Log, reads: Counter[tuple[Lane, int]]) -> None:
        super().__init__(log)
        self._left = reads

    def read(
        self, lane: Lane, start: SequenceNumber, *, records_max: int, before: SequenceNumber | None = None
    ) -> Page:
        page = super().read(lane, start, records_max=records_max, before=before)
        if records_max > 1:
            self._left.update((record.lane, record.sequence) for record in page.records)
        return page


LANES, LANE_RECORDS, RECORD_EVENTS, SLICE_RECORDS, KILLS = 8, 125, 100, 25, 5


@pytest.mark.parametrize("seed", range(4))
def test_100_000_events_killed_five_times_read_at_most_one_slice_again_for_each(seed: int) -> None:
    fabric, random = BackfillRegions(lanes=LANES), Random(seed)
    for number in range(LANES):
        fabric.fill(LANE_RECORDS, of=lane(number), events=RECORD_EVENTS)
    source = [(item["pk"], item["sk"], item["c"]) for item in fabric.items(SOURCE)]
    assert len(source) * RECORD_EVENTS == 100_000
    reads: Counter[tuple[Lane, int]] = Counter()

    def counting(log: Log) -> Log:
        return CountingReads(log, reads)

    backfill = fabric.begin(slice_events=SLICE_RECORDS * RECORD_EVENTS)
    for _ in range(KILLS):
        # Within the next quarter of a run: each of the five comes before its end.
        call = len(fabric.faults.calls) + random.randrange(1, 250)
        fabric.faults.rules.append(nth(call, random.choice(KINDS)))
        with pytest.raises(SimulatedCrash):
            run_backfill(fabric.backfiller(around=counting), backfill.id)
    report = run_backfill(fabric.backfiller(around=counting), backfill.id)
    assert report.backfill.state is BackfillState.DONE
    assert fabric.items(TARGET) == fabric.items(SOURCE)
    assert [(item["pk"], item["sk"], item["c"]) for item in fabric.items(TARGET)] == source
    read_again = sum(reads.values()) - len(reads)
    assert len(reads) == len(source)
    assert read_again <= KILLS * SLICE_RECORDS
    # Resume points are lean: one a page of a slice.
    assert fabric.faults.count("backfills.save") <= len(source) / SLICE_RECORDS + KILLS


LATENCY_SECONDS = {"log.tail": 0.004, "log.read": 0.012, "log.append": 0.005}
OF_LEDGER_SECONDS = 0.005
LANE_EVENTS_PER_SECOND = 4_000
"""Throughput of one partition key in DynamoDB: 1,000 write units a second, events of 250 bytes."""


class LimitedLanes:
    """A log whose lanes take so many events a second each, by the clock of the worker that writes."""

    def __init__(self, log: Log, clock: MemoryClock, free_ms: dict[Lane, float]) -> None:
        self._log, self._clock, self._free_ms = log, clock, free_ms
        self.tail, self.read = log.tail, log.read

    def append(self, record: Record) -> Record | None:
        now_ms = float(self._clock.now_ms())
        begins_ms = max(now_ms, self._free_ms.get(record.lane, now_ms))
        self._free_ms[record.lane] = begins_ms + 1000 * record.count / LANE_EVENTS_PER_SECOND
        self._clock.advance((begins_ms - now_ms) / 1000)
        return self._log.append(record)


def seconds_with(workers: int, *, lanes: int, spread_out: bool = True) -> float:
    """Return how long workers take, each by a clock of its own; the one furthest behind goes first."""
    fabric = BackfillRegions(lanes=lanes)
    for number in range(lanes):
        fabric.fill(40, of=lane(number))
    backfill = fabric.begin(workers=workers, slice_events=1_000)
    slices = plan(fabric.backfiller(), backfill.id, lambda _: None)
    waiting = iter(spread(slices) if spread_out else sorted(slices, key=lambda p: p.slice.lane))
    clocks, free_ms, turns = [MemoryClock() for _ in range(workers)], dict[Lane, float](), Turns()
    done = [False] * workers
    position = [0]

    def rule(called: str, overall: int, of_name: int) -> Fault | None:
        turns.rule(called, overall, of_name)
        clocks[position[0]].advance(LATENCY_SECONDS.get(called, OF_LEDGER_SECONDS))
        return None

    def choose(count: int) -> int:
        running = [number for number in range(workers) if not done[number]]
        assert len(running) == count
        position[0] = min(running, key=lambda number: clocks[number].now_ms())
        return running.index(position[0])

    def job(number: int) -> Callable[[], None]:
        def run() -> None:
            clock = clocks[number]
            backfiller = fabric.backfiller(clock=clock, around=lambda log: LimitedLanes(log, clock, free_ms))
            work(backfiller, backfill.id, waiting, lambda: False, lambda _: None)
            done[number] = True

        return run

    for faults in (fabric.faults, fabric.reading):
        faults.rules.append(rule)
    started_ms = clocks[0].now_ms()
    turns.run(choose, *(job(number) for number in range(workers)))
    fabric.faults.heal()
    assert fabric.items(TARGET) == fabric.items(SOURCE)
    return (max(clock.now_ms() for clock in clocks) - started_ms) / 1000


def test_twice_the_workers_over_lanes_take_little_more_than_half_the_time() -> None:
    took = {workers: seconds_with(workers, lanes=16) for workers in (1, 2, 4, 8)}
    for workers in (1, 2, 4):
        assert took[workers] / took[2 * workers] >= 1.8, took


def test_lanes_are_what_scales_so_slices_of_one_lane_do_not_go_together() -> None:
    assert seconds_with(8, lanes=8, spread_out=False) > 1.5 * seconds_with(8, lanes=8)
