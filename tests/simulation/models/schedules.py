"""Schedules of a model: which of the things that may happen happens next, drawn at random or gone through one by one.

A model is a scenario that asks `pick` each time there is a choice, and raises a Violation if a checker objects. Random
schedules are told apart by their seed. Exploration is stateless, as in tests/simulation/explorer.py: each schedule runs
from the beginning by the choices that make it, and ends where it comes to a state that was explored before. Unlike
there, what happens next need not be an actor's next call: messages are received, items are replicated, processes die.
"""

import random
from collections.abc import Callable, Collection, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Violation(AssertionError):
    """A checker's objection to a schedule. `rule`: the checker."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"{rule}: {reason}")
        self.rule = rule


class Happening(NamedTuple):
    """A kind of thing that may happen, to each of some items, and how likely it is for each."""

    weight: float
    happens: Callable[[Any], object]
    items: Collection[Any]


class Choices(Protocol):
    """Chooser among what may happen next."""

    def pick(
        self, happenings: Sequence[Happening], state: Callable[[], Hashable]
    ) -> tuple[Callable[[Any], object], Any]:
        """Pick a happening and an item, of which there is at least one. `state`: all that what follows depends on."""
        ...


class KnownStateError(Exception):
    """Another schedule has come to the state to which this one has come."""


@dataclass(frozen=True, slots=True)
class RandomChoices:
    """Choices that a generator draws by their weights."""

    generator: random.Random

    def pick(
        self, happenings: Sequence[Happening], state: Callable[[], Hashable]
    ) -> tuple[Callable[[Any], object], Any]:
        weights = [weight * len(items) for weight, _, items in happenings]
        left = self.generator.random() * sum(weights)
        index = 0
        while left >= weights[index] and index + 1 < len(weights):
            left -= weights[index]
            index += 1
        weight, happens, items = happenings[index]
        return happens, [*items][min(int(left / weight), len(items) - 1)]


class Exploration:
    """Choices of one schedule after the other, until all were made. Weights do not count."""

    def __init__(self) -> None:
        self.schedules = 0
        self._choices: list[int] = []
        self._widths: list[int] = []
        self._known: set[int] = set()
        self._depth = 0

    def pick(
        self, happenings: Sequence[Happening], state: Callable[[], Hashable]
    ) -> tuple[Callable[[Any], object], Any]:
        options = [(happens, item) for _, happens, items in happenings for item in items]
        if len(options) == 1:
            return options[0]
        if self._depth == len(self._choices):
            digest = hash(state())
            if digest in self._known:
                raise KnownStateError
            self._known.add(digest)
            self._choices.append(0)
            self._widths.append(len(options))
        self._depth += 1
        return options[self._choices[self._depth - 1]]

    def run(self, scenario: Callable[[Choices], None], *, schedules_max: int) -> bool:
        """Run the scenario in every schedule. False if there are more than so many. Raises Violation."""
        while self.schedules < schedules_max:
            self.schedules, self._depth = self.schedules + 1, 0
            with suppress(KnownStateError):
                scenario(self)
            if not self._advance():
                return True
        return False

    @property
    def states(self) -> int:
        """Number of states in which there was a choice."""
        return len(self._known)

    def _advance(self) -> bool:
        """Change the last choice that has another option left. False if none has."""
        while self._choices:
            self._choices[-1] += 1
            if self._choices[-1] < self._widths[-1]:
                return True
            self._choices.pop()
            self._widths.pop()
        return False
