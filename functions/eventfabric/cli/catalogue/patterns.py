"""Texts for patterns: a text that a regular expression of JSON Schema matches, made part by part."""

from bisect import bisect_left
from typing import Final

_CLASSES: Final = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
"""A character of each class that a letter behind a backslash names."""
_ESCAPES: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
_MEMBERS: Final = {"d": "0123456789", "s": " \t\n\r", "w": "abcxyzABCXYZ0123456789_"}
_LIKELY: Final = "aA0bB1-_ .:/@"
"""Characters of which a negated class has one."""
_DIGITS: Final = frozenset("0123456789abcdefABCDEF")
_REPEATS_MAX: Final = 1_000
_CHARACTERS_MAX: Final = 8_000
"""Most characters of a pattern, and of a text for it."""
_RANGE_MAX: Final = 128
_DEPTH_MAX: Final = 50


class UnknownPatternError(ValueError):
    """A pattern has a part for which no text is made."""


def text_for(pattern: str, choice: int, *, characters_min: int = 0) -> str:
    """Return a text that a pattern most likely matches. UnknownPatternError.

    Args:
        pattern: a regular expression.
        choice: number of the branch that is taken where there are several.
        characters_min: fewest characters, which a part that may repeat fills up.
    """
    if max(characters_min, len(pattern)) > _CHARACTERS_MAX:
        raise UnknownPatternError("too long")

    def text(longer: int) -> str:
        return _Reader(pattern, choice, longer).whole()

    # The more often parts are repeated, the longer is the text.
    longer = 1
    while longer < _REPEATS_MAX and len(text(longer)) < characters_min:
        longer *= 2
    return text(bisect_left(range(longer), characters_min, key=lambda repeats: len(text(repeats))))


class _Reader:
    """Reads a pattern from left to right, and makes a text of it at once."""

    def __init__(self, pattern: str, choice: int, longer: int) -> None:
        self._pattern, self._choice, self._longer = pattern, choice, longer
        self._next, self._depth = 0, 0

    def whole(self) -> str:
        """Return a text for all of it."""
        text = self._branches()
        if self._next < len(self._pattern):
            raise UnknownPatternError(self._pattern)
        return text

    def _branches(self) -> str:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise UnknownPatternError(self._pattern)
        branches = [self._parts()]
        while self._take("|"):
            branches.append(self._parts())
        self._depth -= 1
        return branches[self._choice % len(branches)]

    def _parts(self) -> str:
        text = ""
        while self._next < len(self._pattern) and self._pattern[self._next] not in "|)":
            if self._take("^") or self._take("$"):
                continue
            part = self._part()
            count = self._count()
            if len(text) + len(part) * count > _CHARACTERS_MAX:
                raise UnknownPatternError(self._pattern)
            text += part * count
        return text

    def _part(self) -> str:
        match character := self._pattern[self._next]:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{":
                raise UnknownPatternError(self._pattern)
            case _:
                self._next += 1
                return "a" if character == "." else character

    def _group(self) -> str:
        self._next += 1
        if self._take("?") and not self._take(":"):
            name, closed = self._pattern.find("<", self._next), self._pattern.find(">", self._next)
            # A name is all right; what looks around is not.
            if name != self._next or closed < 0 or self._pattern[name + 1 : name + 2] in ("=", "!"):
                raise UnknownPatternError(self._pattern)
            self._next = closed + 1
        text = self._branches()
        if not self._take(")"):
            raise UnknownPatternError(self._pattern)
        return text

    def _escape(self) -> str:
        letter = self._pattern[self._next + 1 : self._next + 2]
        self._next += 2
        if letter in ("x", "u"):
            digits = 2 if letter == "x" else 4
            code = self._pattern[self._next : self._next + digits]
            self._next += digits
            if len(code) < digits or not set(code) <= _DIGITS:
                raise UnknownPatternError(self._pattern)
            return chr(int(code, 16))
        if letter in _CLASSES or letter in _ESCAPES:
            return _CLASSES.get(letter) or _ESCAPES[letter]
        if not letter or letter.isalnum():  # also borders of words, references and properties of characters
            raise UnknownPatternError(self._pattern)
        return letter

    def _class(self) -> str:
        self._next += 1
        is_negated, members = self._take("^"), ""
        while not self._take("]"):
            members += self._members()
        if is_negated:
            members = "".join(character for character in _LIKELY if character not in members)
        if not members:
            raise UnknownPatternError(self._pattern)
        return members[self._choice % len(members)]

    def _members(self) -> str:
        """Return the next characters of a class: a single one, a range of them, or those of a class in it."""
        letter = self._pattern[self._next + 1 : self._next + 2]
        if self._stands("\\") and letter in _MEMBERS:
            self._next += 2
            return _MEMBERS[letter]
        first = self._character()
        if not self._stands("-") or self._stands("-]"):
            return first
        self._next += 1
        last = min(ord(self._character()), ord(first) + _RANGE_MAX)
        return "".join(map(chr, range(ord(first), last + 1)))

    def _character(self) -> str:
        """Return the next character of a class."""
        if self._stands("\\"):
            return self._escape()
        self._next += 1
        if self._next > len(self._pattern):
            raise UnknownPatternError(self._pattern)
        return self._pattern[self._next - 1]

    def _count(self) -> int:
        """Return how many times the part before stands in the text: as few as are allowed, and so many more."""
        if self._take("?"):
            least, most = 0, 1
        elif self._take("*"):
            least, most = 0, _REPEATS_MAX
        elif self._take("+"):
            least, most = 1, _REPEATS_MAX
        elif self._take("{"):
            bounds, closed, rest = self._pattern[self._next :].partition("}")
            self._next = len(self._pattern) - len(rest)
            first, comma, second = bounds.partition(",")
            if not (closed and first.isdecimal() and (not second or second.isdecimal())):
                raise UnknownPatternError(self._pattern)
            least = min(int(first), _REPEATS_MAX)
            most = int(second) if second else _REPEATS_MAX if comma else least
        else:
            return 1
        self._take("?")  # not greedy: the same texts
        return min(least + self._longer, most)

    def _take(self, text: str) -> bool:
        taken = self._stands(text)
        self._next += len(text) if taken else 0
        return taken

    def _stands(self, text: str) -> bool:
        return self._pattern.startswith(text, self._next)
