"""Trail: the log of one lane from the oldest record that is kept, each record verified against the one before it.

    expired         [ a ][ b ][ c ][ d ]
                     │    └── its chain is computed over that of a, and so on: all of it is bound together
                     └─────── nothing tells the chain before it: taken as it is, and everything behind is bound to it

Reads a page at a time and keeps none. Unlike Walk, it reads behind the start of the last record, so that a record that
somebody put between two others is met as well.
"""

from collections.abc import Iterator

from eventfabric import limits
from eventfabric.errors import DivergenceError, MissingRecordError
from eventfabric.model.hybrid_clock import to_ms
from eventfabric.model.identity import HybridTime, Lane, Sequence
from eventfabric.model.record import EMPTY_TAIL, Record
from eventfabric.model.slice import Seam
from eventfabric.ports import Log


class Trail:
    """One way through a lane. `at`: the seam behind the last record, `before`: the one before it.

    `first`: from there on everything is bound together: 0, or the end of the oldest record that is kept. The chain of
    `before` is unknown where that record is the oldest.
    """

    def __init__(self, log: Log, lane: Lane, *, expired_ms: int | None) -> None:
        """`expired_ms`: what was appended then or before may have expired; None: nothing does."""
        self.at = self.before = Seam.of(EMPTY_TAIL)
        self.first = EMPTY_TAIL.sequence
        self._log = log
        self._lane = lane
        self._expired_ms = expired_ms
        self._read_to = EMPTY_TAIL.sequence
        self._time: HybridTime | None = None

    def walk(self, end: Sequence) -> Iterator[Record]:
        """The records that begin before `end`, from where an earlier walk ended; one read a page.

        MissingRecordError, DivergenceError, UndecodableRecordError: at the first record that is not as it must be.
        """
        while True:
            page = self._log.read(self._lane, self._read_to, records_max=limits.PAGE_RECORDS_MAX, before=end)
            for record in page.records:
                self._read_to = Sequence(record.sequence + 1)
                self._step(record)
                yield record
            if not page.more or not page.records:
                return

    @property
    def may_have_expired(self) -> bool:
        """Whether what follows the last record may have: then that may have too, for it is older."""
        return self._expired_ms is not None and (self._time is None or to_ms(self._time) <= self._expired_ms)

    def _step(self, record: Record) -> None:
        if record.sequence < self.at.sequence:
            raise DivergenceError(
                self._lane,
                record.sequence,
                f"lies over the record before it, which ends at {self.at.sequence}",
            )
        if record.sequence > self.at.sequence:
            if not self.may_have_expired:
                raise MissingRecordError(
                    self._lane, self.at.sequence, f"missing; the next one stands at {record.sequence}"
                )
            self.at = Seam(record.sequence, None)
        self.before = self.at
        if self.before.chain is None:
            self.first = record.tail.sequence
        elif not record.extends(self.before.chain):
            raise DivergenceError(
                self._lane, record.sequence,
                "does not extend the record before it: one of them is not what was appended, or one is missing",
            )  # fmt: skip
        self.at, self._time = Seam.of(record.tail), record.time
