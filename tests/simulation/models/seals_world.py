"""The world of the model of seals: tables that replicate item by item, queues, timers, and processes that may die.

A process is a generator that yields its calls. Between any two calls of it, anything else may happen. A call may be
carried out without a reply, or not at all; then the process hears a NoReplyError.
"""

from collections.abc import Callable, Collection, Generator, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from tests.simulation.models.seals_truth import Truth
from tests.simulation.models.seals_values import (
    ANY_TAIL,
    EMPTY_TAIL,
    PAGE_RECORDS_MAX,
    TRANSACTION_ACTIONS_MAX,
    Cursor,
    Doorbell,
    Event,
    Key,
    Lane,
    Owner,
    Parked,
    Place,
    Record,
    Region,
    State,
    Tail,
    digest,
)

T = TypeVar("T", bound=tuple[Any, ...])


class Call(NamedTuple):
    """A call that a process makes. `kind`: read, write, ring or attempt."""

    kind: str
    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


Steps = Generator[Call, Any, Any]


class NoReplyError(Exception):
    """A call gave no reply: it was carried out, or it was not."""


class RaceLostError(Exception):
    """Somebody else wrote the lane's state since it was read."""


class Change(NamedTuple):
    """A part of a transaction: one lane's state in one Region, if its cursor still has the version that was read.

    `version` None: whatever it has. `moved` None: the cursor stays.
    """

    lane: Lane
    version: int | None
    moved: Cursor | None
    parked: Mapping[Key, Parked | None] = {}

    @property
    def actions(self) -> int:
        return (self.version is not None) + len(self.parked)


@dataclass(slots=True)
class Process:
    """A running process. `history`: stands for all replies that it had. `bell`: the message that a run holds.

    `owes_ring`: if it dies, nobody but reconciliation rings for what it did.
    """

    name: str
    steps: Steps
    call: Call | None = None
    history: int = 0
    region: Region = ""
    bell: "Message | None" = None
    owes_ring: bool = False
    calls: list[Call] = field(default_factory=list)


@dataclass(slots=True)
class Message:
    """A doorbell in a queue. While a run holds it, no other message of its lane is received."""

    bell: Doorbell
    has_returned: bool = False


