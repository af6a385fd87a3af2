"""Credits on tables in memory, with the items and conditions that are used on AWS."""

from collections.abc import Callable
from functools import partial

from eventfabric.model import LaneKey, Region, SequenceNumber, StreamName, SubscriptionName
from eventfabric.model.credit import Grants
from eventfabric.testing.memory.region import MemoryRegion
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.table import ConditionFailedError
from eventfabric.wire import credit_item
from eventfabric.wire.keys import PK, SK, credits_of, credits_prefix


class MemoryCredits:
    """rare_ports.Credits on the ledgers of one Region."""

    def __init__(
        self,
        region: MemoryRegion,
        table_of: Callable[[StreamName], str],
        *,
        requests: Requests | None = None,
    ) -> None:
        self._memory = region
        self._table_of = table_of
        self._region = Region(region.name)
        self._requests = requests or Requests()

    def granted(
        self, stream: StreamName, subscription: SubscriptionName, origin: Region, *, part: int
    ) -> dict[Region, Grants]:
        """See rare_ports.Credits. One query."""
        table = self._memory.table(self._table_of(stream))
        partition = credits_of(stream, subscription, origin, part)
        items, _ = self._requests.send("query", partial(table.query, partition, consistent=False))
        return credit_item.grants_in(items)

    def grant(self, key: LaneKey, grant: SequenceNumber) -> SequenceNumber:
        """See rare_ports.Credits. One conditional update."""
        table = self._memory.table(self._table_of(key.stream))
        request = credit_item.raising(key, self._region, grant)
        try:
            self._requests.send("update", partial(table.write, "Update", request))
        except ConditionFailedError as failed:
            return credit_item.grant_in(key, failed.item or {})
        return grant

    def forget(self, stream: StreamName, subscription: SubscriptionName, origin: Region, *, part: int) -> int:
        """See rare_ports.Credits. One query, and a delete for each slice that it finds."""
        table = self._memory.table(self._table_of(stream))
        partition, prefix = credits_of(stream, subscription, origin, part), credits_prefix(self._region)
        items, _ = self._requests.send("query", partial(table.query, partition, consistent=True))
        own = [{PK: item[PK], SK: item[SK]} for item in items if item[SK]["S"].startswith(prefix)]
        for key in own:
            self._requests.send("delete", partial(table.write, "Delete", {"Key": key}))
        return len(own)
