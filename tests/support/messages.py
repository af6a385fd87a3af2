"""Texts for people, compared by the facts that a reader needs and not word for word."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

import pytest

_Error = TypeVar("_Error", bound=BaseException)


def _whole(fact: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?<!\d[.,]){re.escape(fact)}(?!\w)(?![.,]\d)")


class TextWith(str):
    """A text that equals every text with these facts: names, numbers, and numbers with their unit.

    Each fact has to be there as whole words. All else of the text may read as it likes, as long as it has no other
    numbers: a number is a fact, or it is wrong.
    """

    facts: tuple[str, ...]

    def __new__(cls, *facts: object) -> Self:
        made = super().__new__(cls, " ... ".join(str(fact) for fact in facts))
        made.facts = tuple(sorted((str(fact) for fact in facts), key=len, reverse=True))
        return made

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, str):
            return NotImplemented
        rest = str(other)
        for fact in self.facts:
            rest, count = _whole(fact).subn("", rest)
            if not count:
                return False
        return not re.search(r"\d", rest)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return str.__hash__(self)

    def __repr__(self) -> str:
        return f"text with {', '.join(repr(fact) for fact in self.facts)}"


def missing_from(text: str, *facts: object) -> list[str]:
    """Return those facts that a text lacks. It may say more, and have other numbers."""
    return [str(fact) for fact in facts if not _whole(str(fact)).search(text)]


@contextmanager
def raises_with(error: type[_Error], *facts: object) -> Iterator[pytest.ExceptionInfo[_Error]]:
    """Expect an error whose message has these facts, as `TextWith` compares them."""
    with pytest.raises(error) as raised:
        yield raised
    text, expected = str(raised.value), TextWith(*facts)
    assert text == expected, f"{text!r} is no {expected!r}"
