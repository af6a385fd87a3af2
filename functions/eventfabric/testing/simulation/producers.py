"""Producers in the simulation: they publish through the SDK, and note what they were told about each event."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import count
from zlib import crc32

from msgspec.structs import replace

from eventfabric.errors import (
    BackpressureError,
    EventFabricError,
    IndeterminateAppendError,
    IndeterminateTransactionError,
    PublishFailedError,
    PublishNotAttemptedError,
)
from eventfabric.model import Region
from eventfabric.sdk.bundle import Receipt
from eventfabric.sdk.fabric import Fabric
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import SimulatedCrash
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history_of_credits import HeldBack, ProducerBegan
from eventfabric.testing.simulation.observer import INVOICES
from eventfabric.testing.simulation.plan import PlannedEvent, Publish
from eventfabric.testing.simulation.process import Process
from eventfabric.testing.simulation.schedule import START_MS
from eventfabric.testing.simulation.world import World
from eventfabric.topology import Topology

_SETTLE_TRIES = 3
_TIMEOUT_SECONDS = 20.0
_RIVAL_SECONDS = 0.5
_AGAIN_SECONDS = 2.0
"""Most time after which a producer tries again what was held back."""
_TRIES_AFTER_ALL = 30
"""Tries after which a producer waits for a pass of reconciliation, once nothing fails any more."""


class Rival:
    """A publisher to the second stream, which appends to its lanes now and then while handlers publish there."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._region = world.plan.regions[number % len(world.plan.regions)]
        self._name = f"rival {number}"
        self._numbers = count(1)

    def start(self) -> None:
        """Begin to publish."""
        self._world.schedule.spawn(self._name, self._run)

    def _run(self) -> None:
        world = self._world
        last_seconds = max((call.after_seconds for call in world.plan.publishes), default=0.0)
        until_us = (START_MS + int(1000 * last_seconds)) * 1000
        while not world.healed and world.schedule.now_us < until_us:
            process = Process(world, f"{self._name}#{next(self._numbers)}", self._region)
            with suppress(EventFabricError, SimulatedCrash):
                fabric = Fabric(
                    world.topology,
                    self._region,
                    log_of=lambda stream, region: process.ports.at(region).log_of(stream),  # noqa: B023 - used in this round
                    clock=process.clock,
                    entropy=world.entropy,
                    parallel_lanes=0,
                    append_timeout_seconds=_TIMEOUT_SECONDS,
                )
                while not world.healed and world.schedule.now_us < until_us:
                    fabric.publish(INVOICES, key=process.random.choice("abcdef"), type="rival")
                    process.breathe(process.random.expovariate(1 / _RIVAL_SECONDS) * world.plan.slowness)
            world.schedule.pause(1.0)


