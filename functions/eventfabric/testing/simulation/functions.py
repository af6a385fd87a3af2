"""Lambda in the simulation: pollers that invoke the real functions, by the rules of Lambda's own pollers."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from io import StringIO
from itertools import count
from logging import CRITICAL
from typing import Any, Final
from zlib import crc32

from aws_lambda_powertools import Logger

from eventfabric import limits
from eventfabric.errors import RefusedError
from eventfabric.model import Region
from eventfabric.runtime import deliver, reconcile, relay, timer
from eventfabric.runtime.declared import DeclaredHere
from eventfabric.runtime.wiring import Runtime, using
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.testing.local.invoke import LocalContext
from eventfabric.testing.memory.faults import SimulatedCrash
from eventfabric.testing.memory.queue import Received
from eventfabric.testing.memory.stream import Change
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.observed import HistoryTelemetry, ObservedHandler
from eventfabric.testing.simulation.process import Process
from eventfabric.testing.simulation.world import World

Entry = Callable[[dict[str, Any], Any], Any]
_LOGGER: Final = Logger(service="simulation", stream=StringIO(), level=CRITICAL, serialize_stacktrace=False)
_AGAIN_SECONDS: Final = 5.0
"""Time after which a poller sends a batch again whose function failed."""


class SimulatedFunction:
    """One concurrent execution of a function: a warm process, replaced after a crash and after a deployment."""

    def __init__(
        self, world: World, name: str, region: str, entry: Entry, subscription: str | None = None
    ) -> None:
        self.world = world
        self.name = name
        self.region = region
        self._entry = entry
        self._subscription = subscription
        self._numbers = count(1)
        self._process: Process | None = None
        self._runtime: Runtime | None = None
        self._code = world.code

    def invoke(self, event: dict[str, Any], *, within_seconds: float | None = None) -> dict[str, Any] | None:
        """Invoke the function and return its answer; None if it crashed, raised, or was cut off.

        `within_seconds`: its time-out; default: as deployed.
        """
        world = self.world
        if self._process is None or self._process.is_dead or self._code != world.code:
            self._start()
        process, runtime = self._process, self._runtime
        assert process is not None
        assert runtime is not None
        now_ms = process.clock.now_ms()
        seconds = within_seconds or limits.FUNCTION_TIMEOUT_SECONDS
        if self._subscription is not None:
            seconds = runtime.own.definition.function.timeout_seconds
        context = LocalContext(
            self.name, process.clock, now_ms + int(1000 * seconds), f"{self.name}-{now_ms}"
        )
        process.until_us = world.schedule.now_us + int(1_000_000 * seconds)
        process.is_stalled = False
        try:
            with using(runtime):
                answer: dict[str, Any] = self._entry(event, context)
        except SimulatedCrash:
            process.is_dead = True
            return None
        except Exception as error:  # a poller of Lambda hears no more than that either
            process.tell(
                history.Crashed, reason=f"{type(error).__name__}: {error}", raised=type(error).__name__
            )
            return None
        process.until_us = None
        failed = len(answer.get("batchItemFailures", ()))
        process.tell(history.RunEnded, function=self.name, items=len(event.get("Records", ())), failed=failed)
        return answer

    def _start(self) -> None:
        world, name = self.world, self._subscription
        process = Process(world, f"{self.name}#{next(self._numbers)}", self.region)
        self._process, self._code = process, world.code
        self._runtime = Runtime(
            topology=world.topology,
            region=Region(self.region),
            subscription=name,
            ports=process.ports,
            telemetry=HistoryTelemetry(process),
            logger=_LOGGER,
            handlers={} if name is None else {name: world.handler_for(process, name)},
            observe=lambda handler: ObservedHandler(handler, process),
            code_version=str(world.code),
            declared=DeclaredHere(Region(self.region), process.ports) if world.plan.by_catalogue else None,
            side_by_side_of=lambda most: self._side_by_side if world.plan.express else one_after_another,
            schemas=world.schemas,
        )

    def _side_by_side(self, calls: Sequence[Callable[[], None]]) -> None:
        """Run each call as an actor of its own. They share the process, and die with it."""
        schedule, channel = self.world.schedule, f"calls of {self.name}"
        left, raised = len(calls), list[BaseException]()

        def run(call: Callable[[], None]) -> None:
            nonlocal left
            try:
                call()
            except (Exception, SimulatedCrash) as error:  # raised again by the code that waits for the calls
                raised.append(error)
            left -= 1
            schedule.wake(channel)

        for number, call in enumerate(calls):
            schedule.spawn(f"{self.name} call {number}", run, call)
        while left:
            schedule.wait(channel)
        if raised:
            raise raised[0]


class Poller:
    """Invokes one function, again and again. The pollers of a lost Region stand still."""

    def __init__(self, function: SimulatedFunction) -> None:
        self.function = function
        self.world = function.world
        self.region = function.region
        self.random = self.world.random

    def start(self) -> None:
        """Begin to poll."""
        self.world.schedule.spawn(self.function.name, self._run)

    def _run(self) -> None:
        while True:
            if self.region in self.world.lost:
                self.world.schedule.wait(f"region/{self.region}")
            else:
                self.poll()

    def poll(self) -> None:
        """Pass one batch to the function, or wait until there may be one."""
        raise NotImplementedError

    def draws(self, fault: str) -> bool:
        """Tell if a fault of the poller happens now."""
        rate = self.world.rate(fault)
        return rate > 0 and self.random.random() < rate


class RelayPoller(Poller):
    """Polls one shard of the log's stream: each item in order, items in any order, batches again until they succeed."""

    def __init__(self, world: World, region: str, shard: int) -> None:
        super().__init__(SimulatedFunction(world, f"relay {region} {shard}", region, relay.handle))
        self._shard = shard
        self._table = world.topology.stream(world.plan.stream).table.name
        self._reader = world.cloud.regions[region].table(self._table).stream.reader()

    def poll(self) -> None:
        """See Poller."""
        world, schedule = self.world, self.world.schedule
        if self._shard or world.shards[self.region] > 1:
            # Every shard's reader sees the whole stream, and drops what belongs to the other shards.
            self._reader.confirm([change for change in self._reader.pending if not self._is_mine(change)])
        if not self._reader.pending:
            schedule.wait(f"changes/{self.region}")
            return
        schedule.pause(self.random.uniform(0.01, 0.4))
        size = self.random.randint(1, limits.RELAY_BATCH_MAX if world.healed else 12)
        batch = self._reader.take(size, self.random.randrange)
        answer = self.function.invoke({"Records": [change.event() for change in batch]})
        if answer is None or self.draws("record_again"):
            schedule.pause(_AGAIN_SECONDS)
            return
        failures = answer["batchItemFailures"]
        self._reader.confirm(batch, failed_from=failures[0]["itemIdentifier"] if failures else None)
        if failures:
            schedule.pause(_AGAIN_SECONDS)

    def _is_mine(self, change: Change) -> bool:
        shards = self.world.shards[self.region]
        if shards == 1:
            return self._shard == 0
        return crc32(repr(change.key).encode()) % shards == self._shard


