"""Step loads, simulated: lanes, functions with the real limit of attempts, and what is downstream of their handlers.

A clock of its own, and random times from a seed: a run gives the same figures each time. What is modelled: a lane is in
one function at a time, a function has up to ten lanes, a key has one attempt at a time, and a function looks as far
ahead in a lane as the real one does. Functions are there at once, as many as the queue may have. The circuit opens when
all of the last 20 attempts failed, and is probed each 30 seconds.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count, pairwise
from random import Random

from eventfabric import limits
from eventfabric.services.delivery.adaptive_limit import AdaptiveLimit

TICK_SECONDS = 0.1
_OPENS_AFTER = 20
_REFUSED_SECONDS = 0.02


@dataclass(frozen=True)
class Load:
    """Events that are published, and what handles them. Rates, places and seconds are functions of the time."""

    name: str
    rate: Callable[[float], float]
    """Events a second."""
    seconds: float = 420.0
    lanes: int = 4
    keys: int = 2_000
    hot_share: float = 0.0
    """Share of the events that are of one key; the others spread over all keys."""
    hot_lane: bool = False
    """True if all keys are in one lane."""
    attempt_seconds: Callable[[float], float] = lambda now: 0.1
    places: Callable[[float], int] = lambda now: 10_000
    """Calls that what is downstream makes at the same time; others wait there."""
    refuses: bool = False
    """True if what is downstream refuses calls for which it has no place, instead of letting them wait."""
    dead: Callable[[float], bool] = lambda now: False
    most: int = 16
    functions: int = 1
    fixed: int | None = None
    """Attempts at the same time, if their number is fixed."""
    spread: float = 0.3
    """Standard deviation of the logarithm of an attempt's time."""


@dataclass
class Run:
    """Figures of a run, each tick: seconds, events that wait, the sum of the functions' limits, the oldest's age."""

    seconds: list[float] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    limit: list[int] = field(default_factory=list)
    age_seconds: list[float] = field(default_factory=list)
    open: list[bool] = field(default_factory=list)
    failed: int = 0

    def drained_after(self, begin: float, *, few: int = 8) -> float:
        """Return how many seconds after `begin` the last tick was at which more than a few events waited for long."""
        late = [
            now
            for now, waiting, age in zip(self.seconds, self.waiting, self.age_seconds, strict=True)
            if now >= begin and waiting > few and age > 1.0
        ]
        return max(late, default=begin) - begin

    def turns(self, begin: float, end: float) -> int:
        """Return how often the limit changed its direction."""
        directions = [
            1 if after > before else -1
            for now, before, after in zip(self.seconds[1:], self.limit, self.limit[1:], strict=False)
            if begin <= now < end and after != before
        ]
        return sum(first != second for first, second in pairwise(directions))


@dataclass
class _Function:
    """One function instance."""

    limit: AdaptiveLimit
    under_way: int = 0


@dataclass
class _Attempt:
    function: _Function
    lane: int
    key: int
    published: float
    began: float
    changes: int
    counts: bool
    fails: bool = False
    is_refused: bool = False


