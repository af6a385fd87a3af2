"""Restore: put one record of a lane back from a copy of its table, proven by the chain on both sides.

    log    [ 30 ]──[ 40 ]      ?         [ 52 ]──[ 60 ]     47 and 50 are lost, or are not what they were
    copy           [ 40 ]──[ 47 ]──[ 50 ]                   each continues the one before it, and 52 continues 50

A record's chain is computed over the chain before it, so anybody can make a record that continues another. But the
record after it was computed over *its* chain, and fits no other record. So the record after it decides. If all of those
are lost as well, a cursor or a mark of reconciliation decides that carries the chain there. A declaration at the end of
its lane may also be taken from another Region's replica, as reconciliation does where one is missing.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

from eventfabric import limits
from eventfabric.errors import LogError, RestoreRefusedError
from eventfabric.model import (
    EMPTY_TAIL,
    DeclarationLane,
    Intervention,
    InterventionKind,
    Lane,
    Record,
    Region,
    SequenceNumber,
    Tail,
    is_pin,
    operator_text,
)
from eventfabric.model.backfill import Seam
from eventfabric.ports import Clock, Log, Page
from eventfabric.services.lanes.lane_end import tail_from
from eventfabric.services.lanes.splits import start_of
from eventfabric.services.lanes.standing import is_written_in


class Copy(Protocol):
    """A copy of a stream's table: restored to a point in time, or exported. A Log is one."""

    def read(
        self, lane: Lane, start: SequenceNumber, *, records_max: int, before: SequenceNumber | None = None
    ) -> Page:
        """See `ports.Log.read`."""
        ...


KnownSeams = Callable[[Lane], Collection[Seam]]
"""Look-up of the places where cursors and reconciliation stood in a lane, each with its chain."""


@dataclass(frozen=True, slots=True)
class Restorable:
    """A record that is proven to belong in its place. `replaces`: what is wrong with the item there, if any is."""

    record: Record
    proof: str
    replaces: str = ""


