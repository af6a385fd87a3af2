"""The simulated fabric: its cloud, which Regions reach each other, the rates of faults, and the resulting history."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

from eventfabric.definition.file import parse_definition
from eventfabric.model import Doorbell, Lane, StreamName, SubscriptionName
from eventfabric.services.lanes.lane_end import lane_end
from eventfabric.testing.memory.cloud import MemoryCloud
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history_entry import Entry
from eventfabric.testing.simulation.history_of_credits import GatesDeployed
from eventfabric.testing.simulation.observer import EFFECTS, INVOICES, Observer, is_foreign
from eventfabric.testing.simulation.plan import Plan, PlannedSubscription
from eventfabric.testing.simulation.registry import registry_of
from eventfabric.testing.simulation.schedule import ProcessClock, Schedule, SimulatedTime
from eventfabric.testing.simulation.trouble import Trouble
from eventfabric.topology import Topology
from eventfabric.wire.keys import Item, is_record

PERMANENT = "eventfabric.testing.simulation.subscribers:RefusedForGood"
_STALE_MS = 1_500
"""Time by which eventually consistent reads lag behind."""


def definition_of(plan: Plan) -> str:
    """Return the definition of a plan's fabric, as TOML."""
    regions = ", ".join(f'"{region}"' for region in plan.regions)
    retention = f"retention_days = {plan.retention_days}" if plan.retention_days else ""
    invoices = (
        f'[streams.{INVOICES}]\nlanes = {plan.invoices}\ndurability = "{plan.durability}"'
        if plan.invoices
        else ""
    )
    subscriptions = "\n".join(_subscription(subscription, plan) for subscription in plan.subscriptions)
    return f"""
        [fabric]
        name = "sim"
        regions = [{regions}]
        [streams.{plan.stream}]
        lanes = {plan.lanes}
        durability = "{plan.durability}"
        express = {str(plan.express).lower()}
        {retention}
        {invoices}
        {subscriptions}
    """


def _subscription(subscription: PlannedSubscription, plan: Plan) -> str:
    types = (
        "types = [" + ", ".join(f'"{name}"' for name in subscription.types) + "]"
        if subscription.types
        else ""
    )
    publishes = f'publishes = ["{INVOICES}"]' if subscription.publishes else ""
    expired = f'on_expired = "{subscription.on_expired}"' if plan.retention_days else ""
    return f"""
        [subscriptions.{subscription.name}]
        stream = "{plan.stream}"
        handler = "eventfabric.testing.simulation.subscribers:stand_in"
        guarantee = "{subscription.guarantee}"
        order = "{subscription.order}"
        concurrency = {subscription.concurrency}
        deliver = "{subscription.deliver}"
        on_late = "{subscription.on_late}"
        start = "{subscription.start}"
        {types}
        {publishes}
        {expired}
        [subscriptions.{subscription.name}.retry]
        immediate = {subscription.immediate}
        attempts = {subscription.attempts}
        backoff_seconds = 2.0
        backoff_max_seconds = 60.0
        permanent = ["{PERMANENT}"]
        [subscriptions.{subscription.name}.breaker]
        failure_ratio = {subscription.failure_ratio}
        parked_keys = {subscription.parked_keys}
        {_backpressure(subscription)}
    """


def _backpressure(subscription: PlannedSubscription) -> str:
    settings = subscription.backpressure
    if settings is None:
        return ""
    return f"""
        [subscriptions.{subscription.name}.backpressure]
        seconds = {settings.seconds}
        events_min = {settings.events_min}
        while_paused = "{settings.while_paused}"
    """


@dataclass
class Stack:
    """A subscription's stack in a Region. `content`: what it has deployed; empty: there is no such stack."""

    content: str = ""
    is_busy: bool = False
    requests: int = 0


class Running(Protocol):
    """The part of a machine that is affected by what happens to its Region; see machine.Machine."""

    name: str
    region: str
    clock: ProcessClock
    is_dead: bool


