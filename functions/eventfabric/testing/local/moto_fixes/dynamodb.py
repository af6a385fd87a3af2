"""Makes writes of moto's DynamoDB all or nothing, its streams correct, its transactions fast.

Holds the patches of tables, stream shards and transactions. Does not evaluate expressions: moto does.
"""

import copy
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.dynamodb.exceptions import ERROR_TYPE_PREFIX, DynamodbException, MockValidationException
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models import table as moto_table
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import StreamRecord, StreamShard, Table
from moto.dynamodb.responses import DynamoHandler

from eventfabric.testing.local.moto_fixes.patching import replace
from eventfabric.testing.local.moto_fixes.serial import LOCK

TOKEN_SECONDS = 10 * 60
TRANSACTION_BYTES = 4 * 1024 * 1024

_Change = tuple[StreamShard, Item | None, Item | None]
"""The shard that is to record the change, the item before, and the item after."""


def install(patches: ExitStack, *, now: Callable[[], float]) -> None:
    """Patch what moto's DynamoDB and DynamoDB Streams write."""

    def utcnow() -> datetime:
        return datetime.fromtimestamp(now(), UTC).replace(tzinfo=None)  # moto wants it naive

    replace(patches, moto_table, "utcnow", utcnow)
    _Writes().install(patches)
    _Tokens(now).install(patches)


