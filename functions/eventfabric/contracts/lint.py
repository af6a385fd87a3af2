"""Checks if a schema may be registered, and lists everything that it may not be.

It is JSON Schema 2020-12, whole in itself (nothing is ever fetched), without keywords that nobody knows (so that a
mistyped one does not pass for a rule), with patterns of linear time, and of a bounded size.
"""

from collections.abc import Callable
from difflib import get_close_matches
from math import isfinite
from re import compile as compile_pattern
from typing import Any, Final
from urllib.parse import quote, unquote

from eventfabric.contracts.effort import effort_problems
from eventfabric.contracts.in_place import in_place_problems
from eventfabric.contracts.keywords import (
    DIALECT,
    INSTEAD,
    KEYWORDS,
    TYPES,
    Form,
    JsonSchema,
    pointer,
    subschemas,
)
from eventfabric.contracts.patterns import PatternError, parsed_pattern
from eventfabric.contracts.references import References
from eventfabric.errors import Problem

SCHEMA_DEPTH_MAX: Final = 100
"""Deepest nesting of lists and objects in a schema."""
SUBSCHEMAS_MAX: Final = 10_000
"""Most schemas in a schema."""
ENUM_VALUES_MAX: Final = 1_000
"""Most values of an `enum`."""
PATTERNS_SIZE_MAX: Final = 50_000
"""Largest sum of all patterns' sizes, their repetitions written out."""
PROBLEMS_MAX: Final = 50
"""Most problems that are listed: who mistook the dialect has one at each keyword."""

_CHARACTER: Final = r"(?:[A-Za-z0-9._~!$&'()*+,;=@-]|%[0-9A-Fa-f]{2})"
_FRAGMENT: Final = compile_pattern(f"(?:{_CHARACTER}|[:/?])*")
_FRAGMENT_SAFE: Final = "/~!$&'()*+,;=:@?"
_IDENTIFIER: Final = compile_pattern(
    f"(?:[A-Za-z][A-Za-z0-9+.-]*:(?:{_CHARACTER}|[:/?])*|{_CHARACTER}*(?:[/?](?:{_CHARACTER}|[:/?])*)?)"
)

_Path = tuple[str, ...]


def schema_problems(schema: object) -> list[Problem]:
    """Return why a schema may not be registered, each problem at a JSON pointer. Empty: it may be."""
    if not isinstance(schema, dict | bool):
        return [Problem("", _kind(schema), "an object, true or false")]
    problems = _value_problems(schema)
    if not problems:
        linter = _Linter(schema)
        linter.run()
        problems = linter.problems or in_place_problems(schema) or effort_problems(schema)
    return problems[:PROBLEMS_MAX]


