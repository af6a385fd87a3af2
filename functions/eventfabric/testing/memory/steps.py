"""Steps on a table in memory, with the items and conditions that are used on AWS."""

from eventfabric.model import Region, StepKey, StepState
from eventfabric.ports import Entropy
from eventfabric.testing.memory.region import MemoryRegion
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.table import ConditionFailedError
from eventfabric.testing.memory.table_client import TableClient
from eventfabric.wire import step_item
from eventfabric.wire.keys import EXPIRY, PK, step_key


class MemorySteps:
    """ports.Steps on the ledger of one Region."""

    def __init__(
        self,
        region: MemoryRegion,
        table: str,
        *,
        retention_seconds: int | None,
        entropy: Entropy,
        requests: Requests | None = None,
    ) -> None:
        self._table = TableClient(region.table(table), requests or Requests())
        self._region = Region(region.name)
        self._clock = region.clock
        self._retention_seconds = retention_seconds
        self._entropy = entropy

    def begin(self, key: StepKey, *, token: bytes = b"") -> StepState | None:
        """See ports.Steps. One conditional put."""
        own = token or step_item.token_of(self._entropy.bytes(step_item.OWNER_BYTES), self._clock.now_ms())
        item = step_item.begun(
            str(key), self._region, owner=step_item.owner_of(own), expires_seconds=self._expires_seconds()
        )
        put = {
            "Item": item,
            "ConditionExpression": f"attribute_not_exists({PK}) OR (#s = :s AND #o = :o)",
            "ExpressionAttributeNames": {"#s": step_item.STATUS, "#o": step_item.OWNER},
            "ExpressionAttributeValues": {
                ":s": {"S": step_item.IN_PROGRESS},
                ":o": {"N": str(step_item.RELEASED)},
            },
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            self._table.write("Put", put)
        except ConditionFailedError as failed:
            standing = failed.item or {}
            # The expiry does not count: it is computed anew at each try.
            if standing | {EXPIRY: item[EXPIRY]} != item:
                return step_item.from_item(standing)
        return None

    def finish(self, key: StepKey, result: str) -> None:
        """See ports.Steps. One update."""
        names = {"#s": step_item.STATUS, "#d": step_item.RESULT, "#e": EXPIRY}
        values = {
            ":s": {"S": step_item.COMPLETED},
            ":d": {"S": result},
            ":e": {"N": str(self._expires_seconds())},
        }
        update = {
            "Key": step_key(str(key), self._region),
            "UpdateExpression": "SET #s = :s, #d = :d, #e = :e",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
        self._table.write("Update", update, name="update")

    def forget(self, key: StepKey) -> None:
        """See ports.Steps. One delete."""
        self._table.write("Delete", {"Key": step_key(str(key), self._region)}, name="delete")

    def release(self, key: StepKey) -> None:
        """See ports.Steps. One put."""
        item = step_item.released(str(key), self._region, expires_seconds=self._expires_seconds())
        self._table.put(item)

    def look(self, key: StepKey, *, region: Region | None = None) -> StepState | None:
        """See ports.Steps. One get."""
        item = self._table.get(step_key(str(key), region or self._region))
        return step_item.from_item(item) if item else None

    def _expires_seconds(self) -> int:
        return step_item.expires_seconds(self._clock.now_ms(), self._retention_seconds)
