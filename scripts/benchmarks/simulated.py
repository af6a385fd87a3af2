"""A fabric in simulated time: the real SDK and functions in memory, with calls as slow as the services are known to be.

Sources of the figures: for FIFO queues and table streams, from publish to function, measurements of 2022 ("Serverless
Messaging: Latency Compared", bitesizedserverless.com); for DynamoDB's puts and reads, the few milliseconds that its own
pages give (aws.amazon.com/dynamodb). A distribution is log-normal through its two points.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from io import StringIO
from itertools import count
from logging import CRITICAL
from math import log
from random import Random
from typing import Any, TypeVar

from aws_lambda_powertools import Logger

from eventfabric import Delivery, Event, Fabric, limits
from eventfabric.definition.file import parse_definition
from eventfabric.errors import EventFabricError
from eventfabric.model import Doorbell, Region, lane_index
from eventfabric.ports import Doorbells
from eventfabric.runtime import deliver, relay
from eventfabric.runtime.wiring import Runtime, using
from eventfabric.telemetry import NoTelemetry
from eventfabric.testing.local.invoke import LocalContext
from eventfabric.testing.memory.cloud import MemoryCloud
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import Faults
from eventfabric.testing.memory.stream import Change
from eventfabric.testing.simulation.schedule import Schedule, SimulatedTime
from eventfabric.topology import Topology

T = TypeVar("T")
REGION = Region("us-east-1")
_STEPS_MAX = 20_000_000
_WARM_SECONDS = 0.2
BENCH_LOGGER = Logger(service="bench", stream=StringIO(), level=CRITICAL)


@dataclass(frozen=True)
class Latency:
    """A distribution of times: 50% of them are at most `p50_ms`, 99% at most `p99_ms`."""

    p50_ms: float
    p99_ms: float

    def seconds(self, random: Random) -> float:
        """Draw a time from the distribution."""
        return random.lognormvariate(log(self.p50_ms), log(self.p99_ms / self.p50_ms) / 2.326) / 1000


_POLL_SECONDS = 0.25
STREAM_FUNCTION = Latency(213 - 125, 552 - 125)
"""From a table's stream to a function. The wait for one of four polls a second, part of the source's figure, is not."""
PUT, QUERY = Latency(5, 12), Latency(3, 9)
FIFO = Latency(28, 645)
_OF_CALLS = {"log.append": PUT, "ledger.commit": PUT, "credits.grant": PUT}


class SlowCalls(Faults):
    """Delays calls of ports by simulated time, in which others run."""

    def __init__(self, schedule: Schedule, random: Random) -> None:
        super().__init__()
        self._schedule, self._random = schedule, random

    def call(self, name: str, effect: Callable[[], T]) -> T:
        self._schedule.pause(_OF_CALLS.get(name, QUERY).seconds(self._random))
        return effect()


class Pickups:
    """Times at which a FIFO queue's messages reach a function. Messages of a group never overtake each other.

    A message that is sent while a pickup of its group is on its way is picked up with it.
    """

    def __init__(self, schedule: Schedule, seed: int) -> None:
        """Each group has its own random numbers, so that another load of the same groups meets the same pickups."""
        self._schedule, self._seed = schedule, seed
        self._at_us: defaultdict[str, int] = defaultdict(int)
        self._randoms: dict[str, Random] = {}

    def delay_seconds(self, group: str) -> float:
        """Delay of a message that is sent to a group now."""
        now_us = self._schedule.now_us
        if self._at_us[group] <= now_us:
            random = self._randoms.setdefault(group, Random(f"{self._seed} {group}"))
            self._at_us[group] = now_us + int(1e6 * FIFO.seconds(random))
        return (self._at_us[group] - now_us) / 1e6


class _Bells:
    """A ports.Doorbells whose doorbells reach the function after a delay."""

    def __init__(self, simulated: "SimulatedFabric", inner: Doorbells) -> None:
        self._fabric, self._inner = simulated, inner
        self._sent: set[str] = set()

    def ring(self, subscription: str, doorbells: Sequence[Doorbell]) -> list[Doorbell]:
        for bell in doorbells:
            if bell.deduplication_id not in self._sent:  # a queue drops duplicates when they are sent
                self._sent.add(bell.deduplication_id)
                delay = self._fabric.pickups.delay_seconds(bell.group)
                self._fabric.later(delay, partial(self._come, subscription, bell))
        return []

    def _come(self, subscription: str, bell: Doorbell) -> None:
        self._inner.ring(subscription, [bell])
        self._fabric.wake_one()

    def answer(self, subscription: str, receipt_handles: Sequence[str]) -> None:
        self._inner.answer(subscription, receipt_handles)

    def hide(self, subscription: str, receipt_handles: Sequence[str], seconds: int) -> None:
        self._inner.hide(subscription, receipt_handles, seconds)

    def put_off(self, subscription: str, seconds_of: Mapping[str, int]) -> None:
        self._inner.put_off(subscription, seconds_of)

    def ring_later(self, subscription: str, doorbell: Doorbell, delay_seconds: float) -> bool:
        return self._inner.ring_later(subscription, doorbell, delay_seconds)


@dataclass
class Timings:
    """Times in microseconds at which each event was published, and reached the handler."""

    published_us: dict[str, int] = field(default_factory=dict)
    handled_us: dict[str, int] = field(default_factory=dict)

    def latencies_ms(self) -> list[float]:
        """List the latencies of all events that were handled, sorted."""
        return sorted(
            (handled_us - self.published_us[id_]) / 1000 for id_, handled_us in self.handled_us.items()
        )


class SimulatedFabric:
    """One stream, one subscription, one Region, and a number of warm functions."""

    def __init__(
        self, *, lanes: int, express: bool, functions: int, relays: bool = True, seed: int = 1
    ) -> None:
        """If `relays` is False, there is no relay, and only producers ring."""
        self.random = Random(seed)
        self.schedule = Schedule(Random(seed))
        self.timings = Timings()
        self.pickups = Pickups(self.schedule, seed)
        self.topology = Topology(
            parse_definition(f"""
                [fabric]
                name = "bench"
                regions = ["{REGION}"]
                [streams.orders]
                lanes = {lanes}
                express = {str(express).lower()}
                [subscriptions.all]
                stream = "orders"
                handler = "nobody:nothing"
            """)
        )
        self._clock = SimulatedTime(self.schedule)
        entropy = SeededEntropy(seed)
        self._cloud = MemoryCloud(self.topology, clock=self._clock, entropy=entropy)
        without_delay = self._cloud.ports(REGION)
        self._ports = replace(
            SlowCalls(self.schedule, self.random).ports(without_delay),
            doorbells=_Bells(self, without_delay.doorbells),
            at=lambda region: without_delay,
        )
        self._queue = self._cloud.queue("all", REGION)
        self._relay = self._runtime(None)
        self._stream = self._cloud.log_table("orders", REGION).stream.reader()
        self._is_over, self._producing = False, 0
        self._numbers = count()
        self._idle: list[str] = []
        if relays:
            self.schedule.spawn("relay", self._relay_records)
        for number in range(functions):
            self.schedule.spawn(f"deliver {number}", self._poll, self._runtime("all"))

    def producer(self) -> Fabric:
        """Make a producer."""
        return Fabric(
            self.topology,
            REGION,
            clock=self._clock,
            entropy=self._ports.entropy,
            log_of=lambda stream, region: self._ports.log_of(stream),
            doorbells_of=lambda region: self._ports.doorbells,
            parallel_lanes=0,
        )

    def publish(self, fabric: Fabric, key: str, number: int) -> None:
        """Publish one event, which takes simulated time."""
        id_ = f"event-{number}"
        self.timings.published_us[id_] = self.schedule.now_us
        with suppress(EventFabricError):
            fabric.publish("orders", key=key, type="Placed", id=id_)

    def later(self, seconds: float, call: Callable[[], object]) -> None:
        """Call something after a delay."""

        def wait() -> None:
            self.schedule.pause(seconds)
            call()

        self.schedule.spawn("later", wait)

    def wake_one(self) -> None:
        """Wake an idle function, which then polls the queue."""
        if self._idle:
            self.schedule.wake(self._idle.pop())

    def run(self) -> Timings:
        """Run until nothing is left to do."""

        def end() -> None:
            while len(self.timings.handled_us) < len(self.timings.published_us) or self._producing:
                self.schedule.pause(1)
            self._is_over = True

        self.schedule.spawn("end", end)
        self.schedule.run(steps_max=_STEPS_MAX)
        self.schedule.close()
        return self.timings

    def produce(self, events: Callable[[Fabric], object]) -> None:
        """Start a producer that publishes as `events` says."""

        def run() -> None:
            try:
                events(self.producer())
            finally:
                self._producing -= 1

        self._producing += 1
        self.schedule.spawn("producer", run)

    def _runtime(self, subscription: str | None) -> Runtime:
        return Runtime(
            topology=self.topology,
            region=REGION,
            subscription=subscription,
            ports=self._ports,
            telemetry=NoTelemetry(),
            logger=BENCH_LOGGER,
            handlers={"all": self._handle},
            side_by_side_of=lambda most: self._side_by_side,
        )

    def _side_by_side(self, calls: Sequence[Callable[[], None]]) -> None:
        left, channel = len(calls), f"calls {next(self._numbers)}"

        def run(call: Callable[[], None]) -> None:
            nonlocal left
            call()
            left -= 1
            self.schedule.wake(channel)

        for call in calls:
            self.schedule.spawn("call", run, call)
        while left:
            self.schedule.wait(channel)

    def _handle(self, event: Event, delivery: Delivery) -> None:
        self.timings.handled_us.setdefault(str(event.id), self.schedule.now_us)

    def _relay_records(self) -> None:
        """Poll a shard, and ring later for what each poll finds."""
        while not self._is_over:
            changes = self._stream.take(limits.RELAY_BATCH_MAX, lambda most: 0)
            if len(changes) < limits.RELAY_BATCH_MAX:
                self.schedule.pause(_POLL_SECONDS)
            if changes:
                self._stream.confirm(changes)
                self.later(STREAM_FUNCTION.seconds(self.random), partial(self._ring_for, changes))

    def _ring_for(self, changes: Sequence[Change]) -> None:
        with using(self._relay):
            relay.handle({"Records": [change.event() for change in changes]}, self._context())

    def _poll(self, runtime: Runtime) -> None:
        while True:
            messages = self._queue.receive(10, lambda most: 0)
            if not messages:
                channel = f"poll {next(self._numbers)}"
                self._idle.append(channel)
                self.schedule.wait(channel)
                continue
            with using(runtime):
                deliver.handle({"Records": [message.event() for message in messages]}, self._context())
            for message in messages:
                self._queue.delete(message.receipt_handle)

    def _context(self) -> Any:
        return LocalContext("deliver", self._clock, self._clock.now_ms() + 60_000, "1")


@dataclass(frozen=True)
class Arrivals:
    """Events that come at random: for each, the time in microseconds from the start, and the key."""

    events: Sequence[tuple[int, str]]

    @classmethod
    def at_rate(cls, per_second: float, seconds: float) -> "Arrivals":
        """Draw arrivals at a rate. The same rate and time always give the same arrivals."""
        random, at_us, events = Random(2), 0.0, list[tuple[int, str]]()
        for _ in range(int(per_second * seconds)):
            at_us += 1e6 * random.expovariate(per_second)
            events.append((int(at_us), f"customer-{random.randrange(10_000)}"))
        return cls(events)


def end_to_end(arrivals: Arrivals, *, express: bool, lanes: int, producers: int) -> Timings:
    """Simulate the arrivals on a fabric. The producers share the events, and each makes one call at a time."""
    simulated = SimulatedFabric(lanes=lanes, express=express, functions=lanes)
    begin_us = simulated.schedule.now_us

    def produce(number: int, fabric: Fabric) -> None:
        for index in range(number, len(arrivals.events), producers):
            at_us, key = arrivals.events[index]
            simulated.schedule.pause(max(0, begin_us + at_us - simulated.schedule.now_us) / 1e6)
            simulated.publish(fabric, key, index)

    for number in range(producers):
        simulated.produce(partial(produce, number))
    return simulated.run()


def fifo_alone(arrivals: Arrivals, *, groups: int) -> Timings:
    """Simulate the arrivals on a FIFO queue alone: each event is a message, with the same keys in the same groups."""
    schedule, timings = Schedule(Random(1)), Timings()
    pickups, begin_us = Pickups(schedule, 1), schedule.now_us

    def produce() -> None:
        for number, (at_us, key) in enumerate(arrivals.events):
            schedule.pause((begin_us + at_us - schedule.now_us) / 1e6)
            timings.published_us[str(number)] = schedule.now_us
            delay = pickups.delay_seconds(f"{REGION}/0.{lane_index(key, groups)}")
            timings.handled_us[str(number)] = schedule.now_us + int(1e6 * delay)

    schedule.spawn("producer", produce)
    schedule.run(steps_max=_STEPS_MAX)
    return timings


def lane_throughput(lanes: int) -> float:
    """Simulate lanes with a producer each, which publishes one event after another. Returns events handled a second."""
    simulated = SimulatedFabric(lanes=lanes, express=True, functions=lanes, relays=False)
    keys = _keys(lanes)
    begin_us, numbers = simulated.schedule.now_us, count()
    lasts_us = int(1e6 * (_WARM_SECONDS + 0.2 + 10 / lanes))

    def produce(lane: int, fabric: Fabric) -> None:
        while simulated.schedule.now_us < begin_us + lasts_us:
            simulated.publish(fabric, keys[lane], next(numbers))

    for lane in range(lanes):
        simulated.produce(partial(produce, lane))
    timings = simulated.run()
    if len(timings.handled_us) != len(timings.published_us):
        raise AssertionError(f"{len(timings.published_us) - len(timings.handled_us)} events were not handled")
    warm_us = begin_us + int(1e6 * _WARM_SECONDS)
    handled = sum(warm_us <= at_us < begin_us + lasts_us for at_us in timings.handled_us.values())
    return 1e6 * handled / (begin_us + lasts_us - warm_us)


def _keys(lanes: int) -> list[str]:
    """Find a key for each lane."""
    key_of_lane: dict[int, str] = {}
    for number in count():
        key = f"customer-{number}"
        key_of_lane.setdefault(lane_index(key, lanes), key)
        if len(key_of_lane) == lanes:
            break
    return [key_of_lane[lane] for lane in range(lanes)]


def percentile(values: Sequence[float], share: float) -> float:
    """Pick a percentile from sorted values."""
    return values[min(len(values) - 1, int(share * len(values)))]
