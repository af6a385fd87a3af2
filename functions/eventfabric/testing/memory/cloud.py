"""All Regions of a fabric, and the replication between their tables: late, and in no order across items.

A link carries only the items that the source Region itself wrote (see wire/keys.py), since no item is ever written by
two Regions. Items that expired in the source Region are also removed on the other side, whoever wrote them, as in
DynamoDB's global tables.
"""

from collections.abc import Callable, Iterable
from typing import Final

from eventfabric.ports import Clock, Entropy, Ports
from eventfabric.testing.memory.backfills import MemoryBackfills
from eventfabric.testing.memory.doorbells import MemoryDoorbells
from eventfabric.testing.memory.ledger import MemoryLedger
from eventfabric.testing.memory.log import MemoryLog
from eventfabric.testing.memory.outbox import MemoryOutbox
from eventfabric.testing.memory.queue import MemoryQueue
from eventfabric.testing.memory.region import MemoryRegion
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.steps import MemorySteps
from eventfabric.testing.memory.stream import Chooser, first
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.testing.memory.timers import MemoryTimers
from eventfabric.topology import TableTopology, Topology
from eventfabric.wire.keys import Item, ledger_region_and_kind, region_of_log_item

_ALL: Final = 2**31


def origin_of_record(keys: Item) -> str:
    """Return the Region that writes an item of a log."""
    return region_of_log_item(keys)


def writer_of_ledger_item(keys: Item) -> str:
    """Return the Region that writes an item of the ledger."""
    return ledger_region_and_kind(keys)[0]


class Link:
    """Replication of one table from one Region to another.

    `cut`: nothing passes. `lag_ms`: only changes that are at least this old pass.
    """

    def __init__(
        self, source: MemoryTable, target: MemoryTable, owner: Callable[[Item], str], clock: Clock
    ) -> None:
        self.source = source
        self.target = target
        self.cut = False
        self.lag_ms = 0
        self._owner = owner
        self._clock = clock
        self._reader = source.stream.reader()

    @property
    def has_news(self) -> bool:
        """Tell if a change that the source itself made is waiting to pass."""
        self._drop_foreign()
        return bool(self._reader.pending)

    def _drop_foreign(self) -> None:
        foreign = [
            change
            for change in self._reader.pending
            if not change.by_expiry and self._owner(change.keys) != self.source.region
        ]
        self._reader.confirm(foreign)

    def pass_on(self, count: int = _ALL, choose: Chooser = first) -> int:
        """Copy up to `count` changes, in an order that keeps each item's own order. Return how many passed."""
        if self.cut:
            return 0
        self._drop_foreign()
        now = self._clock.now_ms()
        taken = self._reader.take(count, choose, only=lambda change: change.at_ms + self.lag_ms <= now)
        for change in taken:
            self.target.replicate(change)
        self._reader.confirm(taken)
        return len(taken)


