"""Quarantine: an operator sets aside an item that does not belong to its lane, on record, so that it can be examined.

Only an item that no reader could ever come to may be set aside: one far after the lane's end, one that cannot be
decoded, one that does not extend the record before it, or that lies over it. A record after a hole is not such an item:
there the missing records are to be restored.
"""

from collections.abc import Collection

from eventfabric import limits
from eventfabric.errors import LogError, QuarantineRefusedError, UndecodableRecordError
from eventfabric.model import (
    EMPTY_TAIL,
    DeclarationLane,
    Intervention,
    Lane,
    Record,
    Region,
    SchemaLane,
    SequenceNumber,
    Tail,
    operator_text,
)
from eventfabric.ports import Clock, Log
from eventfabric.services.lanes.lane_end import lane_end, tail_from
from eventfabric.services.lanes.splits import start_of
from eventfabric.services.lanes.standing import is_written_in
from eventfabric.wire.declaration import declaration_of
from eventfabric.wire.schema_record import index_of


class Quarantine:
    """Quarantine in the lanes of one log, in the Region that writes them: a removal there replicates to all others."""

    def __init__(self, log: Log, *, region: Region, clock: Clock, former: Collection[str] = ()) -> None:
        """`former`: Regions that the stream was in once."""
        self._former = former
        self._log = log
        self._region = region
        self._clock = clock

    def fault(self, lane: Lane, sequence: SequenceNumber) -> str:
        """Say what is wrong with the item at a place.

        QuarantineRefusedError: nothing is wrong, or nothing stands there, or it is to be mended in another way.
        """
        # No item is ever written by two Regions, not even to remove it.
        if not is_written_in(lane, self._region, self._former):
            raise QuarantineRefusedError(
                lane, sequence, f"lane {lane} is written in {lane.origin}: say --region"
            )
        newest = self._log.recent(lane, records_max=1, before=SequenceNumber(sequence + 1))
        # What cannot be decoded cannot be held against a chain either: that is fault enough.
        if sequence in newest.unreadable:
            return self._unreadable(lane, sequence)
        if sequence not in [record.sequence for record in newest.records]:
            raise QuarantineRefusedError(lane, sequence, "nothing stands there")
        start = start_of(self._log, lane) or EMPTY_TAIL
        end = lane_end(self._log, lane, now_ms=self._clock.now_ms(), start=start)
        if sequence in end.beyond and sequence - end.tail.sequence > limits.FAR_EVENTS:
            return f"stands far behind {end.tail.sequence}, where the lane ends"
        fault = self._fault(lane, sequence, start)
        if fault is None and isinstance(lane, DeclarationLane) and end.tail == newest.records[0].tail:
            fault = _undeclared(newest.records[0])
        if fault is None:
            raise QuarantineRefusedError(
                lane, sequence, "it continues the record before it: it is the lane's own"
            )
        return fault

    def set_aside(self, lane: Lane, sequence: SequenceNumber, *, by: str, reason: str) -> Intervention:
        """Move the item out of its lane. After an interruption it may be called again. Raises the errors of `fault`."""
        by, reason = operator_text("by", by), operator_text("reason", reason)
        fault = self.fault(lane, sequence)
        why = f"{fault}; {reason}" if reason else fault
        aside = Intervention(lane, sequence, by=by, reason=why, at_ms=self._clock.now_ms())
        self._log.set_aside(aside)
        return aside

    def _unreadable(self, lane: Lane, sequence: SequenceNumber) -> str:
        """Say why the item at a place cannot be decoded, whatever stands before it."""
        try:
            self._log.read(lane, sequence, records_max=1, before=SequenceNumber(sequence + 1))
        except LogError as error:
            return error.reason
        raise QuarantineRefusedError(lane, sequence, "nothing stands there any more")

    def _fault(self, lane: Lane, sequence: SequenceNumber, start: Tail) -> str | None:
        """Say what is wrong with a record by the one before it. None if it continues that."""
        (record,) = self._log.read(lane, sequence, records_max=1, before=SequenceNumber(sequence + 1)).records
        try:
            before = tail_from(self._log, lane, start, before=sequence)
        except LogError as error:
            raise QuarantineRefusedError(
                lane,
                sequence,
                f"the item before it, at {error.sequence}, cannot be read: set that aside first",
            ) from error
        if sequence < before.sequence:
            return f"lies over the record before it, which ends at {before.sequence}"
        # It may well be the lane's own: only what is missing before it could tell.
        if sequence > before.sequence:
            raise QuarantineRefusedError(
                lane,
                sequence,
                f"records are missing before it, from {before.sequence} on: put these back (lanes restore)",
            )
        return None if record.extends(before.chain) else "does not extend the record before it"


def _undeclared(record: Record) -> str | None:
    """Say why the end of a lane of declarations declares nothing. Whatever is declared next would take its place."""
    try:
        decode = index_of if isinstance(record.lane, SchemaLane) else declaration_of
        decode(record)
    except UndecodableRecordError as error:
        return error.reason
    return None
