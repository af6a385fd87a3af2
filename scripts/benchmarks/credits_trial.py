"""A trial of credits in simulated time: publishers, functions that falter, and what both get done.

The relay, the functions, and the publishers' appends and credits are the library's own, on stores in memory.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from random import Random
from typing import Any, Final

from eventfabric import Delivery, Event, limits
from eventfabric.definition.file import parse_definition
from eventfabric.errors import BackpressureError, ContendedAppendError
from eventfabric.model import (
    GENERATION_FIRST,
    Batch,
    BatchId,
    Lane,
    LaneIndex,
    LaneKey,
    StreamName,
    SubscriptionName,
    lane_index,
)
from eventfabric.runtime import deliver, relay
from eventfabric.runtime.wiring import Runtime, using
from eventfabric.sdk.subscriber import subscriber
from eventfabric.services.publishing.append import Appender
from eventfabric.services.publishing.gates import Gating
from eventfabric.telemetry import NoTelemetry
from eventfabric.testing.local.invoke import LocalContext
from eventfabric.testing.memory.cloud import MemoryCloud
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.queue import Received
from eventfabric.testing.simulation.schedule import START_MS, Schedule, SimulatedTime
from eventfabric.topology import Topology
from eventfabric.wire.doorbell import from_body
from eventfabric.wire.payload_codec import pack, stored
from scripts.benchmarks.simulated import BENCH_LOGGER, REGION, STREAM_FUNCTION, SlowCalls

READ_UNITS: Final = 0.5
"""Read units of a query for the slots of one subscription, of up to 448 lanes."""
SECONDS: Final = 10
"""Seconds of the usual rate by which the subscription lets producers be ahead."""
_TIME: Final = "2026-11-01T00:00:00Z"
_TICK_SECONDS: Final = 0.25
_WAITING_MAX: Final = 100
_BATCH: Final = 50
_POLL_SECONDS: Final = 0.25
_FIFO_SECONDS: Final = 0.03
"""Usual time from a FIFO queue to its function."""
_STEPS_MAX: Final = 50_000_000


@dataclass(frozen=True)
class Size:
    """Number and rate of everything. `rate`: events a second that all publishers want together."""

    lanes: int
    publishers: int
    rate: float
    calm: int = 200
    fall: int = 300
    after: int = 60
    fair: float = 0.9
    """Least value of Jain's index of the publishers' shares."""

    @property
    def recovers(self) -> int:
        """Second at which the consumer is back."""
        return self.calm + self.fall


@dataclass(frozen=True)
class Scenario:
    """A way to falter. `share`: of the usual rate, which the consumer keeps; 0: it is dead.

    `hot`: half of the events are in one lane. `lives`: seconds after which another publisher takes a publisher's place.
    `others`: further subscriptions that hold producers back, and do not falter. `halted`: one lane stands still.
    """

    name: str
    share: float
    hot: bool = False
    lives: int = 0
    others: int = 0
    halted: bool = False


@dataclass
class Figures:
    """Figures of a trial. `shares`: events of each publisher's place while the consumer falters."""

    during: float
    backlog: int
    backlog_after: int
    returns_seconds: int | None
    jain: float
    read_units: float
    raises: float


class _Calls(SlowCalls):
    """Calls of ports that take simulated time, and are counted."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.numbers = Counter[str]()

    def call(self, name: str, effect: Callable[[], Any]) -> Any:
        self.numbers[name] += 1
        return super().call(name, effect)


class _Publisher:
    """A publisher's process: each lane in which events wait is tried as soon as it may be."""

    def __init__(self, trial: "Trial", place: int) -> None:
        self._trial, self._place = trial, place
        self._waiting = defaultdict[int, list[str]](list)
        self._rests_until_s = defaultdict[int, float](float)
        gating = Gating(
            lambda region: trial.ports.credits, clock=trial.ports.clock, entropy=trial.ports.entropy
        )
        stream = trial.topology.stream("orders")
        self._appender = Appender(
            trial.ports.log_of(stream),
            stream=stream.name,
            clock=trial.ports.clock,
            entropy=trial.ports.entropy,
            credits=gating.of(lambda: stream, REGION),
        )

    def run(self, until_s: float) -> None:
        """Publish until a second."""
        trial, owed = self._trial, self._trial.random.random()
        while trial.now_s < until_s:
            begun_s = trial.now_s
            owed += (
                trial.size.rate / trial.size.publishers * _TICK_SECONDS * trial.random.choice((0.5, 1, 1.5))
            )
            for _ in range(int(owed)):
                key = trial.key()
                waiting = self._waiting[lane_index(key, trial.size.lanes)]
                if len(waiting) < _WAITING_MAX:
                    waiting.append(key)
            owed -= int(owed)
            self._append_all()
            trial.schedule.pause(max(0.0, _TICK_SECONDS - (trial.now_s - begun_s)))

    def _append_all(self) -> None:
        now_s = self._trial.now_s
        lanes = [
            index
            for index, waiting in self._waiting.items()
            if waiting and now_s >= self._rests_until_s[index]
        ]
        self._trial.random.shuffle(lanes)
        for index in lanes:
            self._append(Lane(REGION, GENERATION_FIRST, LaneIndex(index)), self._waiting[index])

    def _append(self, lane: Lane, waiting: list[str]) -> None:
        trial = self._trial
        events = [Event(id=trial.id(), type="Placed", key=key, source="/t", time=_TIME) for key in waiting]
        batch = Batch(
            BatchId(trial.ports.entropy.bytes(16)),
            len(events),
            frozenset({"Placed"}),
            pack([stored(event) for event in events]),
        )
        try:
            appended = self._appender.append(lane, batch, is_atomic=False).count
        except BackpressureError as error:
            self._rests_until_s[lane.index] = trial.now_s + error.retry_after
            return
        except ContendedAppendError:
            return
        del waiting[:appended]
        trial.appended(self._place, lane, appended)


