"""Replicates tables between the local Regions like global tables: later, whole items, in no order between items.

Copies from a Region only what that Region itself writes and deletes, so that nothing comes back. A cut link holds back
its changes.
"""

from dataclasses import dataclass
from heapq import heappop, heappush

from eventfabric.aws.clients import Clients
from eventfabric.ports import Clock, Entropy
from eventfabric.testing.local.feed import TableChange


@dataclass(frozen=True)
class Replication:
    """Lag of replicas: each item is copied between `delay_seconds_min` and `delay_seconds_max` after it was written."""

    delay_seconds_min: float = 0.0
    delay_seconds_max: float = 0.0


class Link:
    """Replication in one direction between two Regions."""

    def __init__(self, clients: Clients, replication: Replication, clock: Clock, entropy: Entropy) -> None:
        self._dynamodb = clients.dynamodb
        self._replication = replication
        self._clock = clock
        self._entropy = entropy
        self._due: list[tuple[int, int, str, TableChange]] = []
        self._latest: dict[tuple[str, str], int] = {}
        self._count = 0
        self.is_cut = False

    def offer(self, table: str, change: TableChange) -> None:
        """Add what the source Region wrote or deleted. Only versions of the same item stay in order."""
        spread = self._replication.delay_seconds_max - self._replication.delay_seconds_min
        delay_seconds = self._replication.delay_seconds_min + spread * self._entropy.fraction()
        item = (table, f"{change.keys['pk']}{change.keys['sk']}")
        due_ms = max(self._clock.now_ms() + int(delay_seconds * 1000), self._latest.get(item, 0))
        self._latest[item] = due_ms
        self._count += 1
        heappush(self._due, (due_ms, self._count, table, change))

    def step(self) -> bool:
        """Copy what is due. Return True if anything was copied."""
        moved = False
        while self._due and not self.is_cut and self._due[0][0] <= self._clock.now_ms():
            _, _, table, change = heappop(self._due)
            if change.image is None:
                self._dynamodb.delete_item(TableName=table, Key=change.keys)
            else:
                self._dynamodb.put_item(TableName=table, Item=change.image)
            moved = True
        return moved

    def next_due(self) -> float | None:
        """See pumps.Pump."""
        return self._due[0][0] / 1000 if self._due and not self.is_cut else None
