"""Patterns: those that ECMA-262 and engines of linear time both take, in a bounded size."""

import re

import pytest

from eventfabric.contracts.patterns import PATTERN_SIZE_MAX, PatternError, parsed_pattern


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "^$",
        r"^[A-Z]{3}$",
        r"^\d{4}-\d{2}-\d{2}$",
        r"(a|b|)*?c+?",
        r"^(?:x|y)?(?<year>\d+)$",
        r"\bword\B",
        r"[\w.+-]+@[\w-]+\.[a-z]{2,}",
        r"[^\s\]]",
        r"[a\-z\d]",
        r"[-a][a-]",
        r"\p{L}\P{Lu}[\p{Nd}]",
        r"\u00e4\x41é",
        r"\/\.\*\+\?\(\)\[\]\{\}\|\^\$\-",
        "(" * 40 + ")" * 40,
        ".{1000}",
        r"[0-9a-f]{64}",
    ],
)
def test_patterns_of_linear_time_are_taken(pattern: str) -> None:
    assert parsed_pattern(pattern).size <= PATTERN_SIZE_MAX


@pytest.mark.parametrize(
    ("pattern", "state"),
    [
        ("(?=a)", "look-ahead"),
        ("(?!a)", "look-ahead"),
        ("(?<=a)b", "look-behind"),
        ("(?<!a)b", "look-behind"),
        (r"(a)\1", "back-reference"),
        (r"(?<n>a)\k<n>", "back-reference"),
        ("(?i)a", "unknown kind"),
        ("(?>a)", "unknown kind"),
        ("(?P<n>a)", "unknown kind"),
        ("(?<n>a)(?<n>b)", "unknown kind"),
        ("a**", "after a quantifier"),
        ("a++", "after a quantifier"),
        ("*a", "repeats nothing"),
        ("^*", "after an anchor"),
        ("a{", "no quantifier"),
        ("a{,2}", "no quantifier"),
        ("a{3,2}", "quantifier"),
        ("a{99999999}", "large repetition"),
        ("(a{1000}){1000}", "multiply"),
        ("((((a{50}){50}){50}){50})", "multiply"),
        (r"\p{L}{1000}", "multiply"),
        ("(", "nothing closes"),
        (")", "closes nothing"),
        ("[", "nothing closes"),
        ("]", "closes nothing"),
        ("}", "closes nothing"),
        ("[]", "empty class"),
        ("[^]", "empty class"),
        ("[z-a]", "range"),
        (r"[a-\d]", "range"),
        ("[[a]]", "inside a class"),
        ("[a&&b]", "doubled sign"),
        ("\\", "at the end"),
        (r"\0", "escape"),
        (r"\cA", "escape"),
        (r"\z", "escape"),
        (r"\xg0", "hexadecimal"),
        (r"\ud800", "surrogate"),
        (r"\p{Greek}", "property"),
        (r"\p", "property"),
        ("(" * 50 + ")" * 50, "nested"),
        ("a" * 10_000, "characters"),
    ],
)
def test_other_patterns_are_refused_with_the_reason(pattern: str, state: str) -> None:
    with pytest.raises(PatternError, match=re.escape(state)):
        parsed_pattern(pattern)
