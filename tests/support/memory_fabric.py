"""A fabric in memory with the real services on it, and what a test asks of it: one stream, one subscription.

The drivers (relay_all, deliver_all) stand for Lambda's pollers and follow their rules.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace

from eventfabric import limits
from eventfabric.definition.file import parse_definition
from eventfabric.errors import PortError
from eventfabric.model.commit import Committed
from eventfabric.model.cursor import Cursor, LaneKey
from eventfabric.model.doorbell import Doorbell
from eventfabric.model.event import Event
from eventfabric.model.identity import (
    BatchId,
    Generation,
    Lane,
    LaneIndex,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)
from eventfabric.model.parked import Parked
from eventfabric.model.record import EMPTY_TAIL, Batch, Record, Tail, record_at
from eventfabric.ports import Handler, Ledger, Ports
from eventfabric.services.delivery.deliver import Deliverer
from eventfabric.services.delivery.lane_result import LaneResult
from eventfabric.services.delivery.relay import relay
from eventfabric.services.delivery.side_by_side import SideBySide, one_after_another
from eventfabric.services.lanes.lane_end import lane_end
from eventfabric.services.lanes.standing import Standings
from eventfabric.services.publishing.append import Appender
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.cloud import MemoryCloud
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import Faults
from eventfabric.testing.memory.queue import Received
from eventfabric.testing.memory.stream import Chooser, StreamReader, first
from eventfabric.topology import StreamTopology, SubscriptionTopology, Topology
from eventfabric.wire.doorbell import from_body
from eventfabric.wire.payload_codec import pack, stored, unpack
from eventfabric.wire.stream_record import from_stream_record
from tests.support.recording_handler import EFFECTS, Recorder

HOME, AWAY, FAR = Region("us-east-1"), Region("eu-west-1"), Region("ap-south-1")
STREAM, SUBSCRIPTION = "orders", "billing"
LANE = Lane(HOME, Generation(0), LaneIndex(0))
INVOCATION_MS = 100_000


def topology(
    lanes: int = 2, durability: str = "replicated", retention_days: int = 0, **subscription: object
) -> Topology:
    """Two Regions (three where a quorum needs them), one stream, one subscription with these settings."""
    regions = [HOME, AWAY, FAR] if durability == "quorum" else [HOME, AWAY]
    named = ", ".join(f'"{region}"' for region in regions)
    settings = "\n".join(f"{name} = {_toml(value)}" for name, value in subscription.items())
    return Topology(
        parse_definition(f"""
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
        """)
    )


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value).replace("'", '"')


def lane(index: int = 0, origin: Region = HOME) -> Lane:
    return Lane(origin, Generation(0), LaneIndex(index))


def event(name: str, *, key: str = "k", type: str = "placed") -> Event:
    return Event(id=name, type=type, key=key, data={"name": name}, time="2026-11-01T00:00:00Z", source="/t")


def batch_of(events: Sequence[Event], batch_id: bytes) -> Batch:
    types = frozenset(one.type for one in events)
    return Batch(BatchId(batch_id), len(events), types, pack([stored(one) for one in events]))


@dataclass
class Counting:
    """Telemetry that adds up."""

    totals: dict[Metric, float] = field(default_factory=dict)
    told: list[LogEvent] = field(default_factory=list)
    gauges: dict[tuple[Metric, str | None], float] = field(default_factory=dict)

    def tell(self, event: LogEvent, **about: object) -> None:
        self.told.append(event)

    def add(self, metric: Metric, value: float = 1, *, of: str | None = None) -> None:
        self.totals[metric] = self.totals.get(metric, 0) + value

    def gauge(self, metric: Metric, value: float, *, of: str | None = None) -> None:
        self.gauges[metric, of] = value


class World:
    """One fabric; `delivered_in` is the Region whose deliveries are looked at."""

    def __init__(
        self,
        *,
        seed: int = 0,
        delivered_in: Region = HOME,
        handler: Handler | None = None,
        lanes: int = 2,
        durability: str = "replicated",
        retention_days: int = 0,
        **subscription: object,
    ) -> None:
        self.clock = MemoryClock()
        self.entropy = SeededEntropy(seed)
        self.topology = topology(lanes, durability, retention_days, **subscription)
        self.cloud = MemoryCloud(self.topology, clock=self.clock, entropy=self.entropy)
        for each in self.cloud.regions.values():
            each.create_table(EFFECTS, key_names=("id",))
        self.handler = handler or Recorder(effects=subscription.get("guarantee") == "exactly_once")
        self.telemetry = Counting()
        self.faults = Faults()
        self.origin_log = self.cloud.log(STREAM, HOME)
        self._batches = 0
        self._look_at(delivered_in)

    def _look_at(self, region: Region) -> None:
        self.region = region
        self.queue = self.cloud.queue(SUBSCRIPTION, region)
        self.timers = self.cloud.timers(SUBSCRIPTION, region)
        self.table = self.cloud.log_table(self.stream.name, region)
        self.log = self.cloud.log(STREAM, region)
        self._reader: StreamReader = self.table.stream.reader()

    def at(self, region: Region, *, handler: Handler | None = None) -> "World":
        """Return the same fabric in which another Region's deliveries are observed, with a handler of their own."""
        other = copy(self)
        other.handler = handler or Recorder(effects=self.recorder.effects)
        other._look_at(region)
        return other

    @property
    def stream(self) -> StreamTopology:
        return self.topology.stream(STREAM)

    @property
    def subscription(self) -> SubscriptionTopology:
        return self.topology.subscription(SUBSCRIPTION)

    @property
    def ledger(self) -> Ledger:
        return self.cloud.ledger(self.region)

    def ports(self, region: Region | None = None) -> Ports:
        """The ports of a Region, without faults."""
        return self.cloud.ports(region or self.region)

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
            ports=faults.ports(self.ports()),
            handler=faults.handler(handler or self.handler),
            telemetry=self.telemetry,
            side_by_side=side_by_side,
            memory_bytes=memory_bytes,
        )

    def record(self, at: Tail, *events: Event, of: Lane = LANE) -> Record:
        """The record that puts these events at a tail; not written."""
        self._batches += 1
        batch = batch_of(events, self._batches.to_bytes(16, "big"))
        kept = self.stream.retention_seconds
        return record_at(at, of, batch, now_ms=self.clock.now_ms(), retention_seconds=kept)

    def put(self, *events: Event, of: Lane = LANE, log_lane_tail: Tail | None = None) -> Record:
        """Append one record with these events to a lane of the origin; returns it."""
        end = log_lane_tail or lane_end(self.origin_log, of, now_ms=self.clock.now_ms()).tail
        record = self.record(end, *events, of=of)
        assert self.origin_log.append(record) is None
        return record

    def records(self, of: Lane = LANE) -> list[Record]:
        """A lane's whole log at its origin."""
        found: list[Record] = []
        start = EMPTY_TAIL.sequence
        while True:
            page = self.origin_log.read(of, start, records_max=1000)
            found += page.records
            if not page.more or not page.records:
                return found
            start = page.records[-1].tail.sequence

    def logged_ids(self, of: Lane = LANE) -> list[str]:
        """The ids of a lane's events, in the log's order."""
        return [str(one.id) for record in self.records(of) for one in unpack(record)]

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
        doorbells = self.faults.doorbells(self.cloud.doorbells(self.region))
        standings = Standings.of(self.subscription, self.ports())
        failed = relay(
            appended,
            self.stream,
            region=self.region,
            owns=lambda subscription, origin: standings.owns(origin),
            doorbells=doorbells,
            telemetry=self.telemetry,
        )
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
