"""Simulated time and turns: actors are greenlets that pause, wait and are woken. One seed gives one schedule.

    pause(0.2) ── go on 0.2 s later ────────────────┐
    wait("queue", until 30 s) ── woken, or 30 s ────┴──> the actor that is due next runs, ties are drawn

Knows nothing of fabrics. Time stands still while an actor runs, and jumps to whatever is due next.
"""

from collections import defaultdict
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Final, ParamSpec

from greenlet import GreenletExit, getcurrent, greenlet

P = ParamSpec("P")
START_MS: Final = 1_790_000_000_000


class Actor:
    """One thread of the simulation."""

    __slots__ = ("let", "name", "turn")

    def __init__(self, name: str, let: greenlet) -> None:
        self.name = name
        self.let = let
        self.turn = 0


class StepsExceededError(Exception):
    """The simulation did not come to rest within its bound of steps."""


class Schedule:
    """Runs actors one at a time. `now_us`: simulated microseconds since 1970. `steps`: turns taken so far."""

    def __init__(self, random: Random) -> None:
        self.now_us = START_MS * 1000
        self.steps = 0
        self._random = random
        self._due: list[tuple[int, float, int, Actor, int]] = []
        self._pushed = 0
        self._waiting: defaultdict[str, dict[Actor, None]] = defaultdict(dict)
        self._actors: dict[greenlet, Actor] = {}
        self._hub = getcurrent()
        self._running: Actor | None = None
        self._failure: BaseException | None = None

    @property
    def current(self) -> Actor:
        """The actor that is running."""
        assert self._running is not None, "only actors pause and wait"
        return self._running

    def spawn(self, name: str, run: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> Actor:
        """Make a new actor, which begins as soon as possible. An exception in it ends the whole simulation."""

        def body() -> None:
            try:
                run(*args, **kwargs)
            except GreenletExit:
                return
            except BaseException as error:  # an error of the actor itself, raised again by `run`
                self._failure = error
            finally:
                self._actors.pop(actor.let, None)

        actor = Actor(name, greenlet(body, self._hub))
        self._actors[actor.let] = actor
        self._push(actor, 0.0)
        return actor

    def pause(self, seconds: float) -> None:
        """Let others run, and go on `seconds` later."""
        self._push(self.current, seconds)
        self._hub.switch()

    def wait(self, channel: str, *, until_us: int | None = None) -> None:
        """Let others run, and go on when the channel is woken, or at a time."""
        actor = self.current
        self._waiting[channel][actor] = None
        if until_us is not None:
            self._push(actor, max(0, until_us - self.now_us) / 1_000_000)
        else:
            actor.turn += 1
        self._hub.switch()
        self._waiting[channel].pop(actor, None)

    def wake(self, channel: str, *, after_seconds: float = 0.0) -> None:
        """Let all who wait on a channel go on."""
        waiting = self._waiting.get(channel)
        if waiting:
            self._waiting[channel] = {}
            for actor in waiting:
                self._push(actor, after_seconds)

    def run(self, *, until_us: int | None = None, steps_max: int) -> None:
        """Run actors until none is due (before `until_us`). StepsExceededError, and any exception of an actor."""
        steps_end = self.steps + steps_max
        while self._due and (until_us is None or self._due[0][0] <= until_us):
            at_us, _, _, actor, turn = heappop(self._due)
            if turn != actor.turn or actor.let.dead:
                continue  # it was woken before, or has ended
            if self.steps >= steps_end:
                raise StepsExceededError(f"{steps_max} steps, and {actor.name} is still to go on")
            self.now_us = max(self.now_us, at_us)
            self.steps += 1
            self._running = actor
            actor.let.switch()
            if self._failure is not None:
                raise self._failure
        if until_us is not None:
            self.now_us = max(self.now_us, until_us)

    def close(self) -> None:
        """End all actors where they are."""
        for actor in list(self._actors.values()):
            while not actor.let.dead:
                self._running = actor
                actor.let.throw(GreenletExit)
        self._actors.clear()

    def _push(self, actor: Actor, seconds: float) -> None:
        actor.turn += 1
        self._pushed += 1
        at_us = self.now_us + max(0, round(seconds * 1_000_000))
        heappush(self._due, (at_us, self._random.random(), self._pushed, actor, actor.turn))


class SimulatedTime:
    """ports.Clock of the whole simulation."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def now_ms(self) -> int:
        """Return simulated milliseconds since 1970."""
        return self._schedule.now_us // 1000

    def steady_ms(self) -> int:
        """Return simulated milliseconds since 1970, which nobody sets."""
        return self._schedule.now_us // 1000

    def sleep(self, seconds: float) -> None:
        """Pause the actor that runs."""
        self._schedule.pause(seconds)


class ProcessClock:
    """A ports.Clock of one machine: `skew_ms` ahead of simulated time, and sometimes moved."""

    def __init__(self, schedule: Schedule, skew_ms: int) -> None:
        self.skew_ms = skew_ms
        self._schedule = schedule

    def now_ms(self) -> int:
        """Return milliseconds since 1970 by this machine's clock."""
        return self._schedule.now_us // 1000 + self.skew_ms

    def steady_ms(self) -> int:
        """Return simulated milliseconds, which nobody sets."""
        return self._schedule.now_us // 1000

    def sleep(self, seconds: float) -> None:
        """Pause the actor that runs."""
        self._schedule.pause(seconds)
