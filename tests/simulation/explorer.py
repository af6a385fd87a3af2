"""Explores every schedule of a few actors up to a bound: who runs next, and which call fails how.

Stateless: each schedule runs from the beginning by the choices that make it, and the last choice that has another
option left is changed for the next. Bounded by how often an actor is stopped though it could go on, and by how many
calls fail; most bugs of concurrency need very few of either (Musuvathi and Qadeer, PLDI 2007).
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from greenlet import getcurrent, greenlet

from eventfabric.errors import OutcomeUnknownError, PortError
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash

T = TypeVar("T")
_READS = frozenset({"ledger.look_up", "ledger.standing", "ledger.state", "log.read", "log.tail"})
_OF_READS = (Fault.LOST_REQUEST,)
_OF_WRITES = (Fault.CRASH_AFTER, Fault.LOST_REPLY, Fault.LOST_REQUEST)


class Schedule:
    """One schedule: follows the choices that it was given, then takes the first option each time."""

    def __init__(self, choices: list[int], *, preemptions_max: int, faults_max: int) -> None:
        self.choices = list(choices)
        self.widths: list[int] = []
        self._preemptions = preemptions_max
        self._faults = faults_max
        self._hub = getcurrent()

    def choose(self, options: int) -> int:
        """One of so many."""
        index = len(self.widths)
        self.widths.append(options)
        if index == len(self.choices):
            self.choices.append(0)
        return self.choices[index]

    def next(self) -> list[int] | None:
        """The choices of another schedule; None where this was the last."""
        for index in reversed(range(len(self.widths))):
            if self.choices[index] + 1 < self.widths[index]:
                return [*self.choices[:index], self.choices[index] + 1]
        return None

    def run(self, *actors: Callable[[], object], alike: bool = False) -> None:
        """Run the actors to their ends; one that crashes, or gives up, has ended.

        `alike`: they do the same, so that it makes no difference which of them begins.
        """

        def body(actor: Callable[[], object]) -> None:
            with suppress(SimulatedCrash, PortError):
                actor()

        ready = [greenlet(lambda started=actor: body(started)) for actor in actors]
        running: greenlet | None = None
        while ready:
            goes_on = running is not None and not running.dead
            first = [running] if goes_on and running is not None else []
            others = [actor for actor in ready if actor is not running]
            if alike and running is None:
                others = others[:1]
            options = [*first, *(others if not goes_on or self._preemptions else [])]
            chosen = options[self.choose(len(options))]
            self._preemptions -= goes_on and chosen is not running
            running = chosen
            running.switch()
            ready = [actor for actor in ready if not actor.dead]

    def faults(self) -> Faults:
        """Ports' calls that take turns, and fail as chosen."""
        return _Turns(self)

    def turn(self) -> None:
        """Let others run, if somebody runs this as an actor."""
        if getcurrent() is not self._hub:
            self._hub.switch()

    def fault(self, faults: Sequence[Fault]) -> Fault | None:
        """Return one of these faults for the call that is being made, or None."""
        if not self._faults or getcurrent() is self._hub:
            return None
        chosen = self.choose(1 + len(faults))
        if not chosen:
            return None
        self._faults -= 1
        return faults[chosen - 1]


class _Turns(Faults):
    """The calls of one actor. Of faults that leave the same behind, it tries one.

    Who dies before a call leaves what it would leave by dying after the one before: only before the first call there is
    none, and what ends a handler is noted as its crash. A read changes nothing: its reply may be lost as well as its
    request, and who would die after it may die before it.
    """

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule
        self._dies_before = True

    def call(self, name: str, effect: Callable[[], T]) -> T:
        self._schedule.turn()
        faults = _OF_READS if name in _READS else _OF_WRITES
        fault = self._schedule.fault((Fault.CRASH_BEFORE, *faults) if self._dies_before else faults)
        self._dies_before = name == "handler.attempt"
        if fault is Fault.CRASH_BEFORE:
            raise SimulatedCrash(name)
        if fault is Fault.LOST_REQUEST:
            raise OutcomeUnknownError(name, "explored: the request was lost")
        if fault is None:
            return effect()
        with suppress(Exception):  # nobody hears of a refusal either
            effect()
        if fault is Fault.LOST_REPLY:
            raise OutcomeUnknownError(name, "explored: the reply was lost")
        raise SimulatedCrash(name)


def explore(
    scenario: Callable[[Schedule], None],
    *,
    preemptions_max: int,
    faults_max: int,
    schedules_max: int = 200_000,
) -> int:
    """Run the scenario in every schedule; how many there were. AssertionError names the choices that broke it."""
    choices: list[int] | None = []
    count = 0
    while choices is not None:
        schedule = Schedule(choices, preemptions_max=preemptions_max, faults_max=faults_max)
        try:
            scenario(schedule)
        except AssertionError as error:
            raise AssertionError(f"schedule {schedule.choices}: {error}") from error
        count += 1
        assert count <= schedules_max, f"more than {schedules_max} schedules"
        choices = schedule.next()
    return count