class MemoryCloud:
    """The Regions of a fabric, each with everything that the topology declares in it."""

    def __init__(self, regions: Iterable[str], *, clock: Clock, entropy: Entropy) -> None:
        self.clock = clock
        self.entropy = entropy
        self.regions = {name: MemoryRegion(name, clock=clock) for name in regions}
        self.links: list[Link] = []

    @classmethod
    def of(cls, topology: Topology, *, clock: Clock, entropy: Entropy) -> "MemoryCloud":
        """Make a cloud with the tables, replication and queues of a topology."""
        cloud = cls(topology.regions, clock=clock, entropy=entropy)
        for stream in topology.streams.values():
            cloud.create_global_table(stream.table, origin_of_record)
        for ledger in topology.ledgers:
            cloud.create_global_table(ledger, writer_of_ledger_item)
        for subscription in topology.subscriptions.values():
            for name in subscription.regions:
                region, queue = cloud.regions[name], subscription.queue
                dead = MemoryQueue(queue.dead_letter_name, clock=clock)
                region.queues[dead.name] = dead
                region.timers[subscription.timers.name] = MemoryTimers(subscription.timers.name, clock=clock)
                region.queues[queue.name] = MemoryQueue(
                    queue.name,
                    clock=clock,
                    visibility_timeout_seconds=queue.visibility_timeout_seconds,
                    receive_count_max=queue.receive_count_max,
                    dead_letters=dead,
                )
        return cloud

    def create_global_table(self, table: TableTopology, owner: Callable[[Item], str]) -> None:
        """Create a table in each of its Regions, all linked. `owner` returns the Region that writes a given key."""
        replicas = [self.regions[name].create_table(table.name) for name in table.regions]
        if table.is_quorum:
            for name in table.regions:
                self.regions[name].tables[table.name] = replicas[0]
            return
        self.links += [
            Link(source, target, owner, self.clock)
            for source in replicas
            for target in replicas
            if source is not target
        ]

    def replicate(self, count: int = _ALL, choose: Chooser = first) -> int:
        """Let up to `count` changes pass through every link that is not cut. Return how many passed."""
        return sum(link.pass_on(count, choose) for link in self.links)

    def cut(self, region: str) -> None:
        """Cut a Region off from replication, in both directions."""
        for link in self._links_of(region):
            link.cut = True

    def heal(self, region: str) -> None:
        """Reconnect a Region; what it missed passes with the next `replicate`."""
        for link in self._links_of(region):
            link.cut = False

    def ports(self, topology: Topology, region: str, *, requests: Requests | None = None) -> Ports:
        """Return all ports of a Region. `requests`: sends what the adapters send."""
        return Ports(
            clock=self.clock,
            entropy=self.entropy,
            log_of=lambda stream: self.log(topology, stream.name, region, requests=requests),
            ledger=self.ledger(topology, region, requests=requests),
            doorbells=self.doorbells(topology, region),
            outbox=self.outbox(region, requests=requests),
            steps_of=lambda stream: self.steps(topology, stream.name, region, requests=requests),
            backfills=self.backfills(topology, region, requests=requests),
            at=lambda other: self.ports(topology, other, requests=requests),
        )

    def log(
        self, topology: Topology, stream: str, region: str, *, requests: Requests | None = None
    ) -> MemoryLog:
        """Return a stream's log in a Region."""
        table = self.regions[region].table(topology.stream(stream).table.name)
        return MemoryLog(table, requests=requests)

    def ledger(self, topology: Topology, region: str, *, requests: Requests | None = None) -> MemoryLedger:
        """Return the fabric's ledger in a Region."""
        return MemoryLedger(
            self.regions[region],
            lambda name: topology.ledger_of(name).name,
            entropy=self.entropy,
            requests=requests,
            in_order=topology.streams_without_transactions,
        )

    def doorbells(self, topology: Topology, region: str) -> MemoryDoorbells:
        """Return the queues of the subscriptions in a Region."""
        return MemoryDoorbells(
            self.regions[region],
            lambda name: topology.subscription(name).queue.name,
            lambda name: topology.subscription(name).timers.name,
        )

    def outbox(self, region: str, *, requests: Requests | None = None) -> MemoryOutbox:
        """Return the outbox of a Region."""
        return MemoryOutbox(self.regions[region], requests=requests)

    def steps(
        self, topology: Topology, stream: str, region: str, *, requests: Requests | None = None
    ) -> MemorySteps:
        """Return the steps of a stream's subscriptions in a Region."""
        return MemorySteps(
            self.regions[region],
            topology.ledger_of(stream).name,
            retention_seconds=topology.stream(stream).retention_seconds,
            entropy=self.entropy,
            requests=requests,
        )

    def backfills(
        self, topology: Topology, region: str, *, requests: Requests | None = None
    ) -> MemoryBackfills:
        """Return the backfills into a Region."""
        return MemoryBackfills(self.regions[region], topology.ledger.name, requests=requests)

    def timers(self, topology: Topology, subscription: str, region: str) -> MemoryTimers:
        """Return a subscription's timer queue in a Region."""
        return self.regions[region].timers[topology.subscription(subscription).timers.name]

    def queue(self, topology: Topology, subscription: str, region: str) -> MemoryQueue:
        """Return a subscription's queue in a Region."""
        return self.regions[region].queues[topology.subscription(subscription).queue.name]

    def _links_of(self, region: str) -> list[Link]:
        return [link for link in self.links if region in (link.source.region, link.target.region)]
