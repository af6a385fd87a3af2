"""The ledger on a table in memory; the same conditions, token and reasons as on AWS."""

from collections.abc import Sequence as Seq
from typing import Any

from eventfabric.errors import ThrottledError
from eventfabric.memory.region import MemoryRegion, SameItemTwiceError, TransactionCancelledError
from eventfabric.memory.requests import Requests
from eventfabric.memory.table import ConditionFailedError
from eventfabric.model.cursor import Cursor, LaneKey, LaneState
from eventfabric.model.identity import Region
from eventfabric.ports import CommitOutcome, Committed, Entropy, RaceLost, SameItemTwice, Write, WriteRefused
from eventfabric.wire import cursor_item
from eventfabric.wire.keys import Item, is_cursor, ledger_region_and_kind

_TOKEN_BYTES = 16


class MemoryLedger:
    """ports.Ledger on one table of one Region; handlers' writes go to that Region's other tables."""

    def __init__(
        self, region: MemoryRegion, table: str, *, entropy: Entropy, requests: Requests | None = None
    ) -> None:
        self.region = Region(region.name)
        self._region = region
        self._table = table
        self._entropy = entropy
        self._requests = requests or Requests()

    def state(self, key: LaneKey) -> LaneState:
        """See ports.Ledger. One query."""
        found, _ = self._requests.send(
            "query", lambda: self._region.table(self._table).query({"S": str(key)})
        )
        cursors = {}
        for item in found:
            region, kind = ledger_region_and_kind(item)
            if is_cursor(kind):
                cursors[region] = cursor_item.from_item(item)
        return LaneState(cursors)

    def commit(self, key: LaneKey, read: Cursor, moved: Cursor, writes: Seq[Write] = ()) -> CommitOutcome:
        """See ports.Ledger. One conditional put, or one transaction where there are writes."""
        token = self._entropy.bytes(_TOKEN_BYTES)
        stored = Cursor(moved.sequence, moved.base, moved.chain, read.version + 1, moved.epoch)
        put = self._conditional_put(key, read, stored, token)
        try:
            if writes:
                actions = [*((write.action, write.request) for write in writes), ("Put", put)]
                self._requests.send("transact", lambda: self._region.transact(actions, token=token.hex()))
            else:
                self._requests.send("put", lambda: self._region.table(self._table).write("Put", put))
        except ConditionFailedError as failed:
            return self._lost_or_mine(failed.item, token, stored)
        except SameItemTwiceError:
            return SameItemTwice()
        except TransactionCancelledError as cancelled:
            return self._refused(cancelled, token, stored)
        return Committed(stored)

    def _conditional_put(self, key: LaneKey, read: Cursor, stored: Cursor, token: bytes) -> dict[str, Any]:
        now_ms = self._region.clock.now_ms()
        put: dict[str, Any] = {
            "TableName": self._table,
            "Item": cursor_item.to_item(key, self.region, stored, token=token, now_ms=now_ms),
            "ConditionExpression": "v = :read" if read.version else "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if read.version:
            put["ExpressionAttributeValues"] = {":read": {"N": str(read.version)}}
        return put

    def _refused(self, cancelled: TransactionCancelledError, token: bytes, stored: Cursor) -> CommitOutcome:
        *of_writes, of_cursor = cancelled.reasons
        if of_cursor.code == "ConditionalCheckFailed":
            return self._lost_or_mine(of_cursor.item, token, stored)
        for index, reason in enumerate(of_writes):
            if reason.code != "None":
                return WriteRefused(index, reason.code, reason.message)
        raise ThrottledError("commit", str(cancelled)) from cancelled

    def _lost_or_mine(self, item: Item | None, token: bytes, stored: Cursor) -> CommitOutcome:
        return Committed(stored) if item and cursor_item.token_of(item) == token else RaceLost()
