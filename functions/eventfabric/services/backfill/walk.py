"""Walk: verify what a log has of a lane, each record against the one before it, from gap to gap."""

from collections import deque

from eventfabric import limits
from eventfabric.errors import DivergenceError
from eventfabric.model import Lane, Record, SequenceNumber
from eventfabric.model.backfill import Seam
from eventfabric.ports import Log


class Walk:
    """One way through a lane up to `end`. `at`: everything from its start to there is verified.

    A caller that meets a gap and knows what is in it sets `at` to the gap's end, and goes on.
    """

    def __init__(self, log: Log, lane: Lane, start: Seam, end: SequenceNumber) -> None:
        self.position = start
        self._log = log
        self._lane = lane
        self._end = end
        self._last: SequenceNumber | None = None
        self._ahead: deque[Record] = deque()

    def step(self) -> SequenceNumber | None:
        """Go on by at most one page. Return the end of the gap that was met; None if the page or the lane ended first.

        Costs one read of a tail at first, then one read a page; none where the log has nothing. DivergenceError: a
        record does not extend the chain, or lies over another.
        """
        if self._last is None:
            # The tail spares all further reads if the log has nothing there, as an empty target.
            self._last = self._log.tail(self._lane, before=self._end).sequence
        if not self._ahead and self.position.sequence < self._last:
            page = self._log.read(
                self._lane, self.position.sequence, records_max=limits.PAGE_RECORDS_MAX, before=self._end
            )
            self._ahead.extend(page.records)
            if not self._ahead:  # the records have expired meanwhile
                self._last = self.position.sequence
        while self._ahead:
            record = self._ahead[0]
            if record.sequence > self.position.sequence:
                return record.sequence
            self._verify(record)
            self.position = Seam.of(record.tail)
            self._ahead.popleft()
        return self._end if self._last <= self.position.sequence < self._end else None

    def _verify(self, record: Record) -> None:
        """Verify a record against the one before it."""
        if record.sequence < self.position.sequence or record.tail.sequence > self._end:
            across = self.position.sequence if record.sequence < self.position.sequence else self._end
            raise DivergenceError(self._lane, record.sequence, f"lies across sequence {across}")
        if self.position.chain is not None and not record.extends(self.position.chain):
            raise DivergenceError(self._lane, record.sequence, "does not extend the chain before it")
