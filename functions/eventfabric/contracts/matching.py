"""Matches a member's name with a pattern of `patternProperties`, in steps that its size and the name bound."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from eventfabric.contracts.patterns import (
    Anchor,
    Characters,
    Choice,
    Concatenation,
    Part,
    PatternError,
    Repeat,
    parsed_pattern,
)

NAME_CHARACTERS_MAX = 200
"""Longest name that is matched: of longer ones it stays open which patterns they match."""


def matches(pattern: str, name: str, *, spend: Callable[[int], None]) -> bool | None:
    """Return if a pattern matches somewhere in a name; None where engines may differ about it.

    They agree about printable ASCII. `spend` is told the steps before they are taken.
    """
    if not (name.isascii() and name.isprintable()) or len(name) > NAME_CHARACTERS_MAX:
        return None
    try:
        automaton = _automaton(pattern)
    except PatternError:
        return None
    spend(1 + len(automaton.edges) * (len(name) + 1) // 20)
    return automaton.matches(name)


@dataclass
class _Automaton:
    """States of a pattern. Each has edges: what they ask for, and the state that they lead to."""

    edges: list[list[tuple[Characters | Anchor | None, int]]] = field(default_factory=list)
    end: int = -1

    def state(self) -> int:
        self.edges.append([])
        return len(self.edges) - 1

    def add(self, part: Part, begin: int) -> int:
        """Add a part that begins at a state. Returns the state in which it has matched."""
        match part:
            case Characters() | Anchor():
                end = self.state()
                self.edges[begin].append((part, end))
                return end
            case Concatenation(parts=parts):
                for item in parts:
                    begin = self.add(item, begin)
                return begin
            case Choice(options=options):
                end = self.state()
                for option in options:
                    self.edges[self.add(option, begin)].append((None, end))
                return end
        return self._add_repeat(part, begin)

    def _add_repeat(self, repeat: Repeat, begin: int) -> int:
        for _ in range(repeat.least):
            begin = self.add(repeat.part, begin)
        end = self.state()
        if repeat.most is None:
            loop = self.state()
            self.edges[begin].append((None, loop))
            self.edges[self.add(repeat.part, loop)].append((None, loop))
            begin = loop
        else:
            for _ in range(repeat.most - repeat.least):
                self.edges[begin].append((None, end))
                begin = self.add(repeat.part, begin)
        self.edges[begin].append((None, end))
        return end

    def matches(self, name: str) -> bool:
        states = set[int]()
        for position in range(len(name) + 1):
            states = self._reached(states | {0}, name, position)
            if self.end in states:
                return True
            if position < len(name):
                states = self._stepped(states, name[position])
        return False

    def _reached(self, states: set[int], name: str, position: int) -> set[int]:
        waiting = list(states)
        reached = set(states)
        while waiting:
            for condition, following in self.edges[waiting.pop()]:
                if following in reached or isinstance(condition, Characters):
                    continue
                if condition is None or _holds(condition, name, position):
                    reached.add(following)
                    waiting.append(following)
        return reached

    def _stepped(self, states: set[int], character: str) -> set[int]:
        return {
            following
            for state in states
            for condition, following in self.edges[state]
            if isinstance(condition, Characters) and _contains(condition, character)
        }


@lru_cache(maxsize=64)
def _automaton(pattern: str) -> _Automaton:
    automaton = _Automaton()
    automaton.end = automaton.add(parsed_pattern(pattern), automaton.state())
    return automaton


def _holds(anchor: Anchor, name: str, position: int) -> bool:
    if anchor.kind == "^":
        return position == 0
    if anchor.kind == "$":
        return position == len(name)
    is_border = _is_word(name[position - 1 : position] if position else "") != _is_word(
        name[position : position + 1]
    )
    return is_border == (anchor.kind == "b")


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _contains(characters: Characters, character: str) -> bool:
    is_inside = (
        any(first <= character <= last for first, last in characters.ranges)
        or any(unicodedata.category(character).startswith(category) for category in characters.categories)
        or any(_contains(part, character) for part in characters.excluded)
    )
    return is_inside != characters.is_negated
