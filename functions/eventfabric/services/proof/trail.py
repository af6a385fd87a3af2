"""Trail: the log of one lane from the oldest record that is kept, each record verified against the one before it.

    expired         [ a ][ b ][ c ][ d ]
                     │    └── its chain is computed over that of a, and so on: all of it is bound together
                     └─────── nothing tells the chain before it: taken as it is, and all later records are bound to it

It reads a page at a time and keeps none. Unlike Walk, it also reads after the start of the last record, so that it
meets a record that somebody put between two others.
"""

from collections.abc import Iterator

from eventfabric import limits
from eventfabric.errors import DivergenceError, MissingRecordError
from eventfabric.model import EMPTY_TAIL, HybridTime, Lane, Record, SequenceNumber, Tail, to_ms
from eventfabric.model.backfill import Seam
from eventfabric.ports import Log


class Trail:
    """One way through a lane. `at`: the seam after the last record, `before`: the seam before that record.

    `first`: the sequence from which on everything is bound together: the lane's beginning, or the end of the oldest
    record that is kept. If the last record is that oldest one, the chain of `before` is unknown.
    """

    def __init__(self, log: Log, lane: Lane, *, expired_ms: int | None, start: Tail = EMPTY_TAIL) -> None:
        """`start`: the tail with which the lane begins. `expired_ms`: records appended then or before may have expired;
        None: none has.
        """
        self.position = self.before = Seam.of(start)
        self.first = start.sequence
        self._log = log
        self._lane = lane
        self._expired_ms = expired_ms
        self._read_to = start.sequence
        self._time: HybridTime | None = None

    def walk(self, end: SequenceNumber) -> Iterator[Record]:
        """Yield the records that begin before `end`, from where an earlier walk ended. One read a page.

        MissingRecordError, DivergenceError, UndecodableRecordError: at the first record that is not as it must be.
        """
        while True:
            page = self._log.read(self._lane, self._read_to, records_max=limits.PAGE_RECORDS_MAX, before=end)
            for record in page.records:
                # Not to the end of the record, or one that somebody put within it would not be met.
                self._read_to = SequenceNumber(record.sequence + 1)
                self._step(record)
                yield record
            if not page.more or not page.records:
                return

    @property
    def may_have_expired(self) -> bool:
        """Tell if records after the last one may have expired: only if the last one, being older, may have too."""
        return self._expired_ms is not None and (self._time is None or to_ms(self._time) <= self._expired_ms)

    def _step(self, record: Record) -> None:
        """Verify a record against the one before it."""
        if record.sequence < self.position.sequence:
            raise DivergenceError(
                self._lane,
                record.sequence,
                f"lies over the record before it, which ends at {self.position.sequence}",
            )
        if record.sequence > self.position.sequence:
            if not self.may_have_expired:
                raise MissingRecordError(
                    self._lane, self.position.sequence, f"missing; the next one stands at {record.sequence}"
                )
            # Nothing tells the chain of the expired records.
            self.position = Seam(record.sequence, None)
        self.before = self.position
        if self.before.chain is None:
            self.first = record.tail.sequence
        elif not record.extends(self.before.chain):
            raise DivergenceError(
                self._lane,
                record.sequence,
                "does not extend the record before it: one of them is not what was appended, or one is missing",
            )
        self.position, self._time = Seam.of(record.tail), record.time