class _Writes:
    """Undoes failed writes. Invariant: a write that fails leaves items and streams as they were."""

    def __init__(self) -> None:
        self._pending: list[_Change] | None = None

    def install(self, patches: ExitStack) -> None:
        replace(patches, StreamShard, "add", self._stand_in(self.add_record))
        self._plain_update = replace(
            patches, DynamoDBBackend, "update_item", self._stand_in(self.update_item)
        )
        self._plain_transact = replace(
            patches, DynamoDBBackend, "transact_write_items", self._stand_in(self.transact)
        )

    @staticmethod
    def _stand_in(method: Callable[..., Any]) -> Any:
        def call(owner: Any, *args: Any, **kwargs: Any) -> Any:
            return method(owner, *args, **kwargs)

        return call

    def update_item(
        self, backend: DynamoDBBackend, table_name: str, key: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        # Moto creates the item before it knows if the update succeeds, and records the creation as well.
        with self._all_or_nothing([(backend.get_table(table_name), key)]):
            return self._plain_update(backend, table_name, key, *args, **kwargs)

    def transact(self, backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        touched = [
            (backend.get_table(operation["TableName"]), operation.get("Item") or operation.get("Key") or {})
            for item in transact_items
            for operation in item.values()
        ]
        with self._all_or_nothing(touched), _tables_not_copied():
            self._plain_transact(backend, transact_items)

    def add_record(self, shard: StreamShard, old: Item | None, new: Item | None) -> None:
        if self._pending is not None:
            self._pending.append((shard, old, new))
        else:
            _record(shard, old, new)

    @contextmanager
    def _all_or_nothing(self, touched: list[tuple[Table, dict[str, Any]]]) -> Iterator[None]:
        with LOCK:
            if self._pending is not None:  # an update in a transaction, which undoes everything
                yield
                return
            before = [_Before(table, names) for table, names in touched if _has_key(table, names)]
            pending: list[_Change] = []
            self._pending = pending
            try:
                yield
            except BaseException:  # whatever ends the request, nothing of it may stay
                for item in before:
                    item.restore()
                raise
            finally:
                self._pending = None
            for shard, old, new in _one_record_an_item(pending):
                _record(shard, old, new)


class _Before:
    """One item as it was before a write. A copy, because moto updates items in place."""

    def __init__(self, table: Table, attributes: dict[str, Any]) -> None:
        self._table = table
        self._hash = DynamoType(attributes[table.hash_key_attr])
        self._range = DynamoType(attributes[table.range_key_attr]) if table.range_key_attr else None
        self._item = copy.deepcopy(table.get_item(self._hash, self._range))

    def restore(self) -> None:
        bucket: Any = self._table.items if self._range is None else self._table.items[self._hash]
        key = self._hash if self._range is None else self._range
        if self._item is None:
            bucket.pop(key, None)
        else:
            bucket[key] = self._item


def _has_key(table: Table, attributes: dict[str, Any]) -> bool:
    return all(name in attributes for name in table.table_key_attrs)


@contextmanager
def _tables_not_copied() -> Iterator[None]:
    """Keep moto from copying the whole table for each item of a transaction; `_Writes` undoes changes instead."""
    Table.__deepcopy__ = lambda table, memo: table  # type: ignore[attr-defined]  # moto has none
    try:
        yield
    finally:
        del Table.__deepcopy__  # type: ignore[attr-defined]  # moto has none


def _one_record_an_item(changes: list[_Change]) -> list[_Change]:
    """Merge the changes of each item: if an update creates an item, moto makes two changes, and AWS makes one."""
    joined: dict[Any, _Change] = {}
    for shard, old, new in changes:
        either = new if new is not None else old
        assert either is not None
        key = (id(shard), either.hash_key, either.range_key)
        joined[key] = (shard, joined[key][1] if key in joined else old, new)
    return [change for change in joined.values() if change[1] is not None or change[2] is not None]


def _record(shard: StreamShard, old: Item | None, new: Item | None) -> None:
    if old is not None and new is not None and old.attrs == new.attrs:
        return  # a write that changes nothing has no stream record
    kind = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
    view = shard.table.stream_specification["StreamViewType"]  # type: ignore[index]  # of a table with a stream
    sequence = shard.starting_sequence_number + len(shard.items)
    record = StreamRecord(shard.table, view, kind, old, new, sequence)
    record.record["awsRegion"] = shard.table.region_name  # moto says us-east-1 everywhere
    shard.items.append(record)


class _Tokens:
    """Client request tokens: a transaction that was done with a token is not done again for ten minutes."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def install(self, patches: ExitStack) -> None:
        def transact_write_items(handler: DynamoHandler) -> ActionResult:
            return self.transact(handler)

        self._plain = replace(patches, DynamoHandler, "transact_write_items", transact_write_items)

    def transact(self, handler: DynamoHandler) -> ActionResult:
        items = handler.body["TransactItems"]
        token = handler.body.get("ClientRequestToken")
        with LOCK:
            done = self._done(handler.dynamodb_backend)
            digest = hashlib.sha256(json.dumps(items, sort_keys=True, default=str).encode()).digest()
            if token in done:
                if done[token][1] != digest:
                    raise DynamodbException(
                        ERROR_TYPE_PREFIX + "IdempotentParameterMismatchException",
                        "The request uses the same client token as a previous, but non-identical request. "
                        "Do not reuse a client token with different requests, unless the requests are "
                        "identical",
                    )
                return ActionResult({"ConsumedCapacity": [], "ItemCollectionMetrics": {}})
            if sum(map(_bytes_of, items)) > TRANSACTION_BYTES:
                raise MockValidationException("The aggregate size of the items exceeds 4 MB")
            result: ActionResult = self._plain(handler)
            if token is not None:
                done[token] = (self._now(), digest)  # only after success: a cancelled one may be tried again
            return result

    def _done(self, backend: DynamoDBBackend) -> OrderedDict[str, tuple[float, bytes]]:
        # Kept in the backend, because moto's reset must forget it and each Region has its own.
        done: OrderedDict[str, tuple[float, bytes]] = vars(backend).setdefault("_tokens_done", OrderedDict())
        while done and self._now() - next(iter(done.values()))[0] >= TOKEN_SECONDS:
            done.popitem(last=False)
        return done


def _bytes_of(item: dict[str, Any]) -> int:
    """Return the size of the item of a Put, or of the key of any other action."""
    operation = next(iter(item.values()))
    attributes: dict[str, Any] = operation.get("Item") or operation.get("Key") or {}
    return sum(len(name.encode()) + DynamoType(value).size() for name, value in attributes.items())