class Restore:
    """Restores in the lanes of one log, in the Region that writes them: a record put there replicates to all others."""

    def __init__(
        self,
        log: Log,
        *,
        region: Region,
        copy: Copy,
        known_seams: KnownSeams,
        clock: Clock,
        copied_by: Region | None = None,
        former: Collection[str] = (),
    ) -> None:
        """`copied_by`: Region whose replica `copy` is. `former`: Regions that the stream was in once."""
        self._former = former
        self._copied_by = copied_by
        self._log = log
        self._region = region
        self._copy = copy
        self._known_seams = known_seams
        self._clock = clock

    def look(self, lane: Lane, sequence: SequenceNumber) -> Restorable:
        """Find the record in the copy, and prove that it was appended at that place. Changes nothing.

        RestoreRefusedError: it is there already, the copy does not have it, or the chain does not prove it.
        """
        try:
            return self._look(lane, sequence)
        except LogError as error:
            raise RestoreRefusedError(
                lane, sequence, f"{error.lane}@{error.sequence} cannot be read: {error.reason}"
            ) from error

    def restore(self, lane: Lane, sequence: SequenceNumber, *, by: str, reason: str) -> Restorable:
        """Put the record back, byte for byte, on record. After an interruption it may be called again.

        A wrong record is set aside first, and kept. Raises the errors of `look`.
        """
        by, reason = operator_text("by", by), operator_text("reason", reason)
        restorable = self.look(lane, sequence)
        now_ms = self._clock.now_ms()
        why = f"{restorable.proof}; {reason}" if reason else restorable.proof
        # Before the deed: however this is interrupted, no record stands there that nobody answers for.
        self._log.note(Intervention(lane, sequence, by, why, now_ms, InterventionKind.RESTORED))
        # The wrong record is evidence, so it is kept beside the lane.
        if restorable.replaces:
            why = f"{restorable.replaces}; the one restored stands in its place"
            self._log.set_aside(Intervention(lane, sequence, by, why, now_ms))
        standing = self._log.append(restorable.record)
        if standing is not None and not standing.holds(restorable.record):
            raise RestoreRefusedError(lane, sequence, "another record was written there meanwhile")
        return restorable

    def _look(self, lane: Lane, sequence: SequenceNumber) -> Restorable:
        """Find the record and its proof. Raises LogError if the log or the copy cannot be read."""
        if not is_written_in(lane, self._region, self._former):
            raise RestoreRefusedError(
                lane, sequence, f"lane {lane} is written in {lane.origin}: say --region"
            )
        before = tail_from(self._log, lane, start_of(self._log, lane) or EMPTY_TAIL, before=sequence)
        if before.sequence > sequence:
            raise RestoreRefusedError(
                lane, sequence, f"the record before it ends at {before.sequence}: none begins here"
            )
        earlier, run = self._of_copy(lane, sequence)
        record = run[0]
        present = self._present(lane, sequence)
        if isinstance(present, Record) and present.holds(record):
            raise RestoreRefusedError(lane, sequence, "it stands there, as it is in the copy")
        now_seconds = self._clock.now_ms() // 1000 + limits.EXPIRY_MARGIN_SECONDS
        if record.expires_at is not None and record.expires_at <= now_seconds:
            raise RestoreRefusedError(lane, sequence, "it has expired, or is about to")
        behind = self._following(lane, sequence)
        if isinstance(present, Record):
            _refuse_own(present, before, behind)
        proof = f"{_before(record, before, earlier)}, {self._proof(run, before, behind)}"
        return Restorable(record, proof, _fault(present, record))

    def _of_copy(self, lane: Lane, sequence: SequenceNumber) -> tuple[Record | None, list[Record]]:
        """Return the copy's record right before the place, and all its records that follow from there without a gap."""
        # The record before the place cannot begin earlier.
        start = max(0, sequence - limits.RECORD_EVENTS_MAX)
        earlier: Record | None = None
        run: list[Record] = []
        for record in self._records(lane, SequenceNumber(start)):
            if record.sequence < sequence:
                earlier = record if record.tail.sequence == sequence else None
            elif record.sequence == (run[-1].tail.sequence if run else sequence):
                run.append(record)
            else:
                break
        if not run:
            raise RestoreRefusedError(lane, sequence, "the copy has no record that begins there")
        return earlier, run

    def _records(self, lane: Lane, start: SequenceNumber) -> Iterator[Record]:
        """Yield the copy's records from a sequence on, but none that is far away."""
        end = start + limits.FAR_EVENTS
        while start < end:
            page = self._copy.read(
                lane, start, records_max=limits.PAGE_RECORDS_MAX, before=SequenceNumber(end)
            )
            yield from page.records
            if not page.records or not page.more:
                return
            start = SequenceNumber(page.records[-1].sequence + 1)

    def _present(self, lane: Lane, sequence: SequenceNumber) -> Record | str | None:
        """Return the record that stands there, or why it cannot be read."""
        try:
            return self._log.read(lane, sequence, records_max=1, before=SequenceNumber(sequence + 1)).first
        except LogError as error:
            return error.reason

    def _following(self, lane: Lane, sequence: SequenceNumber) -> Record | None:
        """Return the record that stands next in the log, unless that is far away."""
        record = self._log.read(lane, SequenceNumber(sequence + 1), records_max=1).first
        # A far item continues no lane, so it proves nothing of what stands before it.
        is_far = record is not None and record.sequence - sequence > limits.FAR_EVENTS
        return None if is_far else record

    def _proof(self, run: list[Record], before: Tail, behind: Record | None) -> str:
        """Say what binds the run's first record to what comes after. A skip before it was made for one record alone."""
        record = run[0]
        if _is_named_by_skip(record, before):
            return "which was skipped, and names it"
        known = {(later.sequence, later.chain) for later in self._known_seams(record.lane)}
        earlier: Record | None = None
        # Several records in a row may be lost. What stands after the copy's whole run proves all of them.
        for later in run:
            if earlier is not None and not later.extends(earlier.chain):
                raise RestoreRefusedError(
                    record.lane,
                    record.sequence,
                    f"in the copy, {later.sequence} does not continue what is before it",
                )
            if behind is not None and later.tail.sequence >= behind.sequence:
                return _bound(record, later, behind)
            if (later.tail.sequence, later.chain) in known:
                return f"a cursor, or reconciliation, stood at {later.tail.sequence} with the chain that leads there"
            earlier = later
        if behind is None and self._copied_by is not None and isinstance(record.lane, DeclarationLane):
            # No cursor confirms a declaration, and only this Region has ever written the lane that was replicated.
            return f"{self._copied_by} has it"
        raise RestoreRefusedError(record.lane, record.sequence, _nothing_binds(run[-1].tail.sequence, behind))


