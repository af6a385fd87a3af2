"""Client of one table in memory: the requests of an adapter to it, as the AWS SDK makes them."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from eventfabric.testing.memory.expressions import AttributeValue
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.table import ConditionFailedError, MemoryTable
from eventfabric.wire.keys import Item


class TableClient:
    """Sends requests to a table. Its reads are consistent."""

    def __init__(self, table: MemoryTable, requests: Requests) -> None:
        self._table = table
        self._requests = requests

    def get(self, key: Item) -> Item | None:
        """Return the item of a key, or None."""
        return self._requests.send("get", partial(self._table.get, key, consistent=True))

    def query(self, partition: AttributeValue, **options: Any) -> tuple[list[Item], bool]:
        """Return items of a partition, and if more may follow. Options as MemoryTable.query."""
        query = partial(self._table.query, partition, consistent=True, **options)
        return self._requests.send("query", query)

    def write(self, action: str, request: Mapping[str, Any], *, name: str = "put") -> None:
        """Make a Put, Update or Delete, which faults know by `name`. ConditionFailedError."""
        self._requests.send(name, partial(self._table.write, action, request))

    def put(self, item: Item, condition: Mapping[str, Any] | None = None) -> Item | None:
        """Put an item. Return the one in the way if a condition failed (empty if none is there); None: it is stored."""
        try:
            self.write("Put", {"Item": item, **(condition or {})})
        except ConditionFailedError as failed:
            return failed.item or {}
        return None
