"""A stream with one subscription in memory, the real services on it, and what a test asks of them.

The drivers (relay_all, deliver_all) stand for Lambda's pollers and follow their rules.
"""

from collections.abc import Iterable
from copy import copy
from dataclasses import replace
from functools import cache

from eventfabric import limits
from eventfabric.definition.file import parse_definition
from eventfabric.definition.sections import Backpressure
from eventfabric.errors import PortError
from eventfabric.model import (
    Committed,
    Cursor,
    Doorbell,
    Lane,
    LaneKey,
    Parked,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)
from eventfabric.ports import Handler, Ledger, Ports
from eventfabric.services.delivery.deliver import Deliverer
from eventfabric.services.delivery.lane_result import LaneResult
from eventfabric.services.delivery.relay import Relay
from eventfabric.services.delivery.side_by_side import SideBySide, one_after_another
from eventfabric.services.publishing.append import Appender
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.testing.memory.faults import Faults
from eventfabric.testing.memory.queue import Received
from eventfabric.testing.memory.stream import Chooser, StreamReader, first
from eventfabric.topology import Topology
from eventfabric.wire.doorbell import from_body
from eventfabric.wire.stream_record import from_stream_record
from tests.support.memory_fabric import AWAY, FAR, HOME, LANE, STREAM, Counting, MemoryFabric
from tests.support.recording_handler import EFFECTS, Recorder

SUBSCRIPTION = "billing"
LANE_KEY = LaneKey(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), LANE)
INVOCATION_MS = 100_000


def topology(
    lanes: int = 2,
    durability: str = "replicated",
    retention_days: int = 0,
    others: str = "",
    **subscription: object,
) -> Topology:
    """Two Regions (three where a quorum needs them), one stream, one subscription with these settings; and `others`."""
    regions = [HOME, AWAY, FAR] if durability == "quorum" else [HOME, AWAY]
    named = ", ".join(f'"{region}"' for region in regions)
    settings = "\n".join(f"{name} = {_toml(value)}" for name, value in subscription.items())
    return _topology_of(
        f"""
            [fabric]
            name = "shop"
            regions = [{named}]
            [streams.{STREAM}]
            lanes = {lanes}
            durability = "{durability}"
            {f"retention_days = {retention_days}" if retention_days else ""}
            [subscriptions.{SUBSCRIPTION}]
            stream = "{STREAM}"
            handler = "subscribers.billing:charge"
            {settings}
            {others}
        """
    )


@cache
def _topology_of(definition: str) -> Topology:
    """Read a definition once: thousands of schedules begin with the same, and nothing changes a topology."""
    return Topology(parse_definition(definition))


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value).replace("'", '"')


