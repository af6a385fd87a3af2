"""A stream with gates on a simulated clock: publishers that obey, consumers that falter, items that are read late."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from random import Random

from tests.simulation.models.credits_item import Clock, CreditItem
from tests.simulation.models.credits_rules import Account, Rules, Settings

HERE, AWAY = "here", "away"
UNKNOWN_SECONDS = 5.0
"""Time after which a publisher looks again for slots that were not there."""
DECLARED_SECONDS = 60.0
"""Time after which every publisher knows of a subscription that was deployed or retired."""
VISIBILITY_SECONDS = 30.0
LANE_AGAIN_SECONDS = 5.0


@dataclass
class Faults:
    """Faults while `until` is not reached, each with its probability."""

    until: float = 0.0
    write_lost: float = 0.0
    crash_before_write: float = 0.0
    read_lost: float = 0.0
    doorbell_again: float = 0.0
    stale_seconds: float = 0.0
    cut_off: tuple[float, float] = (inf, inf)
    """Time in which nothing is replicated."""


@dataclass
class Consumer:
    """A subscription that gates, and its function. `speed`: events a second of all workers, by the time."""

    name: str
    speed: Callable[[float], float]
    settings: Settings = field(default_factory=Settings)
    workers: int = 8
    begins: float = 0.0
    region: str = HERE
    latest: bool = False
    halted: frozenset[int] = frozenset()
    """Lanes that stop between `halts`."""
    halts: tuple[float, float] = (inf, inf)
    pauses: tuple[float, float] = (inf, inf)
    holds_while_paused: bool = False
    retired: float = inf
    unwanted: frozenset[int] = frozenset()
    """Lanes of whose events it wants none from `unwanted_since` on."""
    unwanted_since: float = inf
    page_events: int = 100

    def __post_init__(self) -> None:
        self.cursor: dict[int, int] = {}
        self.accounts: dict[int, Account] = {}
        self.visible: dict[int, int] = {}
        self.items = {HERE: CreditItem(), AWAY: CreditItem()}
        self.queue: deque[tuple[int, bool]] = deque()
        self.rung: set[int] = set()
        self.visited: set[int] = set()
        self.waiting: set[int] = set()
        self.idle = self.workers
        self.has_begun = False

    def is_paused(self, now: float) -> bool:
        """Tell if an operator has paused it."""
        return self.pauses[0] <= now < self.pauses[1]

    def is_halted(self, now: float) -> bool:
        """Tell if some of its lanes stand."""
        return self.halts[0] <= now < self.halts[1]


@dataclass(frozen=True, slots=True)
class _Visit:
    """A run of a lane, over so many events. `seen`: the slots as they were before."""

    lane: int
    count: int
    seen: dict[int, int]


class World:
    """The stream: its lanes, its consumers, and what they did."""

    def __init__(
        self,
        rules: Rules,
        consumers: list[Consumer],
        *,
        lanes: int = 64,
        seed: int = 0,
        faults: Faults | None = None,
        history: int = 0,
        hot: bool = False,
    ) -> None:
        """`history`: events of each lane before the first second. `hot`: half of the events are of one lane."""
        self.rules, self.consumers, self.lanes, self.hot = rules, consumers, lanes, hot
        self.random = Random(seed)
        self.clock = Clock()
        self.faults = faults or Faults()
        self.tail = dict.fromkeys(range(lanes), history)
        self.backlog: list[tuple[float, int]] = []
        self.appended: list[tuple[float, int]] = []
        self.last_append: dict[int, float] = {}
        self.beyond: list[str] = []
        """Appends that no grant covered."""
        self.rows, self.row_events = 0, 0
        for consumer in consumers:
            self.begin(consumer)
        self.clock.after(0.5, self._observe)

    def begin(self, consumer: Consumer) -> None:
        """Have a subscription begin when it is due."""
        self.clock.after(consumer.begins, lambda: self._begin(consumer))

    def draw_lane(self) -> int:
        """Draw the lane of an event."""
        return 0 if self.hot and self.random.random() < 0.5 else self.random.randrange(self.lanes)

    def happens(self, probability: float) -> bool:
        """Tell if a fault happens."""
        return self.clock.now < self.faults.until and self.random.random() < probability

    def lag(self, region: str) -> float:
        """Draw how old the newest is that has come from a Region."""
        now, (cut, joined) = self.clock.now, self.faults.cut_off
        most = self.faults.stale_seconds if now < self.faults.until else 0.0
        stale = self.random.random() * max(0.05, most)
        if region == AWAY:
            stale += 0.5 + self.random.random() * 1.5
            if cut <= now < joined:
                stale += now - cut
        return stale

    def append(self, lane: int, count: int, *, atomic: bool) -> None:
        """Append a record, and have its doorbells rung. What no grant covers is noted."""
        tail = self.tail[lane]
        self._check(lane, tail, count, atomic=atomic)
        self.tail[lane] = tail + count
        self.appended.append((self.clock.now, count))
        self.last_append[lane] = self.clock.now
        for consumer in self.consumers:
            is_wanted = lane not in consumer.unwanted or self.clock.now < consumer.unwanted_since
            if consumer.has_begun and self.rules.is_rung(wanted=is_wanted):
                self._ring(consumer, lane, self.tail[lane])

    def _check(self, lane: int, tail: int, count: int, *, atomic: bool) -> None:
        now = self.clock.now
        for consumer in self.consumers:
            items = consumer.items.values()
            # Who has not seen a first grant obeys none; nor do those that learn of the gate only now.
            seen = min(item.since(lane) for item in items) + 2 * UNKNOWN_SECONDS + self.faults.stale_seconds
            known = consumer.begins + DECLARED_SECONDS + UNKNOWN_SECONDS if consumer.begins else 0.0
            if now < max(seen, known) or now >= consumer.retired:
                continue
            granted = max(item.slots.get(lane, 0) for item in items)
            if tail >= granted or (tail + count > granted and not atomic):
                self.beyond.append(
                    f"{now:.1f} s: lane {lane}: {tail}+{count} beyond {granted} of {consumer.name}"
                )

    # Consumers.

    def _begin(self, consumer: Consumer) -> None:
        consumer.has_begun = True
        for lane, tail in self.tail.items():
            consumer.cursor[lane] = tail if consumer.latest else 0
            consumer.accounts[lane] = Account(place=consumer.cursor[lane], measured=self.clock.now)
            consumer.visible[lane] = tail
            if tail > consumer.cursor[lane]:
                self._ring(consumer, lane, tail)

    def _ring(self, consumer: Consumer, lane: int, tail: int, *, again: bool = False) -> None:
        delay = 0.05 + self.random.random() * 0.2
        if consumer.region == AWAY:
            cut, joined = self.faults.cut_off
            delay += 0.5 + self.random.random()
            delay += joined - self.clock.now if cut <= self.clock.now < joined else 0.0
        self.clock.after(delay, lambda: self._rung(consumer, lane, tail, again=again))

    def _rung(self, consumer: Consumer, lane: int, tail: int, *, again: bool) -> None:
        consumer.visible[lane] = max(consumer.visible[lane], tail)
        if lane not in consumer.rung:
            consumer.rung.add(lane)
            consumer.queue.append((lane, again or self.happens(self.faults.doorbell_again)))
        self._work(consumer)

    def _work(self, consumer: Consumer) -> None:
        """Have idle workers take the lanes that are rung; a lane is in the hands of one at a time."""
        for _ in range(len(consumer.queue)):
            if not (consumer.idle and consumer.queue):
                return
            lane, again = consumer.queue.popleft()
            if lane in consumer.visited:
                consumer.queue.append((lane, again))
                continue
            consumer.rung.discard(lane)
            if self._is_served(consumer, lane):
                consumer.idle -= 1
                consumer.visited.add(lane)
                self._visit(consumer, lane, again=again)

    def _is_served(self, consumer: Consumer, lane: int) -> bool:
        now = self.clock.now
        is_paused = consumer.is_paused(now)
        if is_paused and not consumer.holds_while_paused:
            self._grant_while_paused(consumer, lane)
        is_halted = lane in consumer.halted and consumer.is_halted(now)
        if is_paused or is_halted or consumer.speed(now) <= 0:
            if lane not in consumer.waiting:
                consumer.waiting.add(lane)
                self.clock.after(1.0, lambda: self._wakes(consumer, lane))
            return False
        return True

    def _wakes(self, consumer: Consumer, lane: int) -> None:
        consumer.waiting.discard(lane)
        self._rung(consumer, lane, 0, again=True)

    def _grant_while_paused(self, consumer: Consumer, lane: int) -> None:
        """Grant from the tail, as a memory of the process has it: nothing is committed."""
        window = self.rules.window(
            consumer.settings, consumer.accounts[lane], -1, empty=True, now=self.clock.now
        )
        grant = consumer.visible[lane] + window
        known = consumer.items[consumer.region].slots.get(lane, 0)
        if self.rules.grants_while_paused() and grant - known >= window // 4:
            consumer.items[consumer.region].write({lane: max(known, grant)}, self.clock.now)

    def _visit(self, consumer: Consumer, lane: int, *, again: bool) -> None:
        seen = dict(consumer.items[consumer.region].slots)
        account = consumer.accounts[lane]
        is_first = account.granted is None and self.rules.grants_before_first_commit()
        if is_first:
            cursor, tail = consumer.cursor[lane], consumer.visible[lane]
            account, _ = self.rules.decide(consumer.settings, account, cursor, tail, now=self.clock.now)
            consumer.accounts[lane] = account
        if account.granted is not None and (is_first or self.rules.copies_again(came_again=again)):
            # First of all: the run before may have died before its copy, and this one may take long.
            if self.happens(self.faults.write_lost):
                self._come_again(consumer, lane, LANE_AGAIN_SECONDS)
                return
            self._write(consumer, lane, account.granted, seen=seen)
        count = min(consumer.page_events, consumer.visible[lane] - consumer.cursor[lane])
        if count > 0:
            self._handle(consumer, _Visit(lane, count, seen), count)
        else:
            self._leave(consumer, lane)

    def _handle(self, consumer: Consumer, visit: _Visit, left: int) -> None:
        """Handle events at the speed of the moment; then commit."""
        if left <= 0:
            self._commit(consumer, visit)
            return
        speed = consumer.speed(self.clock.now) / consumer.workers
        some = min(left, max(1, int(speed * 0.5))) if speed > 0 else 0
        seconds = min(5.0, some / speed) if speed > 0 else 1.0
        self.clock.after(seconds + 0.01, lambda: self._handle(consumer, visit, left - some))

    def _commit(self, consumer: Consumer, visit: _Visit) -> None:
        now, lane = self.clock.now, visit.lane
        cursor = consumer.cursor[lane] = consumer.cursor[lane] + visit.count
        account = consumer.accounts[lane].after(visit.count, now)
        account, is_due = self.rules.decide(
            consumer.settings, account, cursor, consumer.visible[lane], now=now
        )
        consumer.accounts[lane] = account
        assert account.granted is not None, "the first commit grants"
        if is_due and self.happens(self.faults.crash_before_write):
            self._come_again(consumer, lane, VISIBILITY_SECONDS)
        elif is_due and self.happens(self.faults.write_lost):
            self._come_again(consumer, lane, LANE_AGAIN_SECONDS)
        else:
            if is_due:
                self._write(consumer, lane, account.granted, seen=visit.seen)
            if consumer.visible[lane] > cursor:
                self._rung(consumer, lane, 0, again=False)
            self._leave(consumer, lane)

    def _come_again(self, consumer: Consumer, lane: int, seconds: float) -> None:
        """Have a doorbell come again. Until then no other of its lane is received."""
        consumer.idle += 1

        def comes() -> None:
            consumer.visited.discard(lane)
            if lane in consumer.rung:
                consumer.rung.discard(lane)
                others = [entry for entry in consumer.queue if entry[0] != lane]
                consumer.queue = deque(others)
            self._rung(consumer, lane, 0, again=True)

        self.clock.after(seconds, comes)
        self.clock.after(0, lambda: self._work(consumer))

    def _leave(self, consumer: Consumer, lane: int) -> None:
        consumer.visited.discard(lane)
        consumer.idle += 1
        self.clock.after(0, lambda: self._work(consumer))

    def _write(self, consumer: Consumer, lane: int, grant: int, *, seen: dict[int, int]) -> None:
        """Raise a slot. A write that is refused says what the slot holds, and the account goes on from there."""
        item = consumer.items[consumer.region]
        item.write(self.rules.stored(item.slots, seen, lane, grant), self.clock.now)
        account = consumer.accounts[lane]
        granted = self.rules.learnt(account.granted, item.slots.get(lane))
        consumer.accounts[lane] = replace(account, granted=granted)

    # What operators do.

    def replay(self, consumer: Consumer, lane: int, events: int) -> None:
        """Move a cursor back."""
        consumer.cursor[lane] = max(0, consumer.cursor[lane] - events)
        self._ring(consumer, lane, self.tail[lane], again=True)

    def open(self, consumer: Consumer, seconds: float) -> None:
        """Grant each lane what it usually gets in a time, beyond its tail."""
        for lane, tail in self.tail.items():
            more = max(consumer.settings.events_min, int(seconds * consumer.accounts[lane].best))
            self._write(consumer, lane, tail + more, seen={})

    def fail_over(self, consumer: Consumer, region: str, *, behind: int) -> None:
        """Hand the lanes to another Region, in which the cursors are a little behind."""
        consumer.region = region
        for lane, cursor in consumer.cursor.items():
            consumer.cursor[lane] = max(0, cursor - behind)
            self._ring(consumer, lane, self.tail[lane], again=True)

    def _observe(self) -> None:
        behind = max(
            (
                sum(max(0, self.tail[lane] - consumer.cursor[lane]) for lane in self.tail)
                for consumer in self.consumers
                if consumer.has_begun
            ),
            default=0,
        )
        self.backlog.append((self.clock.now, behind))
        self.clock.after(0.5, self._observe)

    @property
    def writes(self) -> int:
        """Write units of all credit items."""
        return sum(item.writes for consumer in self.consumers for item in consumer.items.values())