def _value_problems(schema: JsonSchema) -> list[Problem]:
    """Return what is no JSON, or nested too deep for whoever reads it."""
    waiting: list[tuple[object, int]] = [(schema, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > SCHEMA_DEPTH_MAX:
            return [Problem("", f"more than {SCHEMA_DEPTH_MAX} levels", f"at most {SCHEMA_DEPTH_MAX}")]
        problem = _problem_of(value)
        if problem is not None:
            return [problem]
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            waiting += [(item, depth + 1) for item in inner]
    return []


def _problem_of(value: object) -> Problem | None:
    """Return why a value is no value of JSON; of what is inside a list or an object, only names."""
    match value:
        case dict() if not all(isinstance(name, str) and _is_text(name) for name in value):
            return Problem("", "a name that is no text", "names in Unicode, without lone surrogates")
        case str() if not _is_text(value):
            return Problem("", "a lone surrogate", "strings in Unicode")
        case float() if not isfinite(value):
            return Problem("", "NaN or Infinity", "numbers of JSON")
        case None | bool() | int() | float() | str() | list() | dict():
            return None
    return Problem("", f"a {type(value).__name__}", "values of JSON")


class _Linter:
    """One pass over all schemas of a schema."""

    def __init__(self, root: JsonSchema) -> None:
        self.problems: list[Problem] = []
        self._root = root
        self._references = References(root)
        self._anchors = set[str]()
        self._patterns_size = 0
        self._by_form: dict[Form, Callable[[_Path, Any], None]] = {
            Form.PATTERN: self._pattern,
            Form.REFERENCE: self._reference,
        }

    def run(self) -> None:
        waiting: list[tuple[_Path, JsonSchema]] = [((), self._root)]
        count = 0
        while waiting and len(self.problems) < PROBLEMS_MAX:
            path, schema = waiting.pop()
            count += 1
            if count > SUBSCHEMAS_MAX:
                self._add((), f"more than {SUBSCHEMAS_MAX:,} schemas", f"at most {SUBSCHEMAS_MAX:,}")
                return
            if isinstance(schema, dict):
                self._schema(path, schema)
                waiting += [((*path, *inner), value) for inner, value in reversed(list(subschemas(schema)))]

    def _schema(self, path: _Path, schema: dict[str, Any]) -> None:
        for keyword, value in schema.items():
            form = KEYWORDS.get(keyword)
            here = (*path, keyword)
            if form is None:
                if not keyword.startswith("x-"):
                    self._add(here, "an unknown keyword", _instead_of(keyword))
            elif not has_form(form, value):
                self._misfit(here, form, value)
            elif form in self._by_form:
                self._by_form[form](here, value)
        self._names(path, schema)
        patterns = schema.get("patternProperties")
        for pattern in patterns if isinstance(patterns, dict) else ():
            self._pattern((*path, "patternProperties", pattern), pattern)
        values = schema.get("enum")
        if isinstance(values, list) and len(values) > ENUM_VALUES_MAX:
            self._add((*path, "enum"), f"{len(values):,} values", f"at most {ENUM_VALUES_MAX:,}")

    def _misfit(self, path: _Path, form: Form, value: object) -> None:
        """Add a problem for a value of a wrong form, at the part of it that is wrong."""
        if form is Form.MEMBERS and isinstance(value, dict):
            parts = list(value.items())
        elif form is Form.SCHEMAS and isinstance(value, list) and value:
            parts = [(str(index), item) for index, item in enumerate(value)]
        else:
            self._add(path, _kind(value), form.value)
            return
        for token, part in parts:
            if not isinstance(part, dict | bool):
                self._add((*path, token), _kind(part), Form.SCHEMA.value)

    def _names(self, path: _Path, schema: dict[str, Any]) -> None:
        if schema.get("$schema", DIALECT) != DIALECT:
            self._add((*path, "$schema"), "another dialect", DIALECT)
        if path and "$id" in schema:
            self._add((*path, "$id"), "a document inside a document", "'$id' at the root only")
        elif "#" in str(schema.get("$id", "")):
            self._add((*path, "$id"), "a fragment", "'$id' without '#', and '$anchor' for places inside")
        elif isinstance(schema.get("$id"), str) and not _IDENTIFIER.fullmatch(schema["$id"]):
            self._add((*path, "$id"), "no URI", "a URI, other characters percent-encoded")
        anchor = schema.get("$anchor")
        if isinstance(anchor, str):
            if anchor in self._anchors or not _is_anchor(anchor):
                allowed = "a letter or '_', then letters, digits, '-', '_' and '.'; each anchor once"
                self._add((*path, "$anchor"), "an anchor that is no name, or is there twice", allowed)
            self._anchors.add(anchor)

    def _pattern(self, path: _Path, pattern: str) -> None:
        try:
            self._patterns_size += parsed_pattern(pattern).size
        except PatternError as error:
            self._add(path, error.state, error.allowed)
            return
        if self._patterns_size > PATTERNS_SIZE_MAX:
            self._patterns_size = 0
            self._add(
                path, "too many large patterns", f"at most {PATTERNS_SIZE_MAX:,} characters, written out"
            )

    def _reference(self, path: _Path, reference: str) -> None:
        if not reference.startswith("#"):
            self._add(path, "a reference to another document, which is never fetched", Form.REFERENCE.value)
        elif self._references.path(reference) is None:
            self._add(path, "a reference to nothing", Form.REFERENCE.value)
        elif not _FRAGMENT.fullmatch(reference[1:]):
            allowed = f"percent-encoded: #{quote(unquote(reference[1:]), safe=_FRAGMENT_SAFE)}"
            self._add(path, "characters that a reference cannot hold", allowed)
        elif "%" in reference and not unquote(reference[1:]).startswith("/"):
            self._add(path, "an anchor that is percent-encoded", f"'#{unquote(reference[1:])}'")

    def _add(self, path: _Path, state: str, allowed: str) -> None:
        self.problems.append(Problem(pointer(path), state, allowed))


def _instead_of(keyword: str) -> str:
    """Return what may stand in the place of an unknown keyword."""
    if keyword in INSTEAD:
        return INSTEAD[keyword]
    meant = get_close_matches(keyword[:100], KEYWORDS, n=1)
    known = f"'{meant[0]}'" if meant else "keywords of JSON Schema 2020-12"
    return f"{known}, or 'x-' before a name of your own"


def has_form(form: Form, value: object) -> bool:
    """Return if a keyword's value has its form. What it holds is checked elsewhere."""
    return _FORMS[form](value)


def _is_schema(value: object) -> bool:
    return isinstance(value, dict | bool)


def _is_schemas(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict | bool) for item in value)


def _is_members(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(item, dict | bool) for item in value.values())


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and _is_number(value) and value >= 0 and value == int(value)


def _is_names(value: object) -> bool:
    is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return is_list and isinstance(value, list) and len(set(value)) == len(value)


def _is_name_lists(value: object) -> bool:
    return isinstance(value, dict) and all(_is_names(item) for item in value.values())


def _is_type(value: object) -> bool:
    if isinstance(value, str):
        return value in TYPES
    return _is_names(value) and isinstance(value, list) and bool(value) and set(value) <= set(TYPES)


_FORMS: Final[dict[Form, Callable[[object], bool]]] = {
    Form.SCHEMA: _is_schema,
    Form.SCHEMAS: _is_schemas,
    Form.MEMBERS: _is_members,
    Form.TEXT: _is_string,
    Form.PATTERN: _is_string,
    Form.REFERENCE: _is_string,
    Form.TRUTH: lambda value: isinstance(value, bool),
    Form.COUNT: _is_count,
    Form.NUMBER: _is_number,
    Form.POSITIVE: _is_positive,
    Form.NAMES: _is_names,
    Form.NAME_LISTS: _is_name_lists,
    Form.TYPE: _is_type,
    Form.VALUES: lambda value: isinstance(value, list) and bool(value),
    Form.LIST: lambda value: isinstance(value, list),
    Form.ANY: lambda value: True,
}


def _is_anchor(text: str) -> bool:
    return text.isascii() and text.replace("-", "_").replace(".", "_").isidentifier() and text[0] not in "-."


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text) if not text.isascii() else True


def _kind(value: object) -> str:
    """Return what a value is, without what it holds."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number of another range" if value else "0"
        case str():
            return "a string"
        case list():
            return "a list that has another form" if value else "an empty list"
        case dict():
            return "an object that has another form"
    return type(value).__name__
