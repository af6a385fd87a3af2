"""Transactions of a producer: what it writes and publishes together happens once, all of it, or not at all."""

from collections.abc import Callable, Iterator
from typing import Self, Unpack

from eventfabric.errors import (
    EventFabricError,
    InvalidEventError,
    Problem,
    SealedLaneError,
    StreamChangedError,
)
from eventfabric.model import Batch, BatchId, EventFields, Lane, Record
from eventfabric.ports import Log
from eventfabric.sdk.bundle import Receipt, receipt
from eventfabric.sdk.delivery import Transaction
from eventfabric.sdk.encoded import Encoded
from eventfabric.sdk.outgoing import Outgoing
from eventfabric.services.publishing.once import MakeAppend, StandsAlready, append_once
from eventfabric.services.publishing.outbox import OutboxAppend
from eventfabric.services.publishing.posted_tails import Posting
from eventfabric.wire.batch import Part, batch_of_rows
from eventfabric.wire.outbox_request import check_transaction
from eventfabric.wire.transaction_bounds import check_count


class _NumberedPart(Part):
    """Events of one record, each with its number in the transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []


class OutboxTransaction(Transaction):
    """DynamoDB writes and events that become durable together; a context manager that commits at its end.

        with fabric.transaction() as transaction:
            transaction.put("orders", {"id": "A-1"}, condition="attribute_not_exists(id)")
            transaction.publish("orders", key="customer-17", type="OrderPlaced", data={"order": "A-1"})

    If the block raises, nothing is written. At most 100 actions and 4 MB in all: a write is one action, and each lane
    that gets events needs one for every 1,000 events, 256 KiB or 100 types of them.
    """

    def __init__(
        self, outgoing_of: Callable[[str], Outgoing], log_of: Callable[[Outgoing], Log], append: MakeAppend
    ) -> None:
        super().__init__()
        self._outgoing_of = outgoing_of
        self._log_of = log_of
        self._make_append = append
        self._outgoing: dict[str, Outgoing] = {}
        self._encoded: list[tuple[str, Encoded]] = []
        self._parts: dict[tuple[str, Lane], list[_NumberedPart]] = {}
        self._records_count = 0
        self._append: OutboxAppend | None = None
        self.receipts: list[Receipt] = []
        """Receipts after the commit, one for each event, in the order of publishing."""

    def publish(self, stream: str, **event: Unpack[EventFields]) -> None:
        """Publish an event with the commit. Arguments as `Event`.

        InvalidEventError; NoTransactionsError if the stream's durability is "quorum"; TransactionTooLargeError if the
        transaction can hold no further record: the event is then not part of the transaction.
        """
        if self.ended:
            raise EventFabricError("the transaction has ended: publish inside its with block")
        outgoing = self._outgoing_of(stream)
        outgoing.stream.check_transactions("a transaction")
        encoded = outgoing.encode(event)
        self._outgoing.setdefault(stream, outgoing)
        self._plan(stream, encoded, len(self._encoded))
        self._encoded.append((stream, encoded))

    def _plan(self, stream: str, encoded: Encoded, number: int) -> None:
        """Give an event its place in a record. TransactionTooLargeError."""
        parts = self._parts.setdefault((stream, self._outgoing[stream].lane_of(encoded)), [])
        if not parts or not parts[-1].has_room(encoded.attributes[0], encoded.size_bytes):
            check_count(len(self.writes) + self._records_count + 1)
            parts.append(_NumberedPart())
            self._records_count += 1
        parts[-1].add(encoded.row(), encoded.size_bytes)
        parts[-1].numbers.append(number)

    def _plan_anew(self) -> None:
        """Give all events their places again, as a lane was split. TransactionTooLargeError."""
        self._append, self._parts, self._records_count = None, {}, 0
        for number, (stream, encoded) in enumerate(self._encoded):
            self._plan(stream, encoded, number)

    def commit(self) -> list[Receipt]:
        """Write everything, or nothing. After an IndeterminateTransactionError, call it again to settle that.

        Raises:
            TransactionRefusedError, ContendedTransactionError: nothing was written. TransactionTooLargeError is one of
                the first kind: nothing was even sent.
            BackpressureError: nothing was even sent; subscriptions hold the producers of a lane back. Commit it later.
            IndeterminateTransactionError: it may be written; commit again.
            ClosingRegionError, WrongRegionError, NotDeclaredError, StreamChangedError: nothing is sent, because events
                are published there no more, or in other lanes. What an earlier commit may have written is not known.
        """
        self.ended = True
        self._check_streams()
        if not (self.writes or self._parts):
            return []
        receipts: dict[int, Receipt] = {}
        for record, (stream, _, part) in zip(self._written(), self._records(), strict=True):
            appended = self._outgoing[stream].appended(record)
            for index, (number, row) in enumerate(zip(part.numbers, part.rows, strict=True)):
                receipts[number] = receipt(appended, index, row[0])
        self.receipts = [receipts[number] for number in range(len(self._encoded))]
        return self.receipts

    def _written(self) -> list[Record]:
        """Write everything, and return the records of the events. Raises as `commit`."""
        while True:
            self._append = self._append or self._prepared()
            try:
                return self._append.run()
            except SealedLaneError:
                self._plan_anew()

    def _prepared(self) -> OutboxAppend:
        writes, postings = list(self.writes), self._postings()
        check_transaction([(posting.lane, posting.batch) for posting in postings], writes)
        return self._make_append(postings, lambda records: writes)

    def _check_streams(self) -> None:
        """Raise as `publish` if a stream takes the events no more, also if it did at an earlier commit."""
        for name, known in self._outgoing.items():
            current = self._outgoing_of(name)
            if current is not known:
                lanes = known.stream.definition.lanes, current.stream.definition.lanes
                raise StreamChangedError(name, *lanes)

    def _records(self) -> "Iterator[tuple[str, Lane, _NumberedPart]]":
        """Yield the parts that become a record each; those of one lane in the order of publishing."""
        for (stream, lane), parts in self._parts.items():
            for part in parts:
                yield stream, lane, part

    def _postings(self) -> list[Posting]:
        postings = []
        for stream, lane, part in self._records():
            outgoing = self._outgoing[stream]
            batch = batch_of_rows(BatchId(outgoing.batch_id()), part.rows)
            postings.append(posting(outgoing, self._log_of(outgoing), lane, batch))
        return postings

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.ended = True
        if error is None:
            self.commit()


def publish_once(outgoing: Outgoing, log: Log, event: Encoded, append: MakeAppend) -> Receipt:
    """Append an event unless one of its source and id was published once in this Region; then return that receipt.

    OnceConflictError: the earlier event has another key, type or data.
    """
    row = event.row()
    event_id, batch = row[0], outgoing.batch_of_one(event)
    while True:
        try:
            appended = append_once(posting(outgoing, log, outgoing.lane_of(event), batch), row, append)
            break
        except SealedLaneError:
            continue  # its lane is another by now
    if isinstance(appended, StandsAlready):
        return Receipt(appended.lane.origin, appended.lane, appended.sequence, event_id)
    return receipt(outgoing.appended(appended), 0, event_id)


def check_once(event_id: str | None) -> None:
    """Raise InvalidEventError without an id of the caller's own, as the event could not be recognised again."""
    if event_id is None:
        raise InvalidEventError([Problem("id", "none", "an id of your own, with once=True")])


def posting(outgoing: Outgoing, log: Log, lane: Lane, batch: Batch) -> Posting:
    """Return a batch on its way to a lane of the stream."""
    retention_seconds = outgoing.stream.retention_seconds
    table, known, credits = outgoing.stream.table.name, outgoing.known, outgoing.credits
    return Posting(table, log, lane, batch, retention_seconds, known, credits, outgoing.tree)