def _refuse_own(present: Record, before: Tail, behind: Record | None) -> None:
    """Refuse to replace a record that belongs in its place."""
    # A record published at a lane's end where others had been lost is good, whatever the copy has.
    if _is_good(present, before, behind):
        raise RestoreRefusedError(
            present.lane, present.sequence, "what stands there continues the lane: it is the lane's own"
        )
    if present.is_skip:
        raise RestoreRefusedError(
            present.lane,
            present.sequence,
            "it was skipped: cursors have passed it, and none would hand it out",
        )


def _is_named_by_skip(record: Record, before: Tail) -> bool:
    """Tell if a skip stands right before a record, and was made for it."""
    return is_pin(before.chain) and before.sequence == record.sequence and record.extends(before.chain)


def _bound(record: Record, last: Record, behind: Record) -> str:
    """Say that the log's next record continues the run, or refuse."""
    if last.tail.sequence > behind.sequence:
        reason = f"the copy's {last.sequence} lies over {behind.sequence}, which stands in the log"
    elif not behind.extends(last.chain):
        reason = f"the record at {behind.sequence} does not continue it: one of them is not what was appended"
    else:
        return f"{behind.sequence} continues it"
    raise RestoreRefusedError(record.lane, record.sequence, reason)


def _nothing_binds(end: SequenceNumber, behind: Record | None) -> str:
    """Say why nothing after the run proves it."""
    if behind is None:
        return f"nothing stands behind it, and no cursor was seen at {end} or before: nothing proves it"
    return f"the copy ends at {end}, and the next record stands at {behind.sequence}: nothing proves it"


def _before(record: Record, before: Tail, earlier: Record | None) -> str:
    """Say what binds a record to the one before it, in the log; if that is lost or wrong as well, in the copy."""
    is_next = before.sequence == record.sequence
    if is_next and record.extends(before.chain):
        return "continues the record before it" if record.sequence else "is the lane's first record"
    if earlier is not None and record.extends(earlier.chain):
        return f"continues {earlier.sequence}, which is {'another' if is_next else 'missing'} in the log"
    reason = (
        "it does not continue the record before it"
        if is_next or earlier is not None
        else f"nothing tells the chain before it: neither log nor copy has a record that ends at {record.sequence}"
    )
    raise RestoreRefusedError(record.lane, record.sequence, reason)


def _is_good(present: Record, before: Tail, behind: Record | None) -> bool:
    """Tell if the chain, as far as there is one, accepts a record as the lane's own."""
    if present.sequence != before.sequence or not present.extends(before.chain):
        return False
    return behind is None or (behind.sequence == present.tail.sequence and behind.extends(present.chain))


def _fault(present: Record | str | None, record: Record) -> str:
    """Say what is wrong with the item that stands in a record's place. Empty if there is none."""
    if present is None:
        return ""
    if isinstance(present, str):
        return f"cannot be read: {present}"
    named = [
        name
        for name in ("count", "chain", "batch_id", "time", "types", "payload", "note")
        if getattr(present, name) != getattr(record, name)
    ]
    return f"is not what was appended: another {' and '.join(named)}"