class SubscribedStream(MemoryFabric):
    """A stream and its one subscription, driven by hand. `delivered_in`: the Region whose deliveries are observed."""

    def __init__(
        self,
        *,
        seed: int = 0,
        delivered_in: Region = HOME,
        handler: Handler | None = None,
        lanes: int = 2,
        durability: str = "replicated",
        retention_days: int = 0,
        others: str = "",
        backpressure: Backpressure | None = None,
        **subscription: object,
    ) -> None:
        super().__init__(topology(lanes, durability, retention_days, others, **subscription), seed=seed)
        for region in self.cloud.regions.values():
            region.create_table(EFFECTS, key_names=("id",))
        self.handler = handler or Recorder(effects=subscription.get("guarantee") == "exactly_once")
        self.backpressure = backpressure
        self.telemetry = Counting()
        self.faults = Faults()
        self.origin_log = self.cloud.log(STREAM, HOME)
        self._look_at(delivered_in)

    def _look_at(self, region: Region) -> None:
        self.region = region
        self.queue = self.cloud.queue(SUBSCRIPTION, region)
        self.timers = self.cloud.timers(SUBSCRIPTION, region)
        self.table = self.cloud.log_table(self.stream.name, region)
        self.log = self.cloud.log(STREAM, region)
        self._reader: StreamReader = self.table.stream.reader()

    def in_region(self, region: Region, *, handler: Handler | None = None) -> "SubscribedStream":
        """Return the same fabric in which another Region's deliveries are observed, with a handler of their own."""
        other = copy(self)
        other.handler = handler or Recorder(effects=self.recorder.effects)
        other._look_at(region)
        return other

    @property
    def subscription(self) -> SubscriptionTopology:
        return self.topology.subscription(SUBSCRIPTION)

    @property
    def ledger(self) -> Ledger:
        return self.cloud.ledger(self.region)

    def ports(self, region: Region | None = None) -> Ports:
        """Return the ports of a Region, without faults; default: the one that is observed."""
        return super().ports(region or self.region)

    @property
    def recorder(self) -> Recorder:
        assert isinstance(self.handler, Recorder)
        return self.handler

    def appender(
        self,
        *,
        faults: Faults | None = None,
        timeout_seconds: float = 30,
        retention_seconds: int | None = None,
    ) -> Appender:
        log = self.origin_log if faults is None else faults.log(self.origin_log)
        return Appender(
            log,
            stream=STREAM,
            clock=self.clock,
            entropy=self.entropy,
            timeout_seconds=timeout_seconds,
            retention_seconds=retention_seconds,
        )

    def deliverer(
        self,
        *,
        handler: Handler | None = None,
        faults: Faults | None = None,
        side_by_side: SideBySide = one_after_another,
        memory_bytes: int = limits.RECORD_MEMORY_BYTES_MAX,
    ) -> Deliverer:
        """A function instance of its own: it shares nothing with others but what is stored."""
        faults = faults or self.faults
        return Deliverer(
            self.subscription,
            self.stream,
            ports=faults.ports(replace(self.ports(), log_of=lambda stream: self.log)),
            handler=faults.handler(handler or self.handler),
            telemetry=self.telemetry,
            side_by_side=side_by_side,
            memory_bytes=memory_bytes,
            backpressure=self.backpressure or self.subscription.definition.backpressure,
        )

    def bell(self, of: Lane = LANE, tail: int | None = None) -> Doorbell:
        """The doorbell for what is in a lane by now."""
        end = self.log.tail(of).sequence if tail is None else SequenceNumber(tail)
        return Doorbell(StreamName(STREAM), of, end)

    def deliver(
        self,
        of: Lane = LANE,
        *,
        tail: int | None = None,
        by: Deliverer | None = None,
        time_ms: int = INVOCATION_MS,
    ) -> LaneResult:
        """One lane run, as after a doorbell for the lane's tail."""
        deadline_ms = self.clock.now_ms() + time_ms
        return (by or self.deliverer()).deliver(self.bell(of, tail), deadline_ms=deadline_ms)

    def key_of(self, of: Lane) -> LaneKey:
        return LaneKey(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), of)

    def cursor(self, of: Lane = LANE) -> Cursor:
        return self.cloud.ledger(self.region).state(self.key_of(of)).cursor(self.region)

    def run_dies(self, of: Lane = LANE) -> None:
        """Leave a lane as a run does that began after its doorbell came again, and was never heard of."""
        ledger, key = self.cloud.ledger(self.region), self.key_of(of)
        cursor = ledger.state(key).cursor(self.region)
        if not (
            cursor.running or cursor.attempting or cursor.crashes or 0 in cursor.roster.retrying.values()
        ):
            assert isinstance(ledger.commit(key, cursor, replace(cursor, running=True)), Committed)

    def effects(self) -> dict[str, int]:
        """Return how often each event's effect took place."""
        items = self.cloud.regions[self.region].table(EFFECTS).items
        return {i["id"]["S"].removeprefix("event:"): int(i["n"]["N"]) for i in items if "n" in i}

    def relay(self, count: int = 100, choose: Chooser = first, *, comes_again: bool = False) -> int:
        """One batch of the table's stream through the relay; returns how many changes it held."""
        batch = self._reader.take(count, choose)
        appended = [news for change in batch if (news := from_stream_record(change.event())) is not None]
        ports = self.ports()
        doorbells = self.faults.doorbells(ports.doorbells)
        relay = Relay(
            self.stream,
            region=self.region,
            ports=replace(ports, doorbells=doorbells),
            telemetry=self.telemetry,
        )
        failed = relay.ring(appended)
        if not comes_again:
            self._reader.confirm(batch, failed_from=failed)
        return len(batch)

    def relay_all(self) -> None:
        while self.relay():
            pass

    def receive(self, choose: Chooser = first) -> list[Received]:
        return self.queue.receive(10, choose)

    def answer(self, messages: Iterable[Received], *, by: Deliverer | None = None) -> None:
        """Deliver for each message as an invocation does: answered ones are deleted, others come again later."""
        deliverer = by or self.deliverer()
        for message in messages:
            deadline_ms = self.clock.now_ms() + INVOCATION_MS
            try:
                result = deliverer.deliver(
                    from_body(message.body), deadline_ms=deadline_ms, receive_count=message.receive_count
                )
            except PortError:
                continue
            if result.done:
                self.queue.delete(message.receipt_handle)

    def deliver_all(self, *, by: Deliverer | None = None) -> None:
        """Answer until queue and timers are empty; what failed comes again after its visibility time-out."""
        deliverer = by or self.deliverer()
        for _ in range(2000):
            while (body := self.timers.take()) is not None:
                bells = self.faults.doorbells(self.cloud.doorbells(self.region))
                if bells.ring(SUBSCRIPTION, [from_body(body)]):
                    self.timers.send(body, delay_seconds=1)
            messages = self.receive()
            if messages:
                self.answer(messages, by=deliverer)
            elif len(self.queue):
                self.clock.advance(60)
            elif (due_ms := self.timers.next_due_ms()) is not None:
                self.clock.advance(max(0.001, (due_ms - self.clock.now_ms()) / 1000))
            else:
                return
        raise AssertionError(f"the queue does not drain: {self.queue.bodies}")

    def ring_body(self, body: str) -> None:
        """Ring by a timer's message."""
        assert not self.cloud.doorbells(self.region).ring(SUBSCRIPTION, [from_body(body)])

    def parked(self, of: Lane = LANE) -> dict[str, Parked]:
        """The lane's parked keys, by key."""
        key = LaneKey(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), of)
        state = self.cloud.ledger(self.region).state(key)
        return {parked.key: parked for parked in state.parked.get(self.region, {}).values()}

    def ring_all(self, lanes: Iterable[Lane]) -> None:
        """Ring every lane again, as reconciliation does."""
        minute = self.clock.now_ms() // 60_000
        bells = [Doorbell(StreamName(STREAM), of, self.log.tail(of).sequence, again=minute) for of in lanes]
        self.cloud.doorbells(self.region).ring(SUBSCRIPTION, bells)
