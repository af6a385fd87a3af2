"""A stream of many lanes in memory, as one Region sees it, whose calls take simulated time; everything is delivered.

The real services run on it. They make their calls side by side as on Lambda, a bounded number at the same time, and a
call takes as long as it takes elsewhere: 5 ms in the Region itself, 80 ms to another.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import TypeVar

from eventfabric.definition.file import parse_definition
from eventfabric.model import (
    EMPTY_TAIL,
    Batch,
    BatchId,
    Event,
    Lane,
    LaneKey,
    Record,
    Region,
    StreamName,
    SubscriptionName,
    record_at,
)
from eventfabric.ports import Ports
from eventfabric.services.delivery.side_by_side import SideBySide
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.testing.memory.cloud import MemoryCloud
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import Faults
from eventfabric.testing.simulation.schedule import Schedule, SimulatedTime
from eventfabric.topology import Topology
from eventfabric.wire.payload_codec import pack, stored

T = TypeVar("T")
STREAM = StreamName("orders")
HOME = Region("us-east-1")
AWAY = Region("eu-west-1")
REGIONS = (HOME, AWAY, Region("ap-south-1"))
LOCAL_SECONDS, REMOTE_SECONDS = 0.005, 0.080
_STEPS_MAX = 50_000_000


class _Timed(Faults):
    """Lets each call take simulated time, in which others run, and counts the calls."""

    def __init__(self, schedule: Schedule, seconds: float, counted: Counter[str], prefix: str) -> None:
        super().__init__()
        self._schedule, self._seconds = schedule, seconds
        self._counted, self._prefix = counted, prefix

    def call(self, name: str, effect: Callable[[], T]) -> T:
        self._counted[f"{self._prefix}{name}"] += 1
        self._schedule.pause(self._seconds)
        return effect()


class LargeStream:
    """The stream, with one record in each lane of each of its Regions. `calls`: those made so far, by name.

    `deliver`: as in the definition; with "everywhere", the Region delivers the lanes of all of them.
    """

    def __init__(self, *, lanes: int, subscriptions: int, regions: int = 3, deliver: str = "origin") -> None:
        self.schedule = Schedule(Random(1))
        self.calls: Counter[str] = Counter()
        names = ", ".join(f'"{region}"' for region in REGIONS[:regions])
        self.topology = Topology(
            parse_definition(
                f'[fabric]\nname = "bench"\nregions = [{names}]\n[streams.{STREAM}]\nlanes = {lanes}\n'
                + "".join(
                    f'[subscriptions.s{number}]\nstream = "{STREAM}"\nhandler = "nobody:nothing"\n'
                    f'deliver = "{deliver}"\n'
                    for number in range(subscriptions)
                )
            )
        )
        self.stream = self.topology.stream(STREAM)
        self.clock = SimulatedTime(self.schedule)
        self._cloud = MemoryCloud(self.topology, clock=self.clock, entropy=SeededEntropy(1))
        self._local = _Timed(self.schedule, LOCAL_SECONDS, self.calls, "")
        self._remote = _Timed(self.schedule, REMOTE_SECONDS, self.calls, "remote ")
        for lane in lanes_of(self.stream):
            self._fill(lane, delivers=deliver == "everywhere" or lane.origin == HOME)

    def ports(self, region: Region = HOME) -> Ports:
        """Return the ports of the Region that looks."""
        return replace(
            self._local.ports(self._cloud.ports(region)),
            at=lambda region: self._remote.ports(self._cloud.ports(region)),
        )

    def side_by_side(self, most: int) -> SideBySide:
        """Make calls at the same time, at most so many, as threads do whose calls wait for replies."""

        def make(calls: Sequence[Callable[[], None]]) -> None:
            left, running, channel = list(reversed(calls)), min(most, len(calls)), "calls"

            def work() -> None:
                nonlocal running
                while left:
                    left.pop()()
                running -= 1
                self.schedule.wake(channel)

            for number in range(running):
                self.schedule.spawn(f"thread {number}", work)
            while running:
                self.schedule.wait(channel)

        return make

    def timed(self, work: Callable[[], T]) -> tuple[T, float]:
        """Do some work. Return its result and how long it took, in simulated seconds."""
        results: list[T] = []
        began_us = self.schedule.now_us
        self.schedule.spawn("work", lambda: results.append(work()))
        self.schedule.run(steps_max=_STEPS_MAX)
        return results[0], (self.schedule.now_us - began_us) / 1e6

    def advance(self, seconds: float) -> None:
        """Let time pass in which nothing happens."""
        self.schedule.now_us += int(seconds * 1e6)

    def _fill(self, lane: Lane, *, delivers: bool) -> None:
        record = _record(lane, now_ms=self.clock.now_ms())
        for region in {HOME, AWAY, lane.origin}:
            self._cloud.log(STREAM, region).append(record)
        end = record.tail.sequence
        for subscription in self.stream.subscriptions if delivers else ():
            key = LaneKey(STREAM, SubscriptionName(subscription.name), lane)
            ledger = self._cloud.ledger(HOME)
            read = ledger.state(key).cursor(HOME)
            ledger.commit(key, read, replace(read, sequence=end, base=end, chain=record.chain))


def _record(lane: Lane, *, now_ms: int) -> Record:
    event = Event(id="e", type="placed", key="k", data={}, time="2026-11-01T00:00:00Z", source="/bench")
    batch = Batch(BatchId(b"b" * 16), 1, frozenset({"placed"}), pack([stored(event)]))
    return record_at(EMPTY_TAIL, lane, batch, now_ms=now_ms, retention_seconds=None)
