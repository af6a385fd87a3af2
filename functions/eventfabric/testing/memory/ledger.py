"""The ledger on a table in memory, with the requests, conditions, token and reasons that are used on AWS."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from itertools import chain
from typing import Any, Self

from eventfabric import limits
from eventfabric.model import (
    Circuit,
    CommitOutcome,
    Committed,
    Cursor,
    Decided,
    HybridTime,
    LaneChange,
    LaneKey,
    LaneState,
    Marks,
    Owner,
    Parked,
    ParkedChange,
    RaceLost,
    Record,
    Region,
    SameItemTwice,
    Settled,
    Standing,
    StreamName,
    SubscriptionName,
    Write,
    next_count,
)
from eventfabric.model.pass_progress import PassProgress
from eventfabric.ports import Entropy
from eventfabric.testing.memory.expressions import AttributeValue
from eventfabric.testing.memory.region import MemoryRegion, SameItemTwiceError, TransactionCancelledError
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.table import ConditionFailedError
from eventfabric.testing.memory.table_client import TableClient
from eventfabric.wire import (
    circuit_item,
    marks_item,
    owner_item,
    parked_item,
    progress_item,
    settled_item,
    start_item,
)
from eventfabric.wire.keys import (
    BEFORE_PARKED,
    Item,
    marks_of,
    marks_prefix,
    parked_key_by_digest,
    progress_key,
    seen_item,
    settled_of,
    standing_key,
)
from eventfabric.wire.ledger_commit import CommitRequest, state_of, unchanged, wrote
from eventfabric.wire.service_errors import Refusal

_LAST_CHARACTER = "\U0010ffff"


class MemoryLedger:
    """ports.Ledger on one table of one Region; handlers' writes go to that Region's other tables.

    For the streams `in_order` it makes no transactions.
    """

    def __init__(
        self,
        region: MemoryRegion,
        table_of: Callable[[StreamName], str],
        *,
        entropy: Entropy,
        requests: Requests | None = None,
        in_order: frozenset[str] = frozenset(),
    ) -> None:
        self._in_order = in_order
        self.region = Region(region.name)
        self._region = region
        self._table_of = table_of
        self._entropy = entropy
        self._requests = requests or Requests()

    def _table(self, stream: StreamName) -> TableClient:
        return TableClient(self._region.table(self._table_of(stream)), self._requests)

    def acting_for(self, region: Region) -> Self:
        """See ports.Ledger."""
        acting = copy(self)
        acting.region = region
        return acting

    def state(self, key: LaneKey, *, glance: bool = False) -> LaneState:
        """See ports.Ledger. One query for each page of state."""
        pages = self._pages(key.stream, {"S": str(key)}, end=BEFORE_PARKED if glance else "")
        state = state_of(chain.from_iterable(pages), is_whole=not glance)
        return self.state(key) if glance and state.is_announced else state

    def look_up(self, key: LaneKey, digests: Sequence[bytes]) -> list[Parked]:
        """See ports.Ledger. One get for each key."""
        table = self._table(key.stream)
        keys = [parked_key_by_digest(key, self.region, digest) for digest in digests]
        items = [table.get(parked_key) for parked_key in keys]
        return [parked_item.from_item(item) for item in items if item is not None]

    def settled(self, key: LaneKey, *, by: Region | None = None) -> Iterator[Settled]:
        """See ports.Ledger. One query for each page of decisions."""
        for page in self._pages(key.stream, settled_of(key)):
            yield from settled_item.decided_by(page, by)

    def _pages(
        self, stream: StreamName, partition: AttributeValue, *, prefix: str = "", end: str = ""
    ) -> Iterator[list[Item]]:
        """Yield page by page the items of a partition whose sort keys begin with `prefix`, or are before `end`."""
        table, last, more = self._table(stream), None, True
        first = {"S": prefix} if prefix else None
        before = f"{prefix}{_LAST_CHARACTER}" if prefix else end
        last_key = {"S": before} if before else None
        while more:
            # The next page starts with the last item of this one, which is then dropped.
            start = last["sk"] if last else first
            items, more = table.query(partition, start=start, end=last_key)
            page = items[1:] if last else items
            last = items[-1] if items else None
            yield page

    def commit(
        self,
        key: LaneKey,
        read: Cursor,
        moved: Cursor,
        *,
        parked: Sequence[ParkedChange] = (),
        writes: Sequence[Write] = (),
        records: Sequence[tuple[str, Record]] = (),
        settled: Sequence[Settled] = (),
        decided: Sequence[Decided] = (),
        beside: Sequence[LaneChange] = (),
        token: bytes | None = None,
    ) -> CommitOutcome:
        """See ports.Ledger. One conditional put of the cursor alone, else a transaction or, in order, a put an item."""
        request = CommitRequest(
            self._table_of(key.stream),
            key,
            self.region,
            read,
            moved,
            parked=parked,
            settled=settled,
            decided=decided,
            beside=beside,
            writes=writes,
            records=records,
            token=token or self._entropy.bytes(limits.COMMIT_TOKEN_BYTES),
            now_ms=self._region.clock.now_ms(),
            in_order=key.stream in self._in_order,
        )
        if request.announcement is not None:
            return self._write_in_order(request, request.announcement, key.stream)
        try:
            if actions := request.actions:
                # A commit that is tried again is a new transaction: its own earlier write is in its way.
                once = self._entropy.bytes(limits.COMMIT_TOKEN_BYTES).hex()
                self._requests.send("transact", lambda: self._region.transact(actions, token=once))
            else:
                self._table(key.stream).write("Put", request.cursor)
        except ConditionFailedError as failed:
            return request.outcome_of_item(failed.item)
        except SameItemTwiceError:
            return SameItemTwice()
        except TransactionCancelledError as cancelled:
            return _refused(cancelled, request)
        return Committed(request.stored)

    def _write_in_order(
        self, request: CommitRequest, announcement: dict[str, Any], stream: StreamName
    ) -> CommitOutcome:
        """Write the announcement, decisions, parked keys, and then the cursor, one by one.

        If it stops before the cursor, keys wait for events that will come again; none is lost.
        """
        table = self._table(stream)
        for action, item in [("Put", announcement), *request.others]:
            try:
                table.write(action, item)
            except ConditionFailedError as failed:
                if wrote(item, failed.item):
                    continue
                if item is announcement:
                    return request.outcome_of_item(failed.item)
                self._undo(request, table)
                return RaceLost()
        try:
            table.write("Put", request.cursor)
        except ConditionFailedError as failed:
            return request.outcome_of_item(failed.item, is_beside_written=True)
        return Committed(request.stored)

    def _undo(self, request: CommitRequest, table: TableClient) -> None:
        for delete in request.undo:
            with suppress(ConditionFailedError):  # somebody else has decided since
                table.write("Delete", delete)

    def standing(self, stream: StreamName, subscription: SubscriptionName) -> Standing:
        """See ports.Ledger. One query."""
        items, _ = self._table(stream).query(standing_key(stream, subscription))
        return owner_item.standing_of(items, self.region)

    def switch(
        self, stream: StreamName, subscription: SubscriptionName, read: Circuit, to: Circuit
    ) -> Circuit | None:
        """See ports.Ledger. One conditional put."""
        stored = replace(to, version=next_count(read.version))
        item = circuit_item.to_item(stream, subscription, self.region, stored)
        return stored if self._replace(stream, item, read.version) else None

    def hand_over(
        self, stream: StreamName, subscription: SubscriptionName, read: Owner | None, to: Owner
    ) -> Owner | None:
        """See ports.Ledger. One conditional put."""
        version = read.version if read else 0
        stored = replace(to, version=next_count(version))
        item = owner_item.to_item(stream, subscription, stored)
        return stored if self._replace(stream, item, version) else None

    def pin(self, stream: StreamName, subscription: SubscriptionName, time: HybridTime) -> HybridTime:
        """See ports.Ledger. One conditional put."""
        item = start_item.to_item(stream, subscription, self.region, time)
        there = self._table(stream).put(item, unchanged(0))
        return time if there is None else start_item.from_item(there)

    def see(self, stream: StreamName, subscription: SubscriptionName, *, nothing: bool = False) -> None:
        """See ports.Ledger. One put."""
        seen_ms = 0 if nothing else self._region.clock.now_ms()
        self._table(stream).put(seen_item(stream, subscription, self.region, seen_ms))

    def marks(self, stream: StreamName, origin: Region, *, part: str = "") -> Marks:
        """See ports.Ledger. One query for each page of marks."""
        pages = self._pages(stream, marks_of(stream, origin), prefix=marks_prefix(self.region) + part)
        return marks_item.from_items(list(chain.from_iterable(pages)))

    def mark(self, stream: StreamName, origin: Region, read: Marks, to: Marks) -> bool:
        """See ports.Ledger. One conditional put for each part that changed."""
        changed = marks_item.changed_items(stream, origin, self.region, read, to)
        return all(self._replace(stream, item, version) for item, version in changed)

    def progress(self, stream: StreamName) -> PassProgress:
        """See ports.Ledger. One get."""
        return progress_item.from_item(self._table(stream).get(progress_key(stream, self.region)))

    def note_pass(self, stream: StreamName, read: PassProgress, to: PassProgress) -> PassProgress | None:
        """See ports.Ledger. One conditional put."""
        stored = replace(to, version=next_count(read.version or 0))
        item = progress_item.to_item(stream, self.region, stored)
        return stored if self._replace(stream, item, read.version) else None

    def _replace(self, stream: StreamName, item: Item, read_version: int | None) -> bool:
        """Put an item if the stored one is at that version; None: whatever is stored."""
        condition = {} if read_version is None else unchanged(read_version)
        return self._table(stream).put(item, condition) in (None, item)


def _refused(cancelled: TransactionCancelledError, request: CommitRequest) -> CommitOutcome:
    refusals = [Refusal(reason.code, reason.message, reason.item) for reason in cancelled.reasons]
    return request.outcome(refusals)
