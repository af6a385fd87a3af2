"""Credits on tables in memory, with the items and conditions that are used on AWS."""

from collections.abc import Callable
from functools import partial

from eventfabric.model import LaneKey, Region, SequenceNumber, StreamName, SubscriptionName
from eventfabric.model.credit import Grants
from eventfabric.testing.memory.region import MemoryRegion
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.table import ConditionFailedError
from eventfabric.wire import credit_item
from eventfabric.wire.keys import credits_of


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
