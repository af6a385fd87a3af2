"""Validator: holds decoded JSON to one schema, and says what does not fit by pointer and rule, without any value.

The only importer of `jsonschema_rs`, which the extra `schemas` brings. It is imported where a schema is used first.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from json import dumps
from typing import TYPE_CHECKING, Any, Final, NoReturn

from eventfabric import limits
from eventfabric.contracts.keywords import JsonSchema
from eventfabric.contracts.visits import VisitCounter
from eventfabric.errors import InvalidSchemaError, Problem
from eventfabric.extras import needing

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

PROBLEMS_MAX: Final = 5
"""Most problems that are said of one value."""
_TEXT_CHARACTERS_MAX: Final = 160
"""Longest text of a rule in a problem."""
_HIDDEN: Final = "*"
"""Stands in a pointer for a name that the schema does not have: it is data, as in a map of addresses."""
_OF_A_TYPE: Final = {
    bool: "true or false",
    str: "a string",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
    type(None): "null",
}
_NAMES_ALLOWED: Final = ("additionalProperties", "unevaluatedProperties")


class SchemaValidator:
    """Validator by one schema, always as JSON Schema 2020-12: formats are annotations. Threads may share it."""

    def __init__(self, schema: JsonSchema, *, where: str = "schema") -> None:
        """Compile the schema. InvalidSchemaError: it is none, or refers to another document."""
        with needing("schemas", "holding data to a schema"):
            from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError
        self._schema = schema
        self._names = frozenset[str | int](_names_in(schema))
        try:
            compiled = Draft202012Validator(
                _nameless(schema),
                validate_formats=False,
                retriever=_refuse,
                mask="...",  # texts of errors would repeat the value
                pattern_options=RegexOptions(),  # in linear time, whatever an event holds
            )
        except ValidationError as error:
            rule = str(error.schema_path[-1]) if error.schema_path else "$ref"
            problem = Problem(
                _pointer(error.instance_path), f"what {rule} of JSON Schema refuses", "JSON Schema 2020-12"
            )
            raise InvalidSchemaError([problem], where=where) from None  # its text would repeat the schema
        self.accepts = compiled.is_valid
        """Tell if a decoded value fits."""
        self._errors_of = compiled.iter_errors
        self._validate = compiled.validate
        self._error = ValidationError
        self._visits = VisitCounter(schema)

    def problems(self, value: object, *, path: str = "data") -> list[Problem]:
        """Return the first problems of a decoded value: where, by JSON pointer behind `path`, and by which rule.

        Where there may be too many errors to collect, it says the first, or only that the value does not fit.
        """
        if self._visits.are_few(value):
            return [
                self._problem(error, value, path) for error in islice(self._errors_of(value), PROBLEMS_MAX)
            ]
        if self.accepts(value):
            return []
        if self._visits.are_few_in_unions(value):
            return [self._problem(self._first_error(value), value, path)]
        return [Problem(path, f"{_said(value, ())} that does not fit", "what the schema allows, deep inside")]

    def _first_error(self, value: object) -> "ValidationError":
        try:
            self._validate(value)
        except self._error as error:
            return error
        raise AssertionError("the value does not fit")

    def _problem(self, error: "ValidationError", value: object, path: str) -> Problem:
        error = _telling(error)
        rule = str(error.schema_path[-1]) if error.schema_path else "false"
        state, allowed = _said(value, error.instance_path), self._allowed(rule, error.schema_path)
        if rule in ("required", "dependentRequired"):
            state = f"no member {getattr(error.kind, 'property', '')}"
        if error.kind.name == "propertyNames":
            state = "a member with another name"
        unexpected = getattr(error.kind, "unexpected", None)
        if unexpected and rule in _NAMES_ALLOWED:
            plural = "s" if len(unexpected) > 1 else ""
            state = f"{len(unexpected)} member{plural} without a name in the schema"
            allowed = self._named_beside(error.schema_path)
        return Problem(path + self._shown(error.instance_path), state, allowed)

    def _named_beside(self, place: Sequence[str | int]) -> str:
        """Return the names of members that the schema has beside a rule, if they are few."""
        part = self._part(place[:-1])
        names = ", ".join(part.get("properties", {})) if isinstance(part, dict) else ""
        return f"only {names}" if 0 < len(names) <= _TEXT_CHARACTERS_MAX else "only those with one"

    def _allowed(self, rule: str, place: Sequence[str | int]) -> str:
        """Return a rule in the schema's own words, if they are short; else by its pointer into the schema."""
        part = self._part(place)
        if part is None:  # it follows from another rule
            return f"what {rule} allows"
        if part is False:
            return "nothing there"
        text = dumps(part, ensure_ascii=False)
        return f"{rule} {text}" if len(text) <= _TEXT_CHARACTERS_MAX else f"{rule} at #{_pointer(place)}"

    def _part(self, place: Sequence[str | int]) -> Any:
        """Return what stands at a place of the schema, None if nothing does."""
        part: Any = self._schema
        for name in place:
            try:
                part = part[name]
            except (KeyError, IndexError, TypeError):
                return None
        return part

    def _shown(self, place: Sequence[str | int]) -> str:
        """Return a pointer into data; names that the schema does not have are hidden."""
        return _pointer([name if name in self._names or type(name) is int else _HIDDEN for name in place])


def _nameless(schema: JsonSchema) -> JsonSchema:
    """Return a schema without its name: all references are relative to it, whatever it is called."""
    if isinstance(schema, bool):
        return schema
    return {keyword: value for keyword, value in schema.items() if keyword != "$id"}


def _refuse(uri: str) -> NoReturn:
    """Retrieve nothing. The library would fetch documents from hosts and files."""
    raise ValueError(f"{uri!r:.200} is another document")


def _telling(error: "ValidationError") -> "ValidationError":
    """Return the error that tells more: that of the only branch of a union which is meant for such a value."""
    for _ in range(limits.DATA_DEPTH_MAX):
        branches: Sequence[Sequence[ValidationError]] = getattr(error.kind, "context", ())
        meant = [errors for errors in branches if not any(map(_tells_apart(error), errors))]
        if len(meant) != 1 or not all(branches):  # a branch without errors: too many of them fit
            break
        error = meant[0][0]
    return error


def _tells_apart(union: "ValidationError") -> "Callable[[ValidationError], bool]":
    """Return a test of errors: do they refuse the type of the union's value, or the kind that a member of it names?"""
    depth = len(union.instance_path)

    def test(error: "ValidationError") -> bool:
        rule, deeper = error.schema_path[-1], len(error.instance_path) - depth
        return (rule == "type" and not deeper) or (rule in ("const", "enum") and deeper <= 1)

    return test


def _said(value: Any, place: Sequence[str | int]) -> str:
    """Return of which type a value at a place is."""
    for name in place:
        value = value[name]
    return _OF_A_TYPE.get(type(value), "a value")


def _names_in(schema: object) -> Iterator[str]:
    """Yield all names of members that a schema has."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            properties = part.get("properties")
            if isinstance(properties, dict):
                yield from properties
            waiting += part.values()
        elif isinstance(part, list):
            yield from (name for name in part if isinstance(name, str))
            waiting += part


def _pointer(place: Sequence[str | int]) -> str:
    """Return a place as a JSON pointer."""
    return "".join(f"/{str(name).replace('~', '~0').replace('/', '~1')}" for name in place)
