"""Explores every schedule of a few actors up to a bound: who runs next, and which call fails how.

Stateless: each schedule runs from the beginning by the choices that make it, and the last choice that has another
option left is changed for the next. Bounded by how often an actor is stopped though it could go on, and by how many
calls fail; most bugs of concurrency need very few of either (Musuvathi and Qadeer, PLDI 2007).

A schedule ends where it comes to a state to which another came with as much left of what is bounded: whatever may
follow is explored from there.
"""

import pickle
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

from eventfabric.errors import OutcomeUnknownError, PortError
from eventfabric.ports import Clock, Ports
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash

T = TypeVar("T")
_READS = frozenset({"ledger.look_up", "ledger.standing", "ledger.state", "log.read", "log.tail"})
_OF_READS = (Fault.LOST_REQUEST,)
_OF_WRITES = (Fault.CRASH_AFTER, Fault.LOST_REPLY, Fault.LOST_REQUEST)


class KnownStateError(Exception):
    """Another schedule has come to the state to which this one has come."""


class KnownStates:
    """States in which schedules had a choice or ended: what is stored, and what each actor knows that goes on.

    What an actor knows follows from its own steps: from the reply to each, and from what was stored before its first.
    """

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._entered: dict[Hashable, list[tuple[int, int]]] = {}

    def number(self, past: Hashable) -> int:
        """Return the number that stands for all that has led to a state."""
        return self._numbers.setdefault(past, len(self._numbers))

    def enter(self, state: Hashable, preemptions: int, faults: int) -> None:
        """Note a state, with what is left. KnownStateError if another schedule came to it with no less."""
        before = self._entered.setdefault(state, [])
        if any(
            preemptions <= preemptions_left and faults <= faults_left
            for preemptions_left, faults_left in before
        ):
            raise KnownStateError
        before.append((preemptions, faults))


class Schedule:
    """One schedule: follows the choices that it was given, then takes the first option each time."""

    def __init__(
        self, choices: list[int], *, preemptions_max: int, faults_max: int, known: KnownStates
    ) -> None:
        self.choices = list(choices)
        self.widths: list[int] = []
        self._given = len(choices)
        self._preemptions = preemptions_max
        self._faults = faults_max
        self._known = known
        self._hub = getcurrent()
        self._pasts: dict[greenlet, int] = {}
        self._stored: Callable[[], Hashable] = lambda: None
        self._shared: int | None = None
        self._ready: list[greenlet] = []
        self._step: tuple[Hashable, int] = (None, 0)
        self._changes = False
        self._reply: Hashable = None
        self._actors = 0
        self._is_over = False

    def choose(self, options: int, *, of: Hashable) -> int:
        """Choose one of so many. Raises KnownStateError where what may follow has been explored."""
        index = len(self.widths)
        if index >= self._given and options > 1:
            self._enter(of)
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

    def _enter(self, of: Hashable) -> None:
        """Note the state, in which there is a choice of this or an end. KnownStateError if another came to it."""
        pasts = tuple(past if actor in self._ready else None for actor, past in self._pasts.items())
        preemptions = self._preemptions if len(self._ready) > 1 else 0
        self._known.enter((of, self._what_is_stored(), pasts), preemptions, self._faults)

    def _what_is_stored(self) -> int:
        if self._shared is None:
            self._shared = self._known.number(self._stored())
        return self._shared

    def run(
        self,
        *actors: Callable[[], object],
        clock: Clock,
        stored: Callable[[], Hashable],
        alike: bool = False,
    ) -> None:
        """Run the actors to their ends; one that crashes, or gives up, has ended.

        `clock`: they share it. `stored`: returns everything else that they share, and that is looked at in the end.
        `alike`: they do the same, so that it makes no difference which of them begins.
        """
        self._ready = [greenlet(partial(_act, actor)) for actor in actors]
        self._pasts = {actor: self._known.number(number) for number, actor in enumerate(self._ready)}
        running: greenlet | None = None
        self._stored = lambda: (clock.now_ms(), stored())
        try:
            while self._ready:
                running = self._chosen(running, alike=alike)
                self._go_on(running, clock)
            self._enter("the end")
        finally:
            self._end()

    def _chosen(self, running: greenlet | None, *, alike: bool) -> greenlet:
        """Return the actor that runs next."""
        goes_on = running in self._ready
        others = [actor for actor in self._ready if actor is not running]
        if alike and running is None:
            others = others[:1]
        options = [
            *([running] if running and goes_on else []),
            *(others if not goes_on or self._preemptions else []),
        ]
        index = list(self._pasts).index(running) if running and goes_on else None
        chosen = options[self.choose(len(options), of=index)]
        self._preemptions -= goes_on and chosen is not running
        return chosen

    def _go_on(self, actor: greenlet, clock: Clock) -> None:
        """Run an actor to its next call, or to its end, and note what that changed."""
        before_ms = clock.now_ms()
        self._step, self._changes, self._reply = (None, 0), False, None
        if not actor:  # what precedes its first call is no call, and may have read anything
            self._reply = self._what_is_stored()
        actor.switch()
        if self._is_over:
            raise KnownStateError
        self._pasts[actor] = self._known.number((self._pasts[actor], *self._step, self._reply, before_ms))
        if self._changes or clock.now_ms() != before_ms:
            self._shared = None
        self._ready = [actor for actor in self._ready if not actor.dead]

    def _end(self) -> None:
        """End the actors that have not come to their ends."""
        self._is_over = True
        for actor in self._ready:
            while actor:
                actor.throw(GreenletExit)

    def faults(self) -> Faults:
        """Ports' calls that take turns, and fail as chosen."""
        self._actors += 1
        return _Turns(self, SeededEntropy(self._actors))

    def turn(self) -> None:
        """Let others run, if somebody runs this as an actor."""
        if getcurrent() is not self._hub:
            self._hub.switch()
            if self._is_over:
                raise GreenletExit

    def fault(self, name: str, faults: Sequence[Fault]) -> Fault | None:
        """Return one of these faults for the call that is being made, or None."""
        if getcurrent() is self._hub:
            return None
        chosen = 0
        if self._faults:
            try:
                chosen = self.choose(1 + len(faults), of=(name, self._pasts[getcurrent()]))
            except KnownStateError:
                self._is_over = True
                self._hub.switch()
                raise GreenletExit from None
        self._step, self._changes = (name, chosen), name not in _READS
        if not chosen:
            return None
        self._faults -= 1
        return faults[chosen - 1]

    def heard(self, reply: object) -> None:
        """Note the reply to a call: what its actor knows depends on nothing else."""
        if getcurrent() is not self._hub:
            self._reply = pickle.dumps(reply)