class Trial:
    """A scenario of one size, from its beginning to its end."""

    def __init__(self, scenario: Scenario, size: Size, *, functions: int = 8, seed: int = 1) -> None:
        self.scenario, self.size = scenario, size
        self.random = Random(seed)
        self.schedule = Schedule(Random(seed))
        self._names = ["billing", *(f"other-{number}" for number in range(scenario.others))]
        self.topology = Topology(parse_definition(_definition(size, self._names)))
        self._clock = SimulatedTime(self.schedule)
        self._cloud = MemoryCloud(self.topology, clock=self._clock, entropy=SeededEntropy(seed))
        without_delay = self._cloud.ports(REGION)
        self._calls = _Calls(self.schedule, self.random)
        ports = self._calls.ports(without_delay)
        self.ports = replace(ports, doorbells=without_delay.doorbells, at=lambda region: without_delay)
        self._functions = functions
        self._numbers = count()
        self._stream = self._cloud.log_table("orders", REGION).stream.reader()
        self._in_second = Counter[int]()
        self._shares = Counter[int]()
        self._ends = Counter[int]()
        self._backlogs: list[tuple[float, int]] = []
        self._hot = next(f"hot-{n}" for n in count() if lane_index(f"hot-{n}", size.lanes) == size.lanes // 2)

    @property
    def now_s(self) -> float:
        """Seconds since the beginning."""
        return self.schedule.now_us / 1e6 - START_MS / 1e3

    def id(self) -> str:
        """Return an event's id."""
        return f"event-{next(self._numbers)}"

    def key(self) -> str:
        """Draw a key."""
        if self.scenario.hot and self.random.random() < 0.5:
            return self._hot
        return f"customer-{self.random.randrange(10_000)}"

    def appended(self, place: int, lane: Lane, events: int) -> None:
        """Count events that were appended."""
        self._in_second[int(self.now_s)] += events
        self._ends[lane.index] += events
        if self.size.calm + 0.25 * self.size.fall <= self.now_s < self.size.recovers:
            self._shares[place] += events

    def run(self) -> Figures:
        """Run it, and return its figures."""
        ends_s = self.size.recovers + self.size.after
        self.schedule.spawn("relay", self._relay_records)
        for name in self._names:
            for number in range(self._functions):
                self.schedule.spawn(f"{name} {number}", self._poll, name, self._runtime(name))
        for place in range(self.size.publishers):
            self.schedule.spawn(f"publisher {place}", self._publish, place)
        self.schedule.spawn("observer", self._observe)
        self.schedule.run(until_us=START_MS * 1000 + int(1e6 * ends_s), steps_max=_STEPS_MAX)
        self.schedule.close()
        return self._figures(ends_s)

    def _figures(self, ends_s: float) -> Figures:
        size = self.size
        shares = [self._shares[place] for place in range(size.publishers)]
        falls_s = int(size.calm + 0.25 * size.fall)
        processes_seconds = size.publishers * ends_s
        return Figures(
            during=self._rate(falls_s, size.recovers),
            backlog=max(events for second, events in self._backlogs if 15 < second < size.recovers),
            backlog_after=max(events for second, events in self._backlogs if second >= size.recovers),
            returns_seconds=None if self.scenario.halted else self._returns(),
            jain=sum(shares) ** 2 / (len(shares) * sum(own**2 for own in shares)) if any(shares) else 0.0,
            read_units=READ_UNITS * self._calls.numbers["credits.granted"] / processes_seconds,
            raises=self._calls.numbers["credits.grant"] / ends_s,
        )

    def _rate(self, since_s: int, until_s: int) -> float:
        return sum(self._in_second[second] for second in range(since_s, until_s)) / (until_s - since_s)

    def _returns(self) -> int | None:
        begins = range(self.size.recovers, self.size.recovers + self.size.after - 5)
        return next(
            (
                second - self.size.recovers
                for second in begins
                if self._rate(second, second + 5) >= 0.9 * self.size.rate
            ),
            None,
        )

    def _publish(self, place: int) -> None:
        lives, ends_s = self.scenario.lives, self.size.recovers + self.size.after
        next_s = lives * (place + 1) / self.size.publishers if lives else ends_s
        while self.now_s < ends_s:
            _Publisher(self, place).run(next_s)
            next_s += lives or ends_s

    def _observe(self) -> None:
        """Note, each second, how far the subscription is behind that is furthest behind."""
        ledger = self._cloud.ledger(REGION)
        while True:
            behind = [
                sum(
                    max(0, end - ledger.state(_key(name, index)).cursor(REGION).sequence)
                    for index, end in self._ends.items()
                )
                for name in self._names
            ]
            self._backlogs.append((self.now_s, max(behind)))
            self.schedule.pause(1.0)

    def _runtime(self, subscription: str | None) -> Runtime:
        @subscriber(batch=_BATCH)
        def handle(events: list[Event], delivery: Delivery) -> None:
            self._handle(subscription or "", len(events))

        return Runtime(
            topology=self.topology,
            region=REGION,
            subscription=subscription,
            ports=self.ports,
            telemetry=NoTelemetry(),
            logger=BENCH_LOGGER,
            handlers={} if subscription is None else {subscription: handle},
        )

    def _handle(self, subscription: str, events: int) -> None:
        """Take as long for events as one of the functions does, or for ever while the consumer is dead."""
        left = float(events)
        while left > 0:
            speed = self._speed(subscription) / self._functions
            self.schedule.pause(min(left / speed, 0.5) if speed else 1.0)
            left -= 0.5 * speed if speed and left > 0.5 * speed else left if speed else 0.0

    def _speed(self, subscription: str) -> float:
        """Return how many events a second all functions of a subscription take at most."""
        falters = subscription == self._names[0] and self.size.calm <= self.now_s < self.size.recovers
        return (self.scenario.share if falters else 2.5) * self.size.rate

    def _relay_records(self) -> None:
        """Poll the log's stream, and ring later for what each poll finds."""
        runtime = self._runtime(None)
        while True:
            self.schedule.pause(_POLL_SECONDS)
            changes = self._stream.take(limits.RELAY_BATCH_MAX, lambda most: 0)
            if changes:
                self._stream.confirm(changes)
                records = [change.event() for change in changes]
                self.schedule.spawn("ring", self._ring_for, runtime, records)

    def _ring_for(self, runtime: Runtime, records: Sequence[Any]) -> None:
        self.schedule.pause(STREAM_FUNCTION.seconds(self.random))
        with using(runtime):
            relay.handle({"Records": records}, self._context("relay"))

    def _poll(self, name: str, runtime: Runtime) -> None:
        """Deliver as one of a subscription's functions. A dead consumer's functions do nothing."""
        queue = self._cloud.queue(name, REGION)
        while True:
            messages = queue.receive(1, lambda most: 0) if self._speed(name) else []
            if not messages or self._stands_still(messages[0]):
                self.schedule.pause(_POLL_SECONDS * self.random.random())
                continue
            self.schedule.pause(_FIFO_SECONDS)
            with using(runtime):
                answer = deliver.handle({"Records": [messages[0].event()]}, self._context(name))
            if not answer["batchItemFailures"]:
                queue.delete(messages[0].receipt_handle)

    def _stands_still(self, message: Received) -> bool:
        """Tell if the message is of the lane that is halted for now. It comes again later."""
        is_halted = self.scenario.halted and self.size.calm <= self.now_s < self.size.recovers
        return is_halted and from_body(message.body).lane.index == 1

    def _context(self, name: str) -> Any:
        return LocalContext(name, self._clock, self._clock.now_ms() + 600_000, "1")


def _key(subscription: str, index: int) -> LaneKey:
    lane = Lane(REGION, GENERATION_FIRST, LaneIndex(index))
    return LaneKey(StreamName("orders"), SubscriptionName(subscription), lane)


def _definition(size: Size, names: Sequence[str]) -> str:
    subscriptions = "".join(
        f"""
        [subscriptions.{name}]
        stream = "orders"
        handler = "nobody:nothing"
        backpressure = {{ seconds = {SECONDS} }}
        """
        for name in names
    )
    return f"""
        [fabric]
        name = "bench"
        regions = ["{REGION}"]
        [streams.orders]
        lanes = {size.lanes}
        {subscriptions}
    """
