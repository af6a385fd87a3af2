"""Request: check what is asked of a backfill against what there is. Every problem is named, with the facts about it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from eventfabric import limits
from eventfabric.errors import BackfillError, Problem
from eventfabric.model import EMPTY_TAIL, Lane, Region
from eventfabric.model.backfill import LaneRange
from eventfabric.ports import Log
from eventfabric.services.lanes.splits import may_have
from eventfabric.stream_topology import StreamTopology


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """The request of a backfill. No `ranges`: every lane. `rate`: events a second of all workers together."""

    stream: str
    source: str
    ranges: tuple[LaneRange, ...] = ()
    rate: float | None = None
    workers: int = 1
    slice_events: int | None = None


def ranges_of(texts: Iterable[str]) -> tuple[LaneRange, ...]:
    """Parse ranges as people write them (see LaneRange.parse). BackfillError that names all texts that are none."""
    ranges: list[LaneRange] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            ranges.append(LaneRange.parse(text))
        except ValueError:
            problems.append(Problem("lanes", repr(text), "LANE, LANE@START-END or LANE@START-"))
    if problems:
        raise BackfillError(problems)
    return tuple(ranges)


def problems_of(
    wanted: BackfillRequest,
    stream: StreamTopology,
    target: Region,
    *,
    is_elsewhere: bool,
    source_log: Callable[[], Log],
) -> Iterator[Problem]:
    """Yield everything that is wrong with a request. The source's log is read only if the rest is right."""
    problems = list(_of_settings(wanted))
    if wanted.source == target and not is_elsewhere:
        problems.append(Problem("source", f"{wanted.source}, which is the target too", "another Region"))
    if len(wanted.ranges) > limits.BACKFILL_RANGES_MAX:
        problems.append(
            Problem("ranges", f"{len(wanted.ranges):,}", f"at most {limits.BACKFILL_RANGES_MAX:,}")
        )
    problems += [
        _no_lane(range_.lane, stream) for range_ in wanted.ranges if not may_have(stream, range_.lane)
    ]
    problems += _overlaps(wanted.ranges)
    yield from problems
    if not problems:
        for range_ in wanted.ranges:
            yield from _of_range(range_, wanted.source, source_log())


def _of_settings(wanted: BackfillRequest) -> Iterator[Problem]:
    if wanted.rate is not None and not wanted.rate > 0:
        yield Problem("rate", f"{wanted.rate:g}", "more than 0 events a second")
    if not 1 <= wanted.workers <= limits.BACKFILL_WORKERS_MAX:
        yield Problem("workers", f"{wanted.workers}", f"1 to {limits.BACKFILL_WORKERS_MAX}")
    if wanted.slice_events is not None and wanted.slice_events < 1:
        yield Problem("slice_events", f"{wanted.slice_events}", "1 or more")


def _no_lane(lane: Lane, stream: StreamTopology) -> Problem:
    last = stream.definition.lanes - 1
    lanes = ", ".join(f"{origin}/0.0 to {origin}/0.{last}" for origin in stream.definition.regions)
    allowed = f"{lanes}, and those into which they were split"
    return Problem(f"lane {lane}", f"no lane of stream {stream.name}", allowed)


def _overlaps(ranges: tuple[LaneRange, ...]) -> Iterator[Problem]:
    # A slice is known by its lane and start. Two that overlap would be copied, and counted, twice.
    before: LaneRange | None = None
    for range_ in sorted(ranges, key=lambda range_: (range_.lane, range_.start)):
        if before and before.lane == range_.lane and (before.end is None or range_.start < before.end):
            yield Problem(f"range {range_}", f"overlaps {before}", "ranges that lie apart")
        before = range_


def _of_range(range_: LaneRange, source: str, log: Log) -> Iterator[Problem]:
    tail = log.tail(range_.lane)
    if tail == EMPTY_TAIL:
        yield Problem(f"lane {range_.lane}", f"no record of it in {source}", "a lane that the source has")
        return
    if range_.start == 0 and range_.end is None:
        return
    end = tail.sequence if range_.end is None else range_.end
    if not 0 <= range_.start < end <= tail.sequence:
        yield Problem(
            f"range {range_}",
            f"{source} has the lane up to {tail.sequence}",
            f"a start from 0 and an end after it, up to {tail.sequence}",
        )
        return
    # A range that holds nothing is most often a wrong number. It would end at once, and as complete.
    first = log.read(range_.lane, range_.start, records_max=1).records
    if not first or first[0].sequence >= end:
        begins = f"goes on at {first[0].sequence}" if first else f"ends at {tail.sequence}"
        yield Problem(
            f"range {range_}", f"no record begins in it in {source}, which {begins}", "one that has some"
        )
