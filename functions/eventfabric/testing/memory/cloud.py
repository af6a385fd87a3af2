"""Cloud: all Regions of a fabric in memory, with everything that its topology declares in each, and their ports."""

from collections.abc import Callable

from eventfabric.ports import Clock, Entropy, Ports
from eventfabric.resources import TableTopology
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.testing.memory.backfills import MemoryBackfills
from eventfabric.testing.memory.credits import MemoryCredits
from eventfabric.testing.memory.doorbells import MemoryDoorbells
from eventfabric.testing.memory.ledger import MemoryLedger
from eventfabric.testing.memory.log import MemoryLog
from eventfabric.testing.memory.outbox import MemoryOutbox
from eventfabric.testing.memory.queue import MemoryQueue, MemoryTimers
from eventfabric.testing.memory.region import MemoryRegion
from eventfabric.testing.memory.replication import (
    ALL_CHANGES,
    TableLink,
    origin_of_record,
    writer_of_ledger_item,
)
from eventfabric.testing.memory.requests import Requests
from eventfabric.testing.memory.steps import MemorySteps
from eventfabric.testing.memory.stream import Chooser, first
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.topology import Topology
from eventfabric.wire.keys import Item


class MemoryCloud:
    """The Regions of one fabric: tables with their replication, queues, and adapters of every port."""

    def __init__(self, topology: Topology, *, clock: Clock, entropy: Entropy) -> None:
        self.topology = topology
        self.clock = clock
        self.entropy = entropy
        self.regions = {name: MemoryRegion(name, clock=clock) for name in topology.regions}
        self.links: list[TableLink] = []
        for stream in topology.streams.values():
            self._create_global_table(stream.table, origin_of_record)
        for ledger in topology.ledgers:
            self._create_global_table(ledger, writer_of_ledger_item)
        for subscription in topology.subscriptions.values():
            for region in subscription.regions:
                self._create_queues(subscription, self.regions[region])

    def _create_global_table(self, table: TableTopology, owner: Callable[[Item], str]) -> None:
        """Create a table in each of its Regions, all linked. `owner` returns the Region that writes a given key."""
        replicas = [self.regions[name].create_table(table.name) for name in table.regions]
        if table.is_quorum:
            replicas[0].has_transactions = False
            for name in table.regions:
                self.regions[name].tables[table.name] = replicas[0]
            return
        self.links += [
            TableLink(source, target, owner, self.clock)
            for source in replicas
            for target in replicas
            if source is not target
        ]

    def _create_queues(self, subscription: SubscriptionTopology, region: MemoryRegion) -> None:
        queue = subscription.queue
        dead = MemoryQueue(queue.dead_letter_name, clock=self.clock)
        region.queues[dead.name] = dead
        if subscription.timers.name not in region.timers:
            region.timers[subscription.timers.name] = MemoryTimers(subscription.timers.name, clock=self.clock)
        region.queues[queue.name] = MemoryQueue(
            queue.name,
            clock=self.clock,
            visibility_timeout_seconds=queue.visibility_timeout_seconds,
            receive_count_max=queue.receive_count_max,
            dead_letters=dead,
        )

    def replicate(self, count: int = ALL_CHANGES, choose: Chooser = first) -> int:
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

    def ports(self, region: str, *, requests: Requests | None = None) -> Ports:
        """Return all ports of a Region. `requests`: sends what the adapters send."""
        return Ports(
            clock=self.clock,
            entropy=self.entropy,
            log_of=lambda stream: self.log(stream.name, region, requests=requests),
            ledger=self.ledger(region, requests=requests),
            doorbells=self.doorbells(region),
            outbox=self.outbox(region, requests=requests),
            steps_of=lambda stream: self.steps(stream.name, region, requests=requests),
            backfills=self.backfills(region, requests=requests),
            credits=self.credits(region, requests=requests),
            at=lambda region: self.ports(region, requests=requests),
        )

    def log(self, stream: str, region: str, *, requests: Requests | None = None) -> MemoryLog:
        """Return a stream's log in a Region."""
        return MemoryLog(self.log_table(stream, region), requests=requests)

    def log_table(self, stream: str, region: str) -> MemoryTable:
        """Return the table of a stream's log in a Region."""
        return self.regions[region].table(self.topology.stream(stream).table.name)

    def ledger(self, region: str, *, requests: Requests | None = None) -> MemoryLedger:
        """Return the fabric's ledger in a Region."""
        return MemoryLedger(
            self.regions[region],
            lambda name: self.topology.ledger_of(name).name,
            entropy=self.entropy,
            requests=requests,
            in_order=self.topology.streams_without_transactions,
        )

    def doorbells(self, region: str) -> MemoryDoorbells:
        """Return the queues of the subscriptions in a Region."""
        return MemoryDoorbells(
            self.regions[region],
            lambda name: f"{self.topology.fabric}-{name}.fifo",
            lambda name: self.topology.timers.name,
        )

    def outbox(self, region: str, *, requests: Requests | None = None) -> MemoryOutbox:
        """Return the outbox of a Region."""
        return MemoryOutbox(self.regions[region], requests=requests)

    def steps(self, stream: str, region: str, *, requests: Requests | None = None) -> MemorySteps:
        """Return the steps of a stream's subscriptions in a Region."""
        return MemorySteps(
            self.regions[region],
            self.topology.ledger_of(stream).name,
            retention_seconds=self.topology.stream(stream).retention_seconds,
            entropy=self.entropy,
            requests=requests,
        )

    def backfills(self, region: str, *, requests: Requests | None = None) -> MemoryBackfills:
        """Return the backfills into a Region."""
        return MemoryBackfills(self.regions[region], self.topology.ledger.name, requests=requests)

    def credits(self, region: str, *, requests: Requests | None = None) -> MemoryCredits:
        """Return what subscriptions grant producers in a Region."""
        return MemoryCredits(
            self.regions[region], lambda name: self.topology.ledger_of(name).name, requests=requests
        )

    def timers(self, subscription: str, region: str) -> MemoryTimers:
        """Return the timer queue of a Region, which a subscription shares with all others."""
        return self.regions[region].timers[self.topology.subscription(subscription).timers.name]

    def queue(self, subscription: str, region: str) -> MemoryQueue:
        """Return a subscription's queue in a Region."""
        return self.regions[region].queues[self.topology.subscription(subscription).queue.name]

    def _links_of(self, region: str) -> list[TableLink]:
        return [link for link in self.links if region in (link.source.region, link.target.region)]
