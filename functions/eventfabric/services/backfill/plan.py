"""Plan: find what the target lacks of a lane, and cut that into slices. Reads both logs, and writes nothing.

    source   ├──────────────────────────────────────────────┤ tail
    target   ├────────────┤      ├──┤   ├──────────┤
    walked     verified     gap   ok gap  verified     gap
    slices                 [────────────]          [───][───]

An empty target is not read at all, and the source is read only where slices end. A target that has records is read
once. Each record is verified against the one before it, and its chain is compared with the source's before each gap and
at the end.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from eventfabric import limits
from eventfabric.errors import DivergenceError, LogError
from eventfabric.model import (
    EMPTY_TAIL,
    DeclarationLane,
    Lane,
    Region,
    SequenceNumber,
    StreamName,
    Tail,
    tail_behind,
)
from eventfabric.model.backfill import LaneRange, Seam, Slice, SliceProgress
from eventfabric.ports import Clock, Log
from eventfabric.services.backfill.walk import Walk
from eventfabric.services.catalogue.regions import with_former
from eventfabric.services.lanes.lane_end import believed_tail, tail_from
from eventfabric.services.lanes.splits import start_of
from eventfabric.services.lanes.standing import declaration_lanes_of
from eventfabric.stream_topology import StreamTopology

_LACKS = "the source lacks it"


class Planner:
    """Finder of what one log lacks of another."""

    def __init__(
        self,
        stream: StreamName,
        source: Region,
        target: Region,
        *,
        source_log: Log,
        target_log: Log,
        clock: Clock,
        slice_events: int | None = None,
        looks_at_source: bool = False,
    ) -> None:
        """`looks_at_source`: also read the source wherever records are to be copied from it, and say what it lacks."""
        self._copied = stream, source, target
        self._source = source_log
        self._target = target_log
        self._clock = clock
        self._slice_events = slice_events
        self._looks_at_source = looks_at_source
        self._ends: dict[Lane, Tail] = {}
        self._starts: dict[Lane, Tail] = {}
        """Tails with which lanes begin that were split off, as far as their parents were looked at."""

    def declaration_lanes(self, stream: StreamTopology) -> list[DeclarationLane]:
        """List the lanes beside the stream that either log can have, also of Regions that it was in once."""
        return declaration_lanes_of(with_former(with_former(stream, self._source), self._target))

    def children(self, lane: Lane) -> tuple[Lane, ...]:
        """Return the lanes into which the source's was split; none: it was not. No read if it is planned. LogError."""
        tail = self._ends.get(lane) or self._source.tail(lane)
        if not tail.is_sealed:
            return ()
        self._starts |= dict.fromkeys(lane.children, tail_behind(tail))
        return lane.children

    def _begin(self, lane: Lane) -> Tail:
        """Return the tail with which a lane begins."""
        if lane not in self._starts:
            self._starts[lane] = start_of(self._source, lane) or EMPTY_TAIL
        return self._starts[lane]

    def plan(self, wanted: LaneRange) -> Iterator[SliceProgress | Seam]:
        """Yield the slices that the target lacks of a range, in order; between them, how far the range was searched.

        A slice with a `failure` covers what is not as the source has it: a worker will find the same.
        """
        lane = wanted.lane
        end: Seam | None = None
        try:
            end = Seam.of(self._tail(wanted))
            start = self._start(wanted, end)
        except LogError as error:
            # If the source's end cannot be read, no worker will get past the record there.
            end = end or Seam(SequenceNumber(max(wanted.start, error.sequence) + 1), None)
            yield self._progress(lane, self._seam(lane, wanted.start), end, failure=str(error))
            return
        if start.sequence >= end.sequence:
            return
        # More slices of one lane would gain little: it is one partition of the table, with one write limit.
        share = -(-(end.sequence - start.sequence) // limits.BACKFILL_LANE_SLICES)
        slice_events = self._slice_events or max(limits.BACKFILL_SLICE_EVENTS, share)
        yield from _joined(self._walk(lane, start, end, slice_events), slice_events)

    def _tail(self, wanted: LaneRange) -> Tail:
        """Return where the source's records of a range end."""
        if wanted.end is not None:
            return tail_from(self._source, wanted.lane, self._begin(wanted.lane), before=wanted.end)
        start, now_ms = self._begin(wanted.lane), self._clock.now_ms()
        tail = believed_tail(self._source, wanted.lane, past=start.sequence, now_ms=now_ms, start=start)
        self._ends[wanted.lane] = tail
        return tail

    def _seam(self, lane: Lane, sequence: SequenceNumber) -> Seam:
        """Return the seam at a sequence; if it is in the middle of a record, the seam where that ends."""
        begin = self._begin(lane)
        if sequence <= begin.sequence:
            return Seam.of(begin)
        # Either log may lack the record that ends there.
        for log in (self._source, self._target):
            try:
                seam = Seam.of(log.tail(lane, before=sequence))
            except LogError:
                continue
            if seam.sequence >= sequence:
                return seam
        return Seam(sequence, None)

    def _start(self, wanted: LaneRange, end: Seam) -> Seam:
        """Return the seam at the source's first record of the range that is not about to expire."""
        start, count = max(wanted.start, self._begin(wanted.lane).sequence), 1
        now_seconds = self._clock.now_ms() // 1000
        while start < end.sequence:
            page = self._source.read(wanted.lane, start, records_max=count)
            for record in page.records:
                if record.expires_at is None or record.expires_at > now_seconds:
                    return self._seam(wanted.lane, record.sequence)
                start = record.tail.sequence
            if not page.more:
                break
            # The first record is usually kept, so a whole page is read only if it is not.
            count = limits.PAGE_RECORDS_MAX
        return end

    def _walk(self, lane: Lane, start: Seam, end: Seam, slice_events: int) -> Iterator[SliceProgress | Seam]:
        """Yield the slices of a range, and between them how far the target was walked."""
        walk, agreed = Walk(self._target, lane, start, end.sequence), start
        try:
            while walk.position.sequence < end.sequence:
                gap_end = walk.step()
                if gap_end is None:
                    yield walk.position
                    continue
                self._compare(lane, walk.position)
                behind = end if gap_end == end.sequence else Seam.of(self._source.tail(lane, before=gap_end))
                # The source lacks the record that ends there, so nothing tells the chain.
                if behind.sequence != gap_end:
                    behind = Seam(gap_end, None)
                yield from self._cut(lane, walk.position, behind, slice_events)
                walk.position = agreed = behind
            if not walk.position.agrees(end):
                raise _differ(lane, end.sequence)
        except LogError as error:
            yield self._progress(lane, agreed, end, failure=str(error))

    def _compare(self, lane: Lane, position: Seam) -> None:
        """Raise DivergenceError if the target has something else before a gap than the source."""
        if position.sequence > self._begin(lane).sequence:
            # One header compares all that the target has: a chain is computed over everything before it.
            theirs = Seam.of(self._source.tail(lane, before=position.sequence))
            if theirs.sequence >= position.sequence and not theirs.agrees(position):
                raise _differ(lane, position.sequence)

    def _cut(self, lane: Lane, start: Seam, end: Seam, slice_events: int) -> Iterator[SliceProgress]:
        """Cut a gap into slices, at seams of the source."""
        while end.sequence - start.sequence > slice_events:
            cut = Seam.of(self._source.tail(lane, before=SequenceNumber(start.sequence + slice_events)))
            # The source has no seam in between: one slice takes the rest.
            if not start.sequence < cut.sequence < end.sequence:
                break
            yield self._gap(lane, start, cut)
            start = cut
        yield self._gap(lane, start, end)

    def _gap(self, lane: Lane, start: Seam, end: Seam) -> SliceProgress:
        """Make a slice that the target lacks as a whole."""
        missing = end.sequence - start.sequence
        if not self._looks_at_source:
            return self._progress(lane, start, end, missing=missing)
        kept, failure = self._kept(lane, start, end.sequence)
        return self._progress(lane, start, end, missing=kept - start.sequence, failure=failure)

    def _kept(self, lane: Lane, start: Seam, end: SequenceNumber) -> tuple[SequenceNumber, str]:
        """Return how far the source has a stretch, which is as far as a worker gets, and why no further."""
        walk = Walk(self._source, lane, start, end)
        try:
            while walk.position.sequence < end:
                gap_end = walk.step()
                if gap_end is not None:
                    sequence = walk.position.sequence
                    return (
                        sequence,
                        f"{_LACKS} from {sequence} to {gap_end} as well (eventfabric lanes restore)",
                    )
        except LogError as error:
            return walk.position.sequence, str(error)
        return end, ""

    def _progress(
        self, lane: Lane, start: Seam, end: Seam, *, missing: int = 0, failure: str = ""
    ) -> SliceProgress:
        stream, source, target = self._copied
        return SliceProgress(Slice(stream, lane, start, end, source, target), start, missing, failure=failure)


def _differ(lane: Lane, sequence: int) -> DivergenceError:
    return DivergenceError(lane, sequence, "source and target have other records before it, by their chains")


def _joined(planned: Iterable[SliceProgress | Seam], slice_events: int) -> Iterator[SliceProgress | Seam]:
    """Join gaps that one page of the target showed into one slice: a replica may lack every other record."""
    held: SliceProgress | None = None
    for part in planned:
        if isinstance(part, Seam):
            yield from _if_any(held)
            held = None
            yield part
        elif held and _goes_on(part) and part.slice.end.sequence - held.slice.start.sequence <= slice_events:
            held = replace(
                held,
                slice=replace(held.slice, end=part.slice.end),
                missing=held.missing + (0 if held.failure else part.missing),
                failure=held.failure or part.failure,
            )
        else:
            yield from _if_any(held)
            held = part
    yield from _if_any(held)


def _if_any(held: SliceProgress | None) -> Iterator[SliceProgress]:
    if held:
        yield held


def _goes_on(part: SliceProgress) -> bool:
    """Tell if a worker can begin a slice. Records that the source lacks show only while it is copied."""
    return not part.failure or part.failure.startswith(_LACKS)
