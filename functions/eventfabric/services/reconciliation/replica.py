"""Replica: compare one lane of one Region's log with itself and with its origin's. Reads only what is new.

    mark: verified up to 40, chain c        records from 40 on, each extending the chain before        new mark

If the origin's record that ends there has the same chain, everything up to there is equal, by one comparison.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from eventfabric import limits
from eventfabric.errors import LogError, PortError
from eventfabric.model import (
    EMPTY_TAIL,
    UNKNOWN_CHAIN,
    Lane,
    Mark,
    Record,
    Region,
    SequenceNumber,
    StreamName,
    Tail,
    to_ms,
)
from eventfabric.model.finding import Finding, FindingKind
from eventfabric.ports import Clock, Log
from eventfabric.services.lanes.lane_end import LaneEnd, lane_end, tail_from
from eventfabric.services.reconciliation import pass_bounds
from eventfabric.services.reconciliation.copying import copy_records
from eventfabric.services.reconciliation.examined import Examined


class Replica:
    """One stream's lanes in one Region. `elsewhere`: returns other Regions' logs, which may have what is missing."""

    def __init__(
        self,
        stream: StreamName,
        region: Region,
        *,
        log: Log,
        elsewhere: Callable[[Region], Log],
        regions: Iterable[Region],
        expires: bool,
        now_ms: int,
        repairs: bool,
        clock: Clock,
        retention_seconds: int | None = None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_over`: tells if the time for verifying is over."""
        self._is_over = is_over
        self._starts: dict[Lane, Tail] = {}
        """Tails with which lanes begin that were split off from others."""
        self._unanswered: dict[Region, list[PortError]] = {}
        self._clock = clock
        self._pauses_left_seconds = limits.TORN_READ_PASS_SECONDS
        self._stream = stream
        self._region = region
        self._log = log
        self._elsewhere = elsewhere
        self._other_regions = [candidate for candidate in regions if candidate != region]
        self._expires = expires
        self._retention_seconds = retention_seconds
        self._now_ms = now_ms
        self._repairs = repairs

    def examine(self, lane: Lane, mark: Mark, *, full: bool = False, start: Tail = EMPTY_TAIL) -> Examined:
        """Verify what is new (`full`: everything), compare it with the origin, and copy what is missing if asked to.

        `start`: the tail with which the lane begins.
        """
        if start != EMPTY_TAIL:
            self._starts[lane] = start
        end = self._end(self._log, lane, mark)
        findings = [self._far(lane, end)] if end.beyond else []
        origin = self._at_origin(lane, mark) if lane.origin in self._other_regions else None
        if isinstance(origin, PortError):
            detail = f"{lane.origin}: {origin}"
            findings.append(self._finding(FindingKind.UNREACHABLE, lane, end.tail.sequence, detail))
            origin = None
        if end.place is not None:  # nothing is left before it with which the mark could be compared
            mark = replace(mark, sequence=end.tail.sequence, chain=end.tail.chain)
            full = False
        return self._examined(lane, mark, end.tail, origin, findings, full=full)

    def _start(self, lane: Lane) -> Tail:
        """Return the tail with which a lane begins."""
        return self._starts.get(lane, EMPTY_TAIL)

    def _at_origin(self, lane: Lane, mark: Mark) -> Tail | PortError:
        """Return the lane's end in its origin, or why that does not answer; it is asked a few times at most."""
        errors = self._unanswered.setdefault(lane.origin, [])
        if len(errors) >= pass_bounds.UNANSWERED_MAX:
            return errors[-1]
        try:
            return self._end(self._elsewhere(lane.origin), lane, mark).tail
        except PortError as error:
            errors.append(error)
            return error

    def _end(self, log: Log, lane: Lane, mark: Mark) -> LaneEnd:
        """Find where the lane ends in a log: after its newest record, or at its place if everything may have expired.

        An item that stands far after what was verified is not believed before it is looked at.
        """
        tail = tail_from(log, lane, self._start(lane))
        if tail.sequence - mark.sequence > limits.FAR_EVENTS:
            return self._far_end(log, lane, tail)
        if self._may_be_at_its_place(lane, tail, mark):
            place = log.place(lane)
            if place is not None and place.sequence > tail.sequence and self._may_have_expired(place):
                return LaneEnd(place, place=place)
        return LaneEnd(tail)

    def _far_end(self, log: Log, lane: Lane, tail: Tail) -> LaneEnd:
        """Find the end of a lane whose newest item stands far after what was verified."""
        end = lane_end(log, lane, now_ms=self._now_ms, start=self._start(lane))
        if not end.is_far:
            return LaneEnd(tail)
        # If everything but that item has expired, only the place is left of the lane.
        place = end.place if end.newest is None else None
        return LaneEnd(end.tail, beyond=end.beyond, place=place)

    def _may_be_at_its_place(self, lane: Lane, tail: Tail, mark: Mark) -> bool:
        """Tell if the lane may go on at its noted place, because nothing new is there and all else may have expired."""
        start = self._start(lane)
        is_empty = tail == start
        if is_empty and not self._expires and mark.sequence == start.sequence:
            return False  # most lanes of a small stream: nothing ever stood here, and no read is spent on it
        return tail.sequence <= mark.sequence and (is_empty or self._may_have_expired(tail))

    def _may_have_expired(self, tail: Tail) -> bool:
        """Tell if a record may have expired, by its own expiry: the retention may have been another at its append."""
        expires_ms = 1000 * (tail.expires_at or 0)
        if tail.expires_at is None:
            if self._retention_seconds is None:
                return False
            expires_ms = to_ms(tail.time) + 1000 * self._retention_seconds
        return expires_ms <= self._now_ms + 1000 * limits.EXPIRY_MARGIN_SECONDS

    def _far(self, lane: Lane, end: LaneEnd) -> Finding:
        """Report items that stand far after the lane's end."""
        detail = (
            f"{len(end.beyond)} items stand far behind {end.tail.sequence}, where the lane ends: nothing leads to "
            "them (eventfabric lanes quarantine)"
        )
        return self._finding(FindingKind.FAR_TAIL, lane, end.beyond[0], detail)

    def _examined(
        self, lane: Lane, mark: Mark, tail: Tail, origin: Tail | None, findings: list[Finding], *, full: bool
    ) -> Examined:
        """Verify a lane up to a tail, and compare it with its origin."""
        if tail.sequence < mark.sequence:
            return self._without_end(lane, mark, tail, origin, findings, full=full)
        begun = mark.up_to(self._start(lane)) if full else mark
        verified, wrong = self._verify_patiently(lane, begun, tail)
        if wrong is None and verified.sequence < tail.sequence and self._is_over():
            return self._cut_off(mark, begun.up_to(verified), tail, findings)
        mark = begun
        wrong = wrong or self._other_chain(lane, verified, tail)
        if wrong is not None:
            return Examined(mark.up_to(verified), tail, (*findings, wrong))
        # Equal chains prove all records before them equal, by one comparison: no record of the origin is read.
        if verified.sequence == tail.sequence and (origin is None or origin.is_of_same_log(verified)):
            return self._nothing_missing(lane, mark, verified, tail, findings, answered=origin is not None)
        missing = self._missing(lane, mark, verified, tail, origin)
        if missing is None:
            return Examined(mark.up_to(verified), tail, tuple(findings))
        return self._stuck(missing, mark, verified, tail, origin, findings)

    def _cut_off(self, mark: Mark, reached: Mark, tail: Tail, findings: list[Finding]) -> Examined:
        """Return the result for a lane of which the time did not suffice to verify all."""
        # Publishers go by the mark as well, so it does not fall behind what was verified before.
        kept = max(mark, reached, key=lambda candidate: candidate.sequence)
        return Examined(kept, tail, tuple(findings), is_cut_off=True)

    def _without_end(
        self, lane: Lane, mark: Mark, tail: Tail, origin: Tail | None, findings: list[Finding], *, full: bool
    ) -> Examined:
        """Return the result for a lane of which records at its end were verified, and are lost."""
        detail = f"verified up to {mark.sequence}, but the log ends at {tail.sequence}"
        hole = self._finding(FindingKind.HOLE, lane, tail.sequence, detail)
        lost = self._mended(hole, tail, mark.sequence)
        if full and lost.is_repaired:  # more than the end may have been lost
            tail = tail_from(self._log, lane, self._start(lane))
            if tail.sequence >= mark.sequence:
                return self._examined(lane, mark, tail, origin, [*findings, lost], full=True)
        # It was not read, so it carries no expiry, and no place is noted by it.
        known = Tail(mark.sequence, mark.chain, tail.time)
        return Examined(mark, known, (*findings, lost))

    def _other_chain(self, lane: Lane, verified: Tail, tail: Tail) -> Finding | None:
        """Report a last record whose chain is not the one that was verified."""
        if verified.sequence != tail.sequence or verified.chain == tail.chain:
            return None
        detail = "the last record's chain is not what was verified"
        return self._finding(FindingKind.DIVERGENCE, lane, tail.sequence, detail)

    def _missing(
        self, lane: Lane, mark: Mark, verified: Tail, tail: Tail, origin: Tail | None
    ) -> Finding | None:
        """Report what is missing from a lane that is broken, or is not equal to its origin's."""
        if verified.sequence < tail.sequence:
            return self._gap(lane, mark, verified, f"records stand behind it, up to {tail.sequence}")
        assert origin is not None, "a whole lane lacks only what its origin has"
        if origin.sequence > verified.sequence:
            return self._compared(lane, verified) or self._behind(lane, mark, verified, origin)
        return self._origin_lost(lane, origin)

    def _stuck(
        self,
        missing: Finding,
        mark: Mark,
        verified: Tail,
        tail: Tail,
        origin: Tail | None,
        findings: list[Finding],
    ) -> Examined:
        """Return the result for a lane that lacks something: since when it stands there, and if that was mended."""
        is_known = mark.since_ms and mark.end == verified.sequence
        since_ms = mark.since_ms if is_known else self._now_ms
        marked = replace(mark.up_to(verified), end=verified.sequence, since_ms=since_ms)
        # A lane with a gap is mended up to what stands behind that; a whole one up to its origin's end.
        end = origin.sequence if origin is not None and verified.sequence == tail.sequence else tail.sequence
        mended = self._mended(missing, verified, end)
        if mended.is_repaired and missing.kind is FindingKind.REPLICATION_STALL:
            marked = replace(marked, end=end)  # the stall goes on until something comes that was not copied
        return Examined(marked, tail, (*findings, mended))

    def _nothing_missing(
        self, lane: Lane, mark: Mark, verified: Tail, tail: Tail, findings: list[Finding], *, answered: bool
    ) -> Examined:
        """Return the result for a lane that lacks nothing known. An earlier stall is over once something has come."""
        marked = mark.up_to(verified)
        nothing_came = lane.origin != self._region and mark.since_ms and mark.end == verified.sequence
        if nothing_came and self._stuck_seconds(mark) >= limits.STALL_SECONDS:
            detail = (
                "nothing has come by replication since it stalled; what is known to be missing was copied"
            )
            silent = self._finding(FindingKind.REPLICATION_SILENT, lane, verified.sequence, detail)
            return Examined(marked, tail, (*findings, silent))
        if nothing_came and not answered:
            return Examined(marked, tail, tuple(findings))
        return Examined(replace(marked, end=EMPTY_TAIL.sequence, since_ms=0), tail, tuple(findings))

    def _verify_patiently(self, lane: Lane, mark: Mark, tail: Tail) -> tuple[Tail, Finding | None]:
        """Verify a lane. In its origin, where a missing record is a hole at once, read again before that is reported.

        A read may show the second record of a transaction before the first.
        """
        verified, wrong = self._verify(lane, mark, tail)
        for pause_seconds in limits.TORN_READ_PAUSES_SECONDS if lane.origin == self._region else ():
            if wrong is not None or verified.sequence >= tail.sequence or self._is_over():
                break
            if self._pauses_left_seconds >= pause_seconds:
                self._pauses_left_seconds -= pause_seconds
                self._clock.sleep(pause_seconds)
                verified, wrong = self._verify(lane, mark.up_to(verified), tail)
        return verified, wrong

    def _verify(self, lane: Lane, mark: Mark, tail: Tail) -> tuple[Tail, Finding | None]:
        """Return the end of the unbroken, verified run, and the finding that ended it, if a record did."""
        verified, last_read = Tail(mark.sequence, mark.chain, tail.time), None
        try:
            for record in self._records(lane, mark.sequence, tail):
                if record.sequence > verified.sequence:
                    if not self._may_be_gone(lane, verified, last_read):
                        return verified, None
                    head = self.kept_at_origin(lane, verified.sequence, record.sequence)
                    if head is not None:
                        return self._before(lane, head, tail), None
                    # The records before it have expired, so nothing tells the chain.
                    verified = last_read = record.tail
                    continue
                wrong = None
                if record.sequence < verified.sequence:
                    wrong = f"overlaps the record before sequence {verified.sequence}"
                elif not record.extends(verified.chain):
                    wrong = "does not extend the chain of the record before it"
                if wrong:
                    return verified, self._finding(FindingKind.DIVERGENCE, lane, record.sequence, wrong)
                verified = last_read = record.tail
        except LogError as error:
            return verified, self._finding(FindingKind.DIVERGENCE, lane, verified.sequence, str(error))
        return verified, None

    def _may_be_gone(self, lane: Lane, verified: Tail, last_read: Tail | None) -> bool:
        """Tell if the records after one may have expired, which they do in no order."""
        start = self._start(lane)
        if not self._expires or verified.sequence == start.sequence:
            return self._expires
        before = last_read or tail_from(self._log, lane, start, before=verified.sequence)
        return before == start or self._may_have_expired(before)

    def kept_at_origin(self, lane: Lane, start: SequenceNumber, before: SequenceNumber) -> Record | None:
        """Return the first record from `start` on and before a sequence that the origin, another Region, has and keeps.

        None also if the origin does not answer: it counts as having none, until a pass finds otherwise.
        """
        if lane.origin == self._region:
            return None
        try:
            head = self._elsewhere(lane.origin).read(lane, start, records_max=1, before=before).first
        except (PortError, LogError):
            return None
        expires_ms = 0 if head is None else 1000 * (head.expires_at or 0)
        return head if expires_ms > self._now_ms else None

    def _before(self, lane: Lane, head: Record, tail: Tail) -> Tail:
        """Return where a lane goes on with a record that may be the first one kept."""
        start = self._start(lane)
        is_first = head.sequence == start.sequence
        return Tail(head.sequence, start.chain if is_first else UNKNOWN_CHAIN, tail.time)

    def _records(self, lane: Lane, start: SequenceNumber, tail: Tail) -> Iterator[Record]:
        """Yield the records from a sequence on, up to a tail."""
        while start < tail.sequence and not self._is_over():
            page = self._log.read(lane, start, records_max=limits.PAGE_RECORDS_MAX)
            yield from (record for record in page.records if record.sequence < tail.sequence)
            if not page.records or not page.more:
                return
            start = SequenceNumber(page.records[-1].sequence + 1)

    def _gap(self, lane: Lane, mark: Mark, verified: Tail, detail: str) -> Finding:
        """Report a missing record: it is late; or, after the settle time and in the origin at once, it is a hole."""
        settled = mark.end == verified.sequence and self._stuck_seconds(mark) >= limits.SETTLE_SECONDS
        kind = FindingKind.HOLE if settled or lane.origin == self._region else FindingKind.REPLICATION_DELAY
        return self._finding(kind, lane, verified.sequence, detail)

    def _behind(self, lane: Lane, mark: Mark, verified: Tail, origin: Tail) -> Finding:
        """Report a lane that is behind its origin: late, or after some time stalled."""
        stalled = mark.end == verified.sequence and self._stuck_seconds(mark) >= limits.STALL_SECONDS
        kind = FindingKind.REPLICATION_STALL if stalled else FindingKind.REPLICATION_DELAY
        return self._finding(
            kind,
            lane,
            verified.sequence,
            f"{origin.sequence - verified.sequence} events behind {lane.origin}",
        )

    def _compared(self, lane: Lane, verified: Tail) -> Finding | None:
        """Report a divergence, if the origin does not have the same records up to here."""
        start = self._start(lane)
        theirs = tail_from(self._elsewhere(lane.origin), lane, start, before=verified.sequence)
        if verified.is_of_same_log(theirs):
            return None
        if verified.sequence == start.sequence:
            return None
        # A deletion by expiry takes time to replicate: the record may be gone there and still be here.
        is_gone = self._expires and theirs.sequence < verified.sequence
        if is_gone and (theirs == start or self._may_have_expired(theirs)):
            return None
        return self._finding(
            FindingKind.DIVERGENCE, lane, verified.sequence, f"{lane.origin} has another record before it"
        )

    def _origin_lost(self, lane: Lane, origin: Tail) -> Finding | None:
        """Report a divergence if the origin has other records. If it only has less, its own pass finds that hole."""
        start = self._start(lane)
        ours = tail_from(self._log, lane, start, before=origin.sequence)
        if origin == start or ours.is_of_same_log(origin):
            return None
        return self._finding(
            FindingKind.DIVERGENCE, lane, origin.sequence, f"{lane.origin} has another record before it"
        )

    def _mended(self, finding: Finding, verified: Tail, end: SequenceNumber) -> Finding:
        """Return the finding, repaired by copying what is missing, if that is wanted and some Region has it."""
        if not self._repairs or finding.kind not in (FindingKind.HOLE, FindingKind.REPLICATION_STALL):
            return finding
        # The origin first: others may lack what was never replicated from it.
        for source in sorted(self._other_regions, key=lambda region: region != finding.lane.origin):
            try:
                if copy_records(finding.lane, self._elsewhere(source), self._log, verified, end):
                    return replace(
                        finding, is_repaired=True, detail=f"{finding.detail}; copied from {source}"
                    )
            except (PortError, LogError):
                continue
        if finding.kind is not FindingKind.HOLE:
            return finding
        return replace(finding, detail=f"{finding.detail}; no Region gave it (eventfabric lanes restore)")

    def _stuck_seconds(self, mark: Mark) -> float:
        """Return for how long the lane has stood where it stands."""
        return (self._now_ms - mark.since_ms) / 1000 if mark.since_ms else 0.0

    def _finding(self, kind: FindingKind, lane: Lane, sequence: SequenceNumber, detail: str) -> Finding:
        """Make a finding, with the cure for a divergence."""
        cure = " (eventfabric lanes restore)" if kind is FindingKind.DIVERGENCE else ""
        return Finding(kind, self._stream, lane, self._region, sequence, detail + cure)