class World:
    """Everything that is stored, and the processes that run."""

    def __init__(self, regions: tuple[Region, ...], *, tracks: bool) -> None:
        self.regions = regions
        self.truth = Truth()
        self.tables: dict[Region, dict[Hashable, dict[Any, Any]]] = {region: {} for region in regions}
        self.replicating: dict[tuple[Region, Region, Hashable, Any], None] = {}
        """Items that differ in another Region: from where, to where, which."""
        self.queues: dict[Region, list[Message]] = {region: [] for region in regions}
        self.rung: dict[Region, set[Doorbell]] = {region: set() for region in regions}
        self.locked: dict[Region, set[Lane]] = {region: set() for region in regions}
        self.relays: list[tuple[Region, Record]] = []
        self.timers: list[tuple[Region, Doorbell]] = []
        self.processes: list[Process] = []
        self.clock = 0
        self.lost: Region = ""
        """A Region in which nothing runs, and from which nothing is replicated."""
        self.lost_rings = 0
        self.has_copies = False
        self._numbers = 0
        self._tracks = tracks

    def _put(self, region: Region, partition: Hashable, sort: Hashable, item: object) -> None:
        items = self.tables[region].setdefault(partition, {})
        if item is None:
            items.pop(sort, None)
        else:
            items[sort] = item
        for other in self.regions:
            if other != region:
                self.replicating[region, other, partition, sort] = None

    def replicate(self, source: Region, target: Region, partition: Hashable, sort: Any) -> None:
        """Copy an item to another Region, as it is by now."""
        del self.replicating[source, target, partition, sort]
        item = self.tables[source].get(partition, {}).get(sort)
        items = self.tables[target].setdefault(partition, {})
        if isinstance(item, Record) and sort not in items and not item.is_expired:
            self.relays.append((target, item))
        if item is None:
            items.pop(sort, None)
        else:
            items[sort] = item

    def put_records(self, region: Region, records: tuple[Record, ...]) -> Record | None:
        """Put all records if nothing stands in any of their places; else return what stands in one."""
        for record in records:
            occupant: Record | None = self.tables[region].get(record.lane, {}).get(record.sequence)
            if occupant is not None and not occupant.is_expired:
                return occupant
        for record in records:
            if region == record.lane.origin:
                self.truth.appended(record)
            self._put(region, record.lane, record.sequence, record)
            self.relays.append((region, record))
        return None

    def tail(self, region: Region, lane: Lane) -> Record | Tail:
        """Return the newest record of a lane; if that has expired, the place that is noted for it."""
        items = self.tables[region].get(lane)
        if not items:
            return EMPTY_TAIL
        newest: Record = items[max(items)]
        return newest.tail if newest.is_expired else newest

    def read_log(self, region: Region, lane: Lane, sequence: int) -> tuple[Record, ...]:
        """Read an unbroken run of records, from the one that holds a sequence on. Expired ones are among them."""
        items, records = self.tables[region].get(lane, {}), list[Record]()
        holder = self.record_of(region, Place(lane, sequence))
        sequence = holder.sequence if holder else sequence
        while len(records) < PAGE_RECORDS_MAX and (record := items.get(sequence)) is not None:
            records.append(record)
            if record.is_seal:
                break
            sequence = record.tail.sequence
        return tuple(records)

    def record_of(self, region: Region, place: Place) -> Record | None:
        """Return the record that holds an event; None if it is not here."""
        items = self.tables[region].get(place.lane, {})
        record: Record | None = items.get(place.sequence)
        if record is None:
            base = max((sequence for sequence in items if sequence <= place.sequence), default=-1)
            record = items.get(base)
        return record if record is not None and place.sequence < record.tail.sequence else None

    def chain_before(self, region: Region, record: Record) -> int:
        """Return the chain that leads to a record: of the record before it, or of the seal above its lane."""
        items = self.tables[region][record.lane].values()
        above = [] if record.lane.is_root else self.tables[region].get(record.lane.parent, {}).values()
        tails = (before.tail for before in [*items, *above])
        return next((tail.chain for tail in tails if tail.sequence == record.sequence), EMPTY_TAIL.chain)

    def state(self, region: Region, lane: Lane) -> State:
        return State(lane, dict(self.tables[region].get(("state", lane), {})))

    def commit(self, region: Region, changes: tuple[Change, ...], handled: tuple[Event, ...] = ()) -> bool:
        """Write a Region's state of lanes, if all of it still has the versions that were read. `handled`: beside it."""
        for change in changes:
            if change.version is not None and self._version(region, change.lane) != change.version:
                return False
        for change in changes:
            if change.moved is not None:
                before = self.state(region, change.lane).cursor(region)
                moved = change.moved._replace(version=before.version + 1)
                self.truth.moved(region, change.lane, before, moved, handled)
                self._put(region, ("state", change.lane), (region, "cursor"), moved)
            for key, parked in change.parked.items():
                self._put(region, ("state", change.lane), (region, key), parked)
        return True

    def commit_small(self, region: Region, changes: tuple[Change, ...]) -> bool:
        """Commit what has to fit into one transaction."""
        assert sum(change.actions for change in changes) <= TRANSACTION_ACTIONS_MAX, (
            "a transaction is too large"
        )
        return self.commit(region, changes)

    def take_over(self, region: Region, changes: tuple[Change, ...]) -> bool:
        """Commit a takeover of the last change's lane."""
        is_done = self.commit(region, changes)
        if is_done and changes[-1].moved is not None:
            self.truth.inherited(changes[-1].lane, changes[-1].moved.replay)
        return is_done

    def replay(
        self, region: Region, changes: tuple[Change, ...], place: Place, reached: Mapping[Lane, int]
    ) -> bool:
        """Commit a replay from a place on, of lanes as far as each was reached."""
        is_done = self.commit(region, changes)
        if is_done:
            self.truth.replays(place, reached)
            owners = [self.owner(other, place.lane.origin) for other in self.regions]
            if max(owners, key=lambda owner: owner.epoch).region != region:
                self.truth.inherited(place.lane, 0)  # it was handed over, and this Region does not know that
        return is_done

    def _version(self, region: Region, lane: Lane) -> int:
        return self.state(region, lane).cursor(region).version

    def attempted(self, origin: Region, event: Event, before: tuple[Event, ...]) -> bool:
        self.truth.attempted(origin, event, before)
        return True

    def owner(self, region: Region, origin: Region) -> Owner:
        """Return who delivers an origin's lanes, as far as a Region knows."""
        owners = self.tables[region].get(("owners", origin), {}).values()
        return max(owners, key=lambda owner: owner.epoch, default=Owner(origin, 0))

    def hand_over(self, region: Region, origin: Region, epoch: int) -> None:
        self._put(region, ("owners", origin), region, Owner(region, epoch))

    def decisions(self, region: Region, first: Lane) -> dict[tuple[int, Lane], bool]:
        """Return what is decided about batches whose first copies may be in a lane.

        For each part of a batch, by its id and the lane in which the part's noted copy stands: if that is delivered.
        """
        decided: dict[tuple[int, Lane], bool] = {}
        for (_, part), noted_wins in self.tables[region].get(("decisions", first), {}).items():
            decided[part] = noted_wins and decided.get(part, True)
        return decided

    def decide(
        self, region: Region, visited: tuple[Lane, int], first: Lane, part: tuple[int, Lane], noted_wins: bool
    ) -> bool:
        """Note a decision about a part, if the visited lane still has the version that was read."""
        lane, version = visited
        if self._version(region, lane) != version:
            return False
        self._put(region, ("decisions", first), (region, part), noted_wins)
        return True

    def expire(self, lane: Lane, sequence: int) -> None:
        """Have a record expire everywhere. Whoever reads there can tell, by the record behind or the lane's place."""
        events = self.tables[lane.origin][lane][sequence].batch.events
        self.truth.expired |= {(lane.origin, event.number) for event in events}
        for region in self.regions:
            record = self.tables[region][lane][sequence]
            gone = record._replace(batch=record.batch._replace(events=()), is_expired=True, is_seal=False)
            self.tables[region][lane][sequence] = gone

    def ring(self, region: Region, bell: Doorbell) -> None:
        """Put a doorbell into a Region's queue, unless one with its id was put there a while ago."""
        if bell not in self.rung[region]:
            self.rung[region].add(bell)
            self.queues[region].append(Message(bell))

    def fresh(self) -> int:
        """Return what tells a doorbell from all others."""
        self._numbers += 1
        return self._numbers

    def ring_later(self, region: Region, bell: Doorbell) -> None:
        if (region, bell) not in self.timers:
            self.timers.append((region, bell))

    def lose_region(self, region: Region) -> None:
        """Lose a Region, or none, in which all runs die. Another one that was lost is back."""
        self.lost = region
        for process in [process for process in self.processes if process.region and process.region == region]:
            self.crash(process)

    def receivable(self) -> Iterator[tuple[Region, Message]]:
        """Yield the messages that may be received: the first of each lane that no run holds."""
        for region, queue in self.queues.items():
            if queue and region != self.lost:
                seen = {*self.locked[region]}
                for message in queue:
                    if message.bell.lane not in seen:
                        seen.add(message.bell.lane)
                        yield region, message

    def outside_lost(self, items: Collection[T]) -> Collection[T]:
        """Return items that begin with a Region, without those of a lost one."""
        return [item for item in items if item[0] != self.lost] if self.lost else items

    def receive(self, region: Region, message: Message, steps: Steps) -> Process:
        self.queues[region].remove(message)
        self.locked[region].add(message.bell.lane)
        return self.start(Process(f"run {message.bell[:2]} in {region}", steps, region=region, bell=message))

    def give_back(self, process: Process) -> None:
        """Make a run's message visible again. The run may live on."""
        message = process.bell
        assert message is not None, "only runs hold messages"
        process.bell, message.has_returned = None, True
        self.locked[process.region].discard(message.bell.lane)
        self.queues[process.region].insert(0, message)

    def start(self, process: Process) -> Process:
        self.processes.append(process)
        self._go_on(process, None)
        return process

    def step(self, process: Process, outcome: str = "done") -> None:
        """Carry out a process's call. `outcome`: done, failed (an attempt), lost request or lost reply."""
        call = process.call
        assert call is not None, "a live process waits for a call"
        if outcome == "lost request":
            self._go_on(process, NoReplyError())
            return
        reply = call.function(*call.arguments)
        if outcome == "failed":
            reply = False
        if self._tracks:
            process.history = hash((process.history, call.name, digest(reply), outcome))
        if outcome == "lost reply":
            self._go_on(process, NoReplyError())
        else:
            self._go_on(process, reply)

    def _go_on(self, process: Process, reply: object) -> None:
        """Have a process go on with a reply, to its next call or its end."""
        try:
            call = (
                process.steps.throw(reply) if isinstance(reply, NoReplyError) else process.steps.send(reply)
            )
            process.call = call
            process.calls.append(call)
        except StopIteration:
            self._ended(process)
        except (NoReplyError, RaceLostError):
            self.crash(process)

    def _ended(self, process: Process) -> None:
        self.processes.remove(process)
        self.truth.ended(process.name, process.calls)
        if process.bell is not None:
            self.locked[process.region].discard(process.bell.bell.lane)

    def crash(self, process: Process) -> None:
        """Have a process die. The message of a run comes back."""
        process.steps.close()
        self.processes.remove(process)
        self.lost_rings += process.owes_ring
        if process.bell is not None:
            self.give_back(process)

    def stands(self) -> Hashable:
        """Return all that what follows depends on, for exploration."""
        # Nothing ever drops a fresh doorbell, so it makes no difference which number it has.
        rung = {
            region: {bell for bell in bells if bell.tail != ANY_TAIL} for region, bells in self.rung.items()
        }
        queues = {
            region: tuple((message.bell[:2], message.has_returned) for message in queue)
            for region, queue in self.queues.items()
        }
        return (
            digest(self.tables),
            frozenset(self.replicating),
            digest(queues),
            digest(rung),
            digest(self.locked),
            frozenset(self.relays),
            frozenset(self.timers),
            frozenset((process.name, process.history, process.bell is None) for process in self.processes),
            self.clock,
            self.lost,
            self.lost_rings > 0,
            self.truth.stands(),
        )
