"""Texts for patterns: each matches, or is not made."""

import re

import pytest

from eventfabric.cli.catalogue.patterns import UnknownPatternError, text_for


@pytest.mark.parametrize("choice", range(3))
@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Z]{2}-\d{4}$",
        r"^(cat|dog|)s?$",
        r"^[^a-z]+$",
        r"^(?:a(?:b|c)){2,3}$",
        r"^(?P<name>x)+y*?$".replace("?P", "?"),
        r"^\w+@\w+\.(com|org)$",
        r"^[\d\s_-]{3,}$",
        r"^[\]\\^-]$",
        r"^.\x41\u0042\.\/$",
        r"^a{0}b{1,}$",
        r"^[+-]?[0-9]+(\.[0-9]{2})?$",
        "",
    ],
)
def test_a_text_is_made_that_the_pattern_matches(pattern: str, choice: int) -> None:
    text = text_for(pattern, choice)
    assert re.search(pattern.replace("(?<name>", "(?P<name>"), text), text
    assert text_for(pattern, choice) == text


def test_a_part_that_may_repeat_fills_a_text_up() -> None:
    assert text_for("^[a-z]+-[0-9]{2,}$", 0, characters_min=11) == "aaaaa-000000"


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            r"(?=a)b",
            r"(?!a)b",
            r"(?<=a)b",
            r"(?<!a)b",
            r"(?i)a",
            r"\bword",
            r"(a)\1",
            r"\p{L}",
            r"[a",
            r"(a",
            "a)",
        ),
        *("*a", "a{", "a{x}", r"[^aA0bB1\-_ .:/@]", "(" * 60 + ")" * 60, "\\", r"\u00"),
    ],
)
def test_no_text_is_made_for_what_is_not_understood(pattern: str) -> None:
    with pytest.raises(UnknownPatternError):
        text_for(pattern, 0)
