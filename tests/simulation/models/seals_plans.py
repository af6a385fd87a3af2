"""Plans of the model of seals: what happens in a schedule, and how likely each thing is. And the schedule itself.

First things happen in any order, with faults. Then faults stop: all calls are replied to, all items replicated. What
was acknowledged must then be handled, without reconciliation if no doorbell was lost. In the end, dead letters are
redriven.
"""

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.models.schedules import Choices, Happening, Violation
from tests.simulation.models.seals_operations import Operations
from tests.simulation.models.seals_publishing import Publishing
from tests.simulation.models.seals_values import Doorbell, Lane, Record, Region, root_of
from tests.simulation.models.seals_world import Message, Process, Steps, World

SETTLING_STEPS_MAX = 20_000
_FAULTS = frozenset({"lost reply", "lost request", "crash", "reappear", "lose"})
_OF_PROCESSES = frozenset({"step", "fail", "lost reply", "lost request", "crash"})


class Seals(Publishing, Operations):
    """The rules of seals."""


Start = Callable[[Seals, World], Steps]


@dataclass(slots=True)
class Plan:
    """Processes that start at some time, and weights of what happens. `steps_max`: until faults stop."""

    regions: tuple[Region, ...]
    starts: list[tuple[str, Start]]
    weights: dict[str, float]
    steps_max: int
    has_copies: bool = False
    prelude: Sequence[tuple[str, Start]] = ()
    """Processes that run before anything else, one after the other, until nothing moves any more."""
    faults_max: int = 1000
    preemptions_max: int | None = None
    """How often a process is stopped though it could go on. None: without a bound."""