class World:
    """One simulated fabric.

    `healed`: nothing fails any more. `is_calm`: nothing fails for a moment. `lost`: Regions that are gone for now.
    `silent`: Regions whose services give no reply, whether they do what they are asked or not. `down`: subscriptions
    whose downstream system is down.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        topology: Topology | None = None,
        handlers: Callable[[Any, str], Callable[..., Any]],
        redrives: bool = False,
        schemas: Path | None = None,
        watch: Callable[[history.AnyEntry], None] | None = None,
    ) -> None:
        """Make a world in which nothing has happened yet.

        Args:
            plan: what is going to happen.
            topology: of a project's own fabric, which the plan must fit.
            handlers: makes the handler of a subscription for a machine.
            redrives: True to redrive dead letters once faults have ended.
            schemas: folder of the schemas to which functions hold events.
            watch: sees each entry of the history as it is noted. What it raises ends the simulation.
        """
        self.plan = plan
        self.redrives = redrives
        self.schemas = schemas
        self._watch = watch
        self.handler_for = handlers
        self.random = Random(f"{plan.seed} world")
        self.schedule = Schedule(Random(f"{plan.seed} schedule"))
        self.time = SimulatedTime(self.schedule)
        self.entropy = SeededEntropy(plan.seed)
        self.topology = topology or Topology(parse_definition(definition_of(plan)))
        self.cloud = MemoryCloud(self.topology, clock=self.time, entropy=self.entropy)
        self.entries: list[history.AnyEntry] = []
        self.processes: list[Running] = []
        self.healed = False
        self.is_calm = False
        self.lost: set[str] = set()
        self.silent: set[str] = set()
        self.down: set[str] = set()
        self.code = 0
        self.is_mended = False
        self.shards = dict.fromkeys(plan.regions, plan.shards)
        self.attempts: dict[tuple[str, str], int] = {}
        self.charges: dict[str, int] = {}
        """Number of times that each step took effect, by the step's key."""
        self.spoilt: list[tuple[MemoryTable, Item]] = []
        """Items of state as they were before somebody made them unreadable."""
        self.stacks: dict[tuple[str, str], Stack] = {}
        """Stacks by Region and subscription; see deploying.py."""
        self.stack_contents = 0
        self.deployments = 0
        """Number of operations on stacks, and of retirements, that are under way."""
        self.closing = ""
        """Region that is being taken out of the fabric, or was."""
        self.registry = registry_of(plan)
        self.is_read_out = False
        """Nobody reads the catalogue any more."""
        self.held: dict[str, tuple[str, ...]] = {}
        """Ids of events that wait for credit, by the producer that tries them again and again."""
        self.trouble = Trouble(self)
        self._cuts: set[frozenset[str]] = set()
        self._halts: set[frozenset[str]] = set()
        self._mute: set[frozenset[str]] = set()
        self._skews: dict[str, int] = {}
        self._observers = self._made_observers()

    def _made_observers(self) -> list[Observer]:
        stream = self.topology.stream(self.plan.stream)
        kinds = {stream.table.name: "log", self.topology.ledger_of(self.plan.stream).name: "ledger"}
        for region in self.cloud.regions.values():
            region.create_table(EFFECTS, key_names=("id",))
        kinds[EFFECTS] = "effects"
        if self.plan.invoices:
            kinds[self.topology.stream(INVOICES).table.name] = INVOICES
        for region in self.cloud.regions.values():
            for table in region.tables.values():
                table.refuser = self.trouble.refuser_of(table)
                table.stale_ms = _STALE_MS
        tables = {
            id(table): (table, kinds[name])
            for region in self.cloud.regions.values()
            for name, table in region.tables.items()
            if name in kinds
        }
        shared = self.plan.durability == "quorum"
        # Within one transaction, the handler's rows are noted first and the cursor last.
        in_order = sorted(
            tables.values(), key=lambda pair: ("effects", "log", INVOICES, "ledger").index(pair[1])
        )
        return [Observer(table, kind, shared=shared) for table, kind in in_order]

    def deploy_settings(self, plan: Plan) -> None:
        """Deploy other settings for functions that start from now on. Tables, queues and names stay."""
        before = self._gates
        self.topology = self.cloud.topology = Topology(parse_definition(definition_of(plan)))
        if self._gates != before:
            self.note(GatesDeployed, "world", gates=self._gates)

    @property
    def has_gates(self) -> bool:
        """Tell if subscriptions of the plan hold producers back."""
        return any(own.backpressure is not None for own in self.plan.subscriptions)

    @property
    def _gates(self) -> tuple[str, ...]:
        """Subscriptions that hold producers back, by what is deployed."""
        return tuple(own.name for own in self.topology.stream(self.plan.stream).gating)

    def note(self, kind: type[Entry], actor: str, **about: object) -> None:
        """Add an entry to the history."""
        make: Any = kind
        entry: history.AnyEntry = make(at_ms=self.time.now_ms(), actor=actor, **about)
        self.entries.append(entry)
        if self._watch is not None:
            self._watch(entry)

    def look(self, actor: str) -> None:
        """Note what changed in the tables, and wake the actors that wait for it."""
        for observer in self._observers:
            if observer.seen == len(observer.changes):
                continue  # here, since this runs for every table at every call
            news = observer.news()
            for kind, about in news:
                self.note(kind, actor, **about)
            if news or observer.is_foreign_news:
                self._wake_readers(observer.table.region)

    def _wake_readers(self, region: str) -> None:
        for name in self.plan.regions if self.plan.durability == "quorum" else (region,):
            self.schedule.wake(f"changes/{name}")

    @property
    def may_fail(self) -> bool:
        """Tell if any fault may happen now."""
        return not (self.healed or self.is_calm)

    def rate(self, fault: str) -> float:
        """Return how often a fault happens now."""
        return 0.0 if self.healed or self.is_calm else self.plan.rates.get(fault, 0.0)

    def skew_ms(self, region: str, random: Random) -> int:
        """Return how far a new machine's clock is off."""
        return self._skews.get(region, 0) + round(random.gauss(0, 1000) * self.plan.rate("skew"))

    def move_clock(self, region: str, by_ms: int) -> None:
        """Move the clocks of a Region's machines, including machines that start later."""
        self._skews[region] = self._skews.get(region, 0) + by_ms
        for process in self.processes:
            if process.region == region:
                process.clock.skew_ms += by_ms

    def reaches(self, region: str, other: str) -> bool:
        """Tell if a call from a Region gets through to another."""
        return region == other or not ({region, other} & self.lost or {region, other} in self._cuts)

    def answers(self, region: str, other: str) -> bool:
        """Tell if a call from a Region gets an answer from another. If not, replication may still go on."""
        is_mute = self._mute and not self.healed and frozenset((region, other)) in self._mute
        return self.reaches(region, other) and not is_mute

    def mute(self, region: str, others: Iterable[str]) -> None:
        """Block calls between a Region and these others from now on; calls between it and all others get through."""
        self._mute = {pair for pair in self._mute if region not in pair}
        self._mute |= {frozenset((region, other)) for other in others}

    def lose(self, region: str) -> None:
        """Lose a Region: its processes die, nothing leaves or enters it."""
        self.lost.add(region)
        for process in self.processes:
            if process.region == region:
                process.is_dead = True
        self._set_links()

    def return_of(self, region: str) -> None:
        """Bring a Region back, with everything that it had stored."""
        self.lost.discard(region)
        self._set_links()
        self.schedule.wake(f"region/{region}")

    def cut(self, region: str, other: str) -> None:
        """Cut two Regions off from each other: calls do not get through, and replication stands still."""
        self._cuts.add(frozenset((region, other)))
        self._set_links()

    def halt(self, region: str, other: str) -> None:
        """Let replication between two Regions stand still. Calls get through."""
        self._halts.add(frozenset((region, other)))
        self._set_links()

    def join(self, region: str, other: str) -> None:
        """Undo `cut` and `halt`."""
        self._cuts.discard(frozenset((region, other)))
        self._halts.discard(frozenset((region, other)))
        self._set_links()

    def _set_links(self) -> None:
        for link in self.cloud.links:
            region, other = link.source.region, link.target.region
            link.cut = not self.reaches(region, other) or {region, other} in self._halts
        self.schedule.wake("links")

    def ring_later(self, region: str, subscription: str, doorbell: Doorbell, seconds: float) -> None:
        """Let a doorbell that was sent arrive late."""

        def arrive() -> None:
            self.schedule.pause(seconds)
            self.cloud.doorbells(region).ring(subscription, [doorbell])
            self.schedule.wake(f"queue/{region}/{subscription}")

        self.schedule.spawn(f"late bell {self.schedule.steps}", arrive)

    @property
    def log_table(self) -> str:
        """Name of the log's table."""
        return self.topology.stream(self.plan.stream).table.name

    def subscription(self, name: str) -> PlannedSubscription:
        """Return the plan of a subscription."""
        return next(subscription for subscription in self.plan.subscriptions if subscription.name == name)

    def ends(self) -> tuple[history.LaneStand, ...]:
        """Return the end of every lane in every Region's log."""
        stands: list[history.LaneStand] = []
        for region in self.plan.regions:
            log = self.cloud.log(self.plan.stream, region)
            table = self.cloud.log_table(self.plan.stream, region)
            lanes: dict[str, int] = {}
            foreign: set[str] = set()
            for item in table.items:
                name = str(item["pk"]["S"])
                if is_foreign(item):
                    foreign.add(name)
                elif is_record(item):
                    lanes[name] = lanes.get(name, 0) + 1
            for lane, count in sorted(lanes.items()):
                parsed = Lane.parse(lane)
                is_own = lane not in foreign
                tail = log.tail(parsed) if is_own else lane_end(log, parsed, now_ms=self.time.now_ms()).tail
                stands.append(history.LaneStand(region, lane, int(tail.sequence), tail.chain.hex(), count))
        return tuple(stands)

    def circuits(self) -> dict[str, str]:
        """Return every circuit that is not closed."""
        circuits: dict[str, str] = {}
        for subscription in self.topology.subscriptions.values():
            for region in subscription.regions:
                ledger = self.cloud.ledger(region)
                standing = ledger.standing(StreamName(self.plan.stream), SubscriptionName(subscription.name))
                if standing.circuit.state.value != "closed":
                    circuits[f"{region}/{subscription.name}"] = standing.circuit.state.value
        return circuits

    def waiting(self) -> int:
        """Return the number of messages in queues and timers."""
        return sum(
            len(self.cloud.queue(name, region))
            for name, subscription in self.topology.subscriptions.items()
            for region in subscription.regions
        ) + sum(len(timers) for region in self.cloud.regions.values() for timers in region.timers.values())