class _Turns(Faults):
    """The calls of one actor. Of faults that leave the same behind, it tries one.

    Who dies before a call leaves what it would leave by dying after the one before: only before the first call there is
    none, and what ends a handler is noted as its crash. A read changes nothing: its reply may be lost as well as its
    request, and who would die after it may die before it.
    """

    def __init__(self, schedule: Schedule, entropy: SeededEntropy) -> None:
        super().__init__()
        self._schedule = schedule
        self._entropy = entropy
        self._dies_before = True

    def ports(self, ports: Ports) -> Ports:
        """Wrap all that is called in a Region. An actor draws random numbers of its own, which concern nobody else."""
        return replace(super().ports(ports), entropy=self._entropy)

    def call(self, name: str, effect: Callable[[], T]) -> T:
        self._schedule.turn()
        faults = _OF_READS if name in _READS else _OF_WRITES
        fault = self._schedule.fault(name, (Fault.CRASH_BEFORE, *faults) if self._dies_before else faults)
        self._dies_before = name == "handler.attempt"
        if fault is Fault.CRASH_BEFORE:
            raise SimulatedCrash(name)
        if fault is Fault.LOST_REQUEST:
            raise OutcomeUnknownError(name, "explored: the request was lost")
        if fault is None:
            try:
                reply = effect()
            except Exception as error:  # a refusal of a port, or the handler's own error: the actor hears it
                self._schedule.heard((type(error).__name__, str(error)))
                raise
            self._schedule.heard(reply)
            return reply
        with suppress(Exception):  # nobody hears of a refusal either
            effect()
        if fault is Fault.LOST_REPLY:
            raise OutcomeUnknownError(name, "explored: the reply was lost")
        raise SimulatedCrash(name)


def _act(actor: Callable[[], object]) -> None:
    """Run an actor, which may crash, or give up."""
    with suppress(SimulatedCrash, PortError):
        actor()


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
    known = KnownStates()
    while choices is not None:
        schedule = Schedule(choices, preemptions_max=preemptions_max, faults_max=faults_max, known=known)
        try:
            scenario(schedule)
        except KnownStateError:
            pass
        except AssertionError as error:
            raise AssertionError(f"schedule {schedule.choices}: {error}") from error
        count += 1
        assert count <= schedules_max, f"more than {schedules_max} schedules"
        choices = schedule.next()
    return count