class Producer:
    """One producer of a Region, which makes its calls in the order of time. A crash loses one call, not the rest."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._region = world.plan.producers[number]
        self._name = f"producer {number} {self._region}"
        self._calls = sorted(
            (call for call in world.plan.publishes if call.producer == number),
            key=lambda call: call.after_seconds,
        )
        self._numbers = count(1)
        self._stream = world.plan.stream
        self._held: list[Publish] = []
        """Calls that are held back, to be made again."""
        self._process: Process
        self._fabric: Fabric

    def start(self) -> None:
        """Begin to publish."""
        if self._calls:
            self._world.schedule.spawn(self._name, self._run)

    def _run(self) -> None:
        self._begin()
        for call in self._calls:
            begin_us = (START_MS + int(1000 * call.after_seconds)) * 1000
            self._pause_until(begin_us)
            while self._region in self._world.lost:
                self._world.schedule.wait(f"region/{self._region}")
            if self._world.healed:
                break
            self._try(call)
        self._try_until_the_end()

    def _pause_until(self, time_us: int) -> None:
        """Pause until a time. Meanwhile, try again what was held back."""
        schedule = self._world.schedule
        while self._held and time_us - schedule.now_us > 1_000_000 * _AGAIN_SECONDS:
            schedule.pause(_AGAIN_SECONDS * self._process.random.uniform(0.5, 1.0))
            self._try_again()
        schedule.pause(max(0, time_us - schedule.now_us) / 1_000_000)

    def _try_until_the_end(self) -> None:
        """Try again what is held back until it is published, or nothing fails any more and nobody grants more."""
        schedule = self._world.schedule
        tries = 0
        while self._held:
            # Only after all has ended: what grants more may then be a pass.
            if tries == _TRIES_AFTER_ALL:
                tries = 0
                schedule.wait("held back")
            schedule.pause(_AGAIN_SECONDS * self._process.random.uniform(0.5, 1.0))
            tries += self._world.healed
            self._try_again()

    def _try_again(self) -> None:
        if self._region in self._world.lost:
            return
        held, self._held = self._held, []
        for call in held:
            self._try(call)

    def _try(self, call: Publish) -> None:
        if self._process.is_dead:
            self._begin()
        refused = self._publish(self._process, self._fabric, call)
        if refused:
            events = tuple(event for event in call.events if event.id in refused)
            self._held.append(replace(call, events=events))
        self._world.held[self._name] = tuple(event.id for call in self._held for event in call.events)

    def _begin(self) -> None:
        world = self._world
        # A clone goes on with the random numbers of the process that it is a copy of.
        copied = SeededEntropy(crc32(f"{world.plan.seed} {self._region}".encode()))
        process = Process(world, f"{self._name}#{next(self._numbers)}", self._region)
        others = [name for name in world.plan.regions if name != self._region] if world.plan.failover else []
        gating = [own.name for own in world.topology.stream(self._stream).gating]
        if gating:
            process.tell(ProducerBegan, gates=tuple(gating))
        self._process, self._fabric = (
            process,
            Fabric(
                self._streams(process, others),
                self._region,
                log_of=lambda stream, region: process.ports.at(region).log_of(stream),
                clock=process.clock,
                entropy=copied if world.plan.clones else world.entropy,
                outbox=process.ports.outbox,
                ledger_of=lambda region: process.ports.at(region).ledger,
                doorbells_of=lambda region: process.ports.at(region).doorbells,
                credits_of=lambda region: process.ports.at(region).credits,
                failover=others,
                parallel_lanes=0,
                append_timeout_seconds=_TIMEOUT_SECONDS,
            ),
        )

    def _streams(self, process: Process, others: Sequence[str]) -> Topology | DeclaredStreams:
        """Return the streams as the producer knows them: by the catalogue of its Region, or by the definition."""
        if not self._world.plan.by_catalogue:
            return self._world.topology
        return DeclaredStreams(
            self._world.topology.fabric,
            [Region(name) for name in (self._region, *others)],
            log_of=lambda stream, region: process.ports.at(region).log_of(stream),
            clock=process.clock,
            regions=self._world.plan.regions,
        )

    def _publish(self, process: Process, fabric: Fabric, call: Publish) -> set[str]:
        """Publish events. Return the ids of those that are certainly not published because there is no credit."""
        waiting = {event.id for event in call.events}
        process.tell(history.Asked, ids=tuple(event.id for event in call.events), how=call.how)
        try:
            for receipt in self._receipts(fabric, call):
                waiting.discard(receipt.event_id)
                process.tell(
                    history.Acknowledged,
                    id=receipt.event_id,
                    lane=str(receipt.lane),
                    sequence=int(receipt.sequence),
                )
        except (EventFabricError, SimulatedCrash) as error:
            about = {"ids": tuple(sorted(waiting)), "error": type(error).__name__}
            certain = isinstance(error, EventFabricError) and error.no_effect and len(call.events) == 1
            process.tell(history.Unacknowledged, certain=certain, **about)
            refusal, refused = _refusal(error, waiting)
            if refusal is not None:
                process.tell(
                    HeldBack, ids=tuple(sorted(refused)), lane=str(refusal.lane), gates=refusal.gates
                )
            return refused
        return set()

    def _receipts(self, fabric: Fabric, call: Publish) -> Iterable[Receipt]:
        match call.how:
            case "once":
                for event in call.events:
                    yield self._once(fabric, event)
            case "transaction":
                yield from self._together(fabric, call)
            case "one":
                for event in call.events:
                    yield from self._publish_single(fabric, event)
            case _:
                acks = 2 if call.how == "acks2" else 1
                yield from fabric.publish_many(
                    self._stream, [event.to_event() for event in call.events], acks=acks
                )

    def _publish_single(self, fabric: Fabric, event: PlannedEvent) -> list[Receipt]:
        try:
            return [
                fabric.publish(self._stream, key=event.key, type=event.type, data=event.data, id=event.id)
            ]
        except IndeterminateAppendError as error:
            for _ in range(_SETTLE_TRIES - 1):
                try:
                    return fabric.publish_again(error)
                except IndeterminateAppendError as still:
                    error = still
            return fabric.publish_again(error)

    def _once(self, fabric: Fabric, event: PlannedEvent) -> Receipt:
        def publish() -> Receipt:
            return fabric.publish(
                self._stream, key=event.key, type=event.type, data=event.data, id=event.id, once=True
            )

        for _ in range(_SETTLE_TRIES - 1):
            try:
                first = publish()
            except IndeterminateTransactionError:
                continue
            # A producer that forgot that the event is published publishes it again: it is the same event.
            return publish() if self._world.random.random() < 0.3 else first
        return publish()

    def _together(self, fabric: Fabric, call: Publish) -> list[Receipt]:
        transaction = fabric.transaction()
        for event in call.events:
            transaction.publish(self._stream, key=event.key, type=event.type, data=event.data, id=event.id)
        for _ in range(_SETTLE_TRIES - 1):
            try:
                return transaction.commit()
            except IndeterminateTransactionError:
                continue
        return transaction.commit()


def _refusal(error: BaseException, waiting: set[str]) -> tuple[BackpressureError | None, set[str]]:
    """Return the error of a lane without credit, and the events that are not published because of such."""
    if isinstance(error, BackpressureError):
        return error, set(waiting)
    refusal, refused = None, set[str]()
    if isinstance(error, PublishFailedError):
        for event_id, cause in error.failures:
            of_credit = cause.__cause__ if isinstance(cause, PublishNotAttemptedError) else cause
            if isinstance(of_credit, BackpressureError):
                refusal = of_credit
                refused.add(event_id)
    return refusal, refused
