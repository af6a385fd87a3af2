"""Regular expressions that a schema may hold: what ECMA-262 and engines of linear time (Rust's `regex`) both take.

No look-around, no back-reference, no flags; nothing that one of them reads otherwise than the other; and nothing that
grows beyond `PATTERN_SIZE_MAX` characters when its repetitions are written out.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

PATTERN_CHARACTERS_MAX: Final = 2_000
PATTERN_DEPTH_MAX: Final = 40
PATTERN_REPEAT_MAX: Final = 2_000
PATTERN_SIZE_MAX: Final = 5_000
"""Largest size of a pattern with its repetitions written out, where a class of Unicode counts as several characters."""

_CATEGORY_NAMES: Final = """
    L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf
"""
_CATEGORIES: Final = frozenset(_CATEGORY_NAMES.split())
_CATEGORY_SIZE: Final = 200
_NEGATED_SIZE: Final = 4
_CONTROLS: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
_PUNCTUATION: Final = frozenset("!\"#$%&'()*+,-./:;=?@[\\]^_`{|}~ ") - {"_", " "}
_CLASSES: Final = {"d": (("0", "9"),), "w": (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))}
_SPACES: Final = (("\t", "\r"), (" ", " "))


@dataclass(frozen=True)
class Characters:
    """A set of characters: ranges, categories of Unicode (`!` before those that it lacks), or all others than these."""

    ranges: tuple[tuple[str, str], ...] = ()
    categories: tuple[str, ...] = ()
    excluded: tuple["Characters", ...] = ()
    is_negated: bool = False

    @property
    def size(self) -> int:
        wide = _CATEGORY_SIZE * len(self.categories) + sum(part.size for part in self.excluded)
        return 1 + len(self.ranges) // 4 + wide + _NEGATED_SIZE * self.is_negated


@dataclass(frozen=True)
class Anchor:
    """A condition on a position: `^`, `$`, `b` (a border of a word) or `B`."""

    kind: str
    size: int = 1


@dataclass(frozen=True)
class Concatenation:
    """Parts that follow each other."""

    parts: tuple["Part", ...]
    size: int


@dataclass(frozen=True)
class Choice:
    """Parts of which any may match."""

    options: tuple["Part", ...]
    size: int


@dataclass(frozen=True)
class Repeat:
    """A part that matches several times; `most` is None if nothing bounds it."""

    part: "Part"
    least: int
    most: int | None

    @property
    def size(self) -> int:
        return self.part.size * max(1, self.least + 1 if self.most is None else self.most)


Part = Characters | Anchor | Concatenation | Choice | Repeat


class PatternError(ValueError):
    """A pattern that no schema may hold. `state` says what it has, and `allowed` what it may have."""

    def __init__(self, state: str, allowed: str) -> None:
        super().__init__(f"{state}; allowed: {allowed}")
        self.state = state
        self.allowed = allowed


@lru_cache(maxsize=256)
def parsed_pattern(pattern: str) -> Part:
    """Parse a pattern. Raises PatternError."""
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        raise PatternError(f"{len(pattern)} characters", f"at most {PATTERN_CHARACTERS_MAX}")
    parser = _Parser(pattern)
    part = parser.choice(0)
    if parser.position < len(pattern):
        raise PatternError("a ')' that closes nothing", "'\\)' for the character itself")
    return part


class _Parser:
    """A recursive descent over one pattern; its depth is bounded."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.position = 0
        self._names: set[str] = set()

    def choice(self, depth: int) -> Part:
        if depth > PATTERN_DEPTH_MAX:
            raise PatternError(f"groups nested deeper than {PATTERN_DEPTH_MAX}", "fewer")
        options = [self._row(depth)]
        while self._taken("|"):
            options.append(self._row(depth))
        if len(options) == 1:
            return options[0]
        return Choice(tuple(options), _bounded(sum(option.size for option in options)))

    def _row(self, depth: int) -> Part:
        parts: list[Part] = []
        while self.position < len(self.pattern) and self.pattern[self.position] not in "|)":
            parts.append(self._repeated(self._atom(depth)))
        return Concatenation(tuple(parts), _bounded(sum(part.size for part in parts)))

    def _repeated(self, part: Part) -> Part:
        bounds = self._quantifier()
        if bounds is None:
            return part
        if isinstance(part, Anchor):
            raise PatternError(
                "a quantifier after an anchor", "a quantifier after a character, class or group"
            )
        self._taken("?")
        if self.position < len(self.pattern) and self.pattern[self.position] in "*+?{":
            raise PatternError("a quantifier after a quantifier", "one for each character, class or group")
        repeat = Repeat(part, *bounds)
        _bounded(repeat.size)
        return repeat

    def _quantifier(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._taken(sign):
                return bounds
        if not self._taken("{"):
            return None
        least = self._number()
        most: int | None = least
        if self._taken(","):
            most = None if self.pattern[self.position : self.position + 1] == "}" else self._number()
        if not self._taken("}"):
            raise PatternError("a '{' that is no quantifier", "'{2}', '{2,}', '{2,5}', or '\\{' for itself")
        if most is not None and most < least:
            raise PatternError(f"the quantifier {{{least},{most}}}", "the smaller number first")
        return least, most

    def _number(self) -> int:
        begin = self.position
        while self.pattern[self.position : self.position + 1] in set("0123456789"):
            self.position += 1
        digits = self.pattern[begin : self.position]
        if not digits:
            raise PatternError("a '{' that is no quantifier", "'{2}', '{2,}', '{2,5}', or '\\{' for itself")
        if len(digits) > 6 or int(digits) > PATTERN_REPEAT_MAX:
            raise PatternError("a very large repetition", f"at most {PATTERN_REPEAT_MAX}")
        return int(digits)

    def _atom(self, depth: int) -> Part:
        character = self.pattern[self.position]
        self.position += 1
        if character == "(":
            return self._group(depth)
        if character == "[":
            return self._class()
        if character == ".":
            return Characters((("\n", "\n"), ("\r", "\r"), ("\u2028", "\u2029")), is_negated=True)
        if character in "^$":
            return Anchor(character)
        if character == "\\":
            return self._escape(in_class=False)
        if character in "*+?{":
            raise PatternError(f"a {character!r} that repeats nothing", f"'\\{character}' for itself")
        if character in "]}":
            raise PatternError(f"a {character!r} that closes nothing", f"'\\{character}' for itself")
        return Characters(((character, character),))

    def _group(self, depth: int) -> Part:
        if self._taken("?"):
            self._group_kind()
        part = self.choice(depth + 1)
        if not self._taken(")"):
            raise PatternError("a '(' that nothing closes", "'\\(' for the character itself")
        return part

    def _group_kind(self) -> None:
        if self._taken(":"):
            return
        for sign, name in (
            ("=", "look-ahead"),
            ("!", "look-ahead"),
            ("<=", "look-behind"),
            ("<!", "look-behind"),
        ):
            if self._taken(sign):
                raise PatternError(name, "patterns of linear time, which have no look-around")
        name = ""
        if self._taken("<"):
            end = self.pattern.find(">", self.position)
            name = self.pattern[self.position : end] if end >= 0 else ""
        if not (name.isascii() and name.isidentifier()) or name in self._names:
            raise PatternError("a '(?' of an unknown kind", "'(?:...)' and '(?<name>...)', each name once")
        self._names.add(name)
        self.position += len(name) + 1

    def _class(self) -> Characters:
        is_negated = self._taken("^")
        ranges: list[tuple[str, str]] = []
        categories: list[str] = []
        excluded: list[Characters] = []
        count = 0
        while not self._taken("]"):
            item = self._class_item()
            count += 1
            if self._is_range():
                self.position += 1
                ranges.append(_range(item, self._class_item()))
                continue
            if item.is_negated:
                excluded.append(item)
            else:
                ranges += item.ranges
                categories += item.categories
        if not count:
            raise PatternError("an empty class '[]'", "at least one character in it")
        part = Characters(tuple(ranges), tuple(categories), tuple(excluded), is_negated)
        _bounded(part.size)
        return part

    def _class_item(self) -> Characters:
        if self.position >= len(self.pattern):
            raise PatternError("a '[' that nothing closes", "'\\[' for the character itself")
        if self.pattern[self.position : self.position + 2] in ("&&", "--", "~~"):
            raise PatternError(
                "a doubled sign in a class, which engines read as an operator", "'\\&' or '\\-'"
            )
        character = self.pattern[self.position]
        self.position += 1
        if character == "\\":
            part = self._escape(in_class=True)
            assert isinstance(part, Characters)
            return part
        if character == "[":
            raise PatternError("a '[' inside a class", "'\\[' for the character itself")
        return Characters(((character, character),))

    def _is_range(self) -> bool:
        following = self.pattern[self.position : self.position + 2]
        return len(following) == 2 and following[0] == "-" and following[1] not in "]-"

    def _escape(self, *, in_class: bool) -> Characters | Anchor:
        if self.position >= len(self.pattern):
            raise PatternError("a '\\' at the end", "'\\\\' for the character itself")
        character = self.pattern[self.position]
        self.position += 1
        if character in "bB" and not in_class:
            return Anchor(character)
        if character.lower() in ("d", "w", "s"):
            ranges = _CLASSES.get(character.lower(), _SPACES)
            return Characters(ranges, is_negated=character.isupper())
        if character in _CONTROLS:
            return Characters(((_CONTROLS[character], _CONTROLS[character]),))
        if character in "pP":
            return self._category(is_negated=character == "P")
        if character in "xu":
            code = self._code(2 if character == "x" else 4)
            return Characters(((code, code),))
        if character in _PUNCTUATION:
            return Characters(((character, character),))
        if character in "123456789k":
            raise PatternError("a back-reference", "patterns of linear time, which have none")
        raise PatternError(
            f"the escape '\\{character}'", "\\d \\w \\s \\t \\n \\r \\xHH \\uHHHH \\p{L}, and punctuation"
        )

    def _category(self, *, is_negated: bool) -> Characters:
        end = self.pattern.find("}", self.position)
        name = self.pattern[self.position : end] if self._taken("{") and end >= 0 else ""
        if name not in _CATEGORIES:
            raise PatternError(
                "an unknown property of Unicode", "general categories, such as \\p{L} and \\p{Lu}"
            )
        self.position = end + 1
        return Characters(categories=(name,), is_negated=is_negated)

    def _code(self, digits: int) -> str:
        text = self.pattern[self.position : self.position + digits]
        if len(text) < digits or not set(text) <= set("0123456789abcdefABCDEF"):
            raise PatternError("an escape that lacks hexadecimal digits", "\\xHH and \\uHHHH")
        code = int(text, 16)
        if 0xD800 <= code <= 0xDFFF:
            raise PatternError("half of a surrogate pair", "the character itself")
        self.position += digits
        return chr(code)

    def _taken(self, text: str) -> bool:
        """Move past a text if it is next."""
        if not self.pattern.startswith(text, self.position):
            return False
        self.position += len(text)
        return True


def _range(first: Characters, last: Characters) -> tuple[str, str]:
    ends = [part.ranges[0][0] for part in (first, last) if _is_single(part)]
    if len(ends) < 2 or ends[0] > ends[1]:
        raise PatternError(
            "a range in a class that does not go from a smaller to a larger character", "'a-z'"
        )
    return ends[0], ends[1]


def _is_single(part: Characters) -> bool:
    return len(part.ranges) == 1 and part.ranges[0][0] == part.ranges[0][1] and not part.is_negated


def _bounded(size: int) -> int:
    if size > PATTERN_SIZE_MAX:
        raise PatternError(
            "repetitions that multiply", f"at most {PATTERN_SIZE_MAX} characters when written out"
        )
    return size