@dataclass(slots=True)
class Run:
    """One schedule of a plan."""

    rules: Seals
    plan: Plan
    choices: Choices
    tracks: bool = False
    world: World = field(init=False)
    waiting: list[tuple[str, Start]] = field(init=False)
    faults_left: int = field(init=False)
    preemptions_left: int | None = field(init=False)
    kinds: list[tuple[str, float, Callable[[Any], object], Callable[[], Collection[Any]]]] = field(init=False)
    running: Process | None = None
    stalled: list[Process] = field(default_factory=list)
    """Processes that hardly go on: by then, others have taken their place."""

    def __post_init__(self) -> None:
        self.world = World(self.plan.regions, tracks=self.tracks)
        self.world.has_copies = self.plan.has_copies
        self.waiting = list(self.plan.starts)
        self.faults_left = self.plan.faults_max
        self.preemptions_left = self.plan.preemptions_max
        self.kinds = self.drawn_kinds()

    def run(self) -> None:
        """Run the schedule. Raises Violation."""
        for started in self.plan.prelude:
            self.waiting.insert(0, started)
            self.start(started)
            self.drain()
        for _ in range(self.plan.steps_max):
            happenings = self.happenings()
            if not happenings:
                break
            happens, item = self.choices.pick(happenings, self.state)
            if self.preemptions_left is not None:
                self.preempt(item)
            happens(item)
        self.settle()

    def preempt(self, item: object) -> None:
        """Count that a process is stopped though it could go on, and note which goes on by now."""
        if self.running in self.world.processes and item is not self.running and self.preemptions_left:
            self.preemptions_left -= 1
        self.running = item if isinstance(item, Process) else None

    def state(self) -> Any:
        running = (
            self.running.name if self.running is not None and self.running in self.world.processes else ""
        )
        waiting = tuple(name for name, _ in self.waiting)
        return self.world.stands(), waiting, self.faults_left, self.preemptions_left, running

    # What may happen

    def happenings(self) -> list[Happening]:
        """List what may happen next, and to what."""
        kinds = self.kinds
        if self.preemptions_left == 0 and self.running in self.world.processes:
            kinds = [kind for kind in kinds if kind[0] in _OF_PROCESSES]
        return [
            Happening(weight, happens, items)
            for name, weight, happens, items_of in kinds
            if (items := items_of()) and (self.faults_left > 0 or name not in _FAULTS)
        ]

    def drawn_kinds(self) -> list[tuple[str, float, Callable[[Any], object], Callable[[], Collection[Any]]]]:
        """Return all kinds of happenings that this plan has: name, weight, what happens, and to which items it may."""
        world, weights = self.world, self.plan.weights
        kinds: list[tuple[str, Callable[[Any], object], Callable[[], Collection[Any]]]] = [
            ("step", world.step, self.lively),
            ("fail", self.fail, lambda: self.calling("attempt")),
            ("stall", self.stalled.append, self.lively),
            ("start", self.start, lambda: self.waiting[:1]),
            ("receive", self.receive, lambda: [*world.receivable()]),
            ("relay", self.relay, lambda: world.outside_lost(world.relays)),
            ("replicate", self.replicate, lambda: world.outside_lost(world.replicating)),
            ("timer", self.fire, lambda: world.timers),
            ("forget", self.forget, lambda: [bells for bells in world.rung.values() if bells]),
            ("expire", self.expire, self.expiring),
            ("lost reply", self.lose_reply, lambda: self.calling("write", "ring")),
            ("lost request", self.lose_request, lambda: self.calling("write", "ring")),
            ("crash", self.crash, self.lively),
            ("reappear", self.reappear, lambda: [run for run in world.processes if run.bell is not None]),
            ("lose", self.lose, lambda: world.outside_lost(world.relays)),
        ]
        drawn = [(name, weights[name], happens, items) for name, happens, items in kinds if weights[name]]
        if weights["stall"]:
            drawn.append(("step", weights["step"] / 200, world.step, lambda: self.stalled))
        return drawn

    def lively(self) -> Sequence[Process]:
        """List the processes that go on, of which one may be all that is left to choose from."""
        if self.preemptions_left == 0 and self.running is not None and self.running in self.world.processes:
            return [self.running]
        if self.stalled:
            self.stalled[:] = [process for process in self.stalled if process in self.world.processes]
            return [process for process in self.world.processes if process not in self.stalled]
        return self.world.processes

    def calling(self, *kinds: str) -> list[Process]:
        """List the processes that go on with a call of these kinds."""
        return [process for process in self.lively() if process.call and process.call.kind in kinds]

    def replicate(self, item: tuple[Region, Region, Hashable, Any]) -> None:
        self.world.replicate(*item)

    def expire(self, record: tuple[Lane, int]) -> None:
        self.world.expire(*record)

    def forget(self, bells: set[Doorbell]) -> None:
        """Have the queue's window of deduplication pass."""
        bells.clear()

    # Faults

    def fail(self, process: Process) -> None:
        self.world.step(process, "failed")

    def lose_reply(self, process: Process) -> None:
        self.faults_left -= 1
        self.world.step(process, "lost reply")

    def lose_request(self, process: Process) -> None:
        self.faults_left -= 1
        self.world.step(process, "lost request")

    def crash(self, process: Process) -> None:
        self.faults_left -= 1
        self.world.crash(process)

    def reappear(self, process: Process) -> None:
        """Have a message become visible again while its run lives on."""
        self.faults_left -= 1
        self.world.give_back(process)

    def lose(self, rings: tuple[Region, Record]) -> None:
        """Have the relay of a Region not ring."""
        self.faults_left -= 1
        self.world.relays.remove(rings)
        self.world.lost_rings += 1

    # What happens

    def start(self, started: tuple[str, Start]) -> None:
        self.waiting.remove(started)
        name, start = started
        owes_ring = name in {"hand over", "decide", "replay"}
        self.world.start(Process(name, start(self.rules, self.world), owes_ring=owes_ring))

    def receive(self, received: tuple[Region, Message]) -> None:
        region, message = received
        steps = self.rules.run(self.world, region, message.bell, message.has_returned)
        self.world.receive(region, message, steps)

    def relay(self, rings: tuple[Region, Record]) -> None:
        """Have the relay of a Region ring for a record."""
        region, record = rings
        self.world.relays.remove(rings)
        if self.rules.worth_ringing(record, region):
            self.world.ring(region, Doorbell(record.lane, record.tail.sequence))

    def fire(self, timer: tuple[Region, Doorbell]) -> None:
        """Have a timer ring at its time."""
        world, (region, bell) = self.world, timer
        world.timers.remove(timer)
        world.clock = max(world.clock, bell.again)
        world.ring(region, bell)

    def expiring(self) -> list[tuple[Lane, int]]:
        """List records that may expire: handled, replicated, and in nobody's hands. Never a seal."""
        world, truth = self.world, self.world.truth
        if any(not process.bell for process in world.processes):
            return []  # whoever publishes holds no tail for as long as a record is kept
        origins = [root_of(region) for region in world.regions]
        return [
            (lane, record.sequence)
            for lane in [*origins, *(child for lane in truth.seals for child in lane.children)]
            for record in world.tables[lane.origin].get(lane, {}).values()
            if not record.is_expired
            and self.rules.expires(record)
            and all(record.sequence in world.tables[region].get(lane, {}) for region in world.regions)
            and truth.is_over(record)
        ]

    # Without faults

    def settle(self) -> None:
        """Have everything come to rest, and check what there is. Raises Violation."""
        world, truth = self.world, self.world.truth
        while self.waiting:
            self.start(self.waiting[0])
        self.drain()
        world.lose_region("")
        self.drain()
        truth.check_log()
        if not (world.lost_rings or self.dead()):
            truth.check_done("stuck")
        for _ in range(20):
            for region, origin in self.owned():
                world.start(Process("reconcile", self.rules.reconcile(world, region, origin)))
            self.drain()
            if not (dead := self.dead()):
                break
            for region, origin, key in dead:
                world.start(Process("redrive", self.rules.decide(world, region, origin, key, redrive=True)))
            self.drain()
        truth.check_done("lost")
        for region, origin in self.owned():
            self.rules.prove(world, region, origin)

    def drain(self) -> None:
        """Have everything happen that is under way, until nothing does."""
        world = self.world
        for _ in range(SETTLING_STEPS_MAX):
            if world.processes:
                world.step(world.processes[0])
            elif world.replicating:
                world.replicate(*next(iter(world.replicating)))
            elif world.relays:
                self.relay(world.relays[0])
            elif message := next(world.receivable(), None):
                self.receive(message)
            elif world.timers:
                self.fire(world.timers[0])
            else:
                return
        raise Violation("stuck", "it does not come to rest")

    def owned(self) -> list[tuple[Region, Region]]:
        """List who delivers the lanes of each origin."""
        return [(self.world.owner(origin, origin).region, origin) for origin in self.world.regions]

    def dead(self) -> list[tuple[Region, Region, int]]:
        """List the keys that are dead where they are delivered."""
        return [
            (region, origin, key)
            for region, origin in self.owned()
            for state in self.rules.states(self.world, region, origin)
            if state.cursor(region).past_seal is None
            for key, parked in state.parked(region).items()
            if parked.is_dead
        ]