class _World:
    """One run."""

    def __init__(self, load: Load, seed: int) -> None:
        self.load = load
        self.random = Random(f"{load.name} {seed}")
        self.now = 0.0
        self.lanes: list[deque[tuple[int, float]]] = [deque() for _ in range(load.lanes)]
        self.functions = [_Function(AdaptiveLimit(load.most)) for _ in range(min(load.functions, load.lanes))]
        for function in self.functions:
            function.limit.limit = load.fixed or function.limit.limit
        self.busy_keys: set[int] = set()
        self.queued: deque[_Attempt] = deque()
        self.served = 0
        self.due: list[tuple[float, int, _Attempt | None]] = []
        self.numbers = count()
        self.failed_in_a_row = 0
        self.probe_from: float | None = None
        self.owed = 0.0
        self.failed = 0

    def run(self) -> Run:
        """Run it to its end."""
        run = Run()
        heappush(self.due, (0.0, next(self.numbers), None))
        while self.due and self.now <= self.load.seconds:
            self.now, _, attempt = heappop(self.due)
            if attempt is None:
                self._publish()
                self._note(run)
                heappush(self.due, (self.now + TICK_SECONDS, next(self.numbers), None))
            else:
                self._end(attempt)
            self._begin_attempts()
        run.failed = self.failed
        return run

    def _publish(self) -> None:
        self.owed += self.load.rate(self.now) * TICK_SECONDS
        while self.owed >= 1:
            self.owed -= 1
            key = (
                0 if self.random.random() < self.load.hot_share else self.random.randrange(1, self.load.keys)
            )
            self.lanes[0 if self.load.hot_lane else key % self.load.lanes].append((key, self.now))

    def _note(self, run: Run) -> None:
        run.seconds.append(self.now)
        run.waiting.append(sum(map(len, self.lanes)))
        run.limit.append(sum(function.limit.limit for function in self.functions))
        run.age_seconds.append(max((self.now - lane[0][1] for lane in self.lanes if lane), default=0.0))
        run.open.append(self.probe_from is not None)

    def _begin_attempts(self) -> None:
        if self.probe_from is not None:
            self._probe()
            return
        for number, lane in enumerate(self.lanes):
            function = self.functions[number % len(self.functions)]
            if function.under_way >= function.limit.limit or not lane:
                continue
            ahead, taken = limits.AHEAD_EVENTS * function.limit.limit, list[int]()
            keys = set[int]()
            for index in range(min(ahead, len(lane))):
                key, published = lane[index]
                if key not in self.busy_keys and key not in keys:
                    taken.append(index)
                    self._begin(function, number, key, published)
                keys.add(key)
                if function.under_way >= function.limit.limit:
                    break
            for index in reversed(taken):
                del lane[index]

    def _probe(self) -> None:
        """Make one attempt, if the last is long enough ago."""
        if self.now < (self.probe_from or 0.0):
            return
        for number, lane in enumerate(self.lanes):
            if lane and lane[0][0] not in self.busy_keys:
                self.probe_from = self.now + limits.CIRCUIT_PROBE_SECONDS
                self._begin(self.functions[number % len(self.functions)], number, *lane.popleft())
                return

    def _begin(self, function: _Function, lane: int, key: int, published: float) -> None:
        function.under_way += 1
        self.busy_keys.add(key)
        counts = function.under_way >= function.limit.limit
        attempt = _Attempt(function, lane, key, published, self.now, function.limit.changes, counts)
        if self.served < self.load.places(self.now):
            self._serve(attempt)
        elif self.load.refuses:
            attempt.fails, attempt.is_refused = True, True
            heappush(self.due, (self.now + _REFUSED_SECONDS, next(self.numbers), attempt))
        else:
            self.queued.append(attempt)

    def _serve(self, attempt: _Attempt) -> None:
        self.served += 1
        attempt.fails = self.load.dead(self.now)
        spread = self.load.spread
        seconds = self.load.attempt_seconds(self.now) * self.random.lognormvariate(-(spread**2) / 2, spread)
        heappush(self.due, (self.now + seconds, next(self.numbers), attempt))

    def _end(self, attempt: _Attempt) -> None:
        self.served -= not attempt.is_refused
        while self.queued and self.served < self.load.places(self.now):
            self._serve(self.queued.popleft())
        function, limit, now_ms = attempt.function, attempt.function.limit, int(1000 * self.now)
        function.under_way -= 1
        self.busy_keys.discard(attempt.key)
        if self.load.fixed is None and attempt.counts and attempt.changes == limit.changes:
            if attempt.fails:
                limit.failed(now_ms)
            else:
                limit.succeeded(1000 * (self.now - attempt.began), now_ms)
        if attempt.fails:
            self.failed += 1
            self.lanes[attempt.lane].appendleft((attempt.key, attempt.published))
            self.failed_in_a_row += 1
            if self.failed_in_a_row >= _OPENS_AFTER and self.probe_from is None:
                self.probe_from = self.now + limits.CIRCUIT_PROBE_SECONDS
        else:
            self.failed_in_a_row, self.probe_from = 0, None


def simulated(load: Load, *, seed: int = 0) -> Run:
    """Run a load."""
    return _World(load, seed).run()


def stepped(low: float, high: float, *, begin: float = 60.0, end: float = 240.0) -> Callable[[float], float]:
    """Return a value that is high for some time, and low before and after."""
    return lambda now: high if begin <= now < end else low


LOADS = (
    Load("20 times the load and back", rate=stepped(10, 200)),
    Load("a hot key", rate=stepped(10, 200), hot_share=0.06),
    Load("a hot lane", rate=stepped(10, 200), hot_lane=True),
    Load(
        "a downstream with a quarter of its places",
        rate=lambda now: 60,
        places=lambda now: 4 if 60 <= now < 240 else 16,
    ),
    Load("a dead downstream", rate=lambda now: 40, dead=lambda now: 60 <= now < 240),
)
"""The loads that the tests and the page show."""