class QueuePoller(Poller):
    """Polls a subscription's FIFO queue: what the function does not fail is deleted, all else comes again later."""

    def __init__(self, world: World, region: str, subscription: str, number: int) -> None:
        name = f"deliver {subscription} {region} {number}"
        super().__init__(SimulatedFunction(world, name, region, deliver.handle, subscription))
        self._channel = f"queue/{region}/{subscription}"
        self._queue = world.cloud.queue(subscription, region)

    def poll(self) -> None:
        """See Poller."""
        schedule = self.world.schedule
        if self.world.trouble.is_away(self.region, "doorbells"):
            schedule.pause(_AGAIN_SECONDS)
            return
        messages = self._queue.receive(
            self.random.randint(1, limits.DOORBELL_BATCH_MAX), self.random.randrange
        )
        if not messages:
            due_ms = self._queue.next_due_ms()
            schedule.wait(self._channel, until_us=None if due_ms is None else due_ms * 1000 + 1)
            return
        answer = self.function.invoke({"Records": [message.event() for message in messages]})
        if answer is None or self.region in self.world.lost:
            return
        failed = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
        self._delete([message for message in messages if message.message_id not in failed])
        schedule.wake(self._channel)

    def _delete(self, messages: list[Received]) -> None:
        for message in messages:
            if not self.draws("bell_kept"):
                with suppress(RefusedError):
                    self._queue.delete(message.receipt_handle)


class TimerPoller(Poller):
    """Polls the timers, as one of several: in no order, and again if the function failed. Its subscription wakes it."""

    def __init__(self, world: World, region: str, subscription: str) -> None:
        super().__init__(SimulatedFunction(world, f"timer {subscription} {region}", region, timer.handle))
        self._channel = f"timers/{region}/{subscription}"
        self._timers = world.cloud.timers(subscription, region)

    def poll(self) -> None:
        """See Poller."""
        schedule, timers = self.world.schedule, self._timers
        if self.world.trouble.is_away(self.region, "timers"):
            schedule.pause(_AGAIN_SECONDS)
            return
        received = timers.receive(self.random.randrange)
        if received is None:
            due_ms = timers.next_due_ms()
            schedule.wait(self._channel, until_us=None if due_ms is None else due_ms * 1000 + 1)
            return
        record = {**received.event(), "eventSourceARN": f"arn:aws:sqs:::{timers.name}"}
        answer = self.function.invoke({"Records": [record]})
        failed = answer is None or answer["batchItemFailures"] or self.draws("bell_kept")
        if failed and received.receive_count < limits.TIMER_RECEIVES_MAX:
            return  # it comes again; after the last receive it is a dead letter
        with suppress(RefusedError):
            timers.delete(received.receipt_handle)


def reconcile_in(
    world: World, region: str, *, full: bool = False, within_seconds: float | None = None
) -> None:
    """Run one pass of reconciliation in a Region, or as much of it as an invocation has time for."""
    SimulatedFunction(world, f"reconcile {region} {world.schedule.steps}", region, reconcile.handle).invoke(
        {"full": full}, within_seconds=within_seconds
    )
