"""Validation of each key of a definition by itself, against the schema's annotations. Nothing is converted.

Producers read definitions, too, so it does without pydantic. A test compares it with pydantic's judgement.
"""

import re
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from annotated_types import Interval, Len, Predicate

from eventfabric.definition.annotations import KeyPath, alternatives, bare, choices_of, marks_of
from eventfabric.definition.marks import Doc, FromKey, Listed, Pattern, PowersOfTwo
from eventfabric.definition.schema import Definition


class KeyFault(Enum):
    """Ways in which a key can be wrong by itself."""

    WRONG = "wrong"
    MISSING = "missing"
    UNKNOWN = "unknown"


class FaultyKey(NamedTuple):
    """A key that is wrong by itself."""

    path: KeyPath
    fault: KeyFault


def validated(tables: dict[str, object]) -> tuple[Definition | None, list[FaultyKey]]:
    """Return the definition of the tables, which hold their own names; None beside every key that is wrong."""
    validation = _Validation()
    definition = validation.value(Definition, tables, ())
    return (None if validation.faulty else definition), validation.faulty


class _Validation:
    """One walk through the tables of a file."""

    def __init__(self) -> None:
        self.faulty: list[FaultyKey] = []

    def value(self, annotation: object, value: Any, path: KeyPath) -> Any:
        """Return the value as the schema holds it. After a fault, what is returned has no meaning."""
        annotation = _kind_for(annotation, value)
        kind: Any = bare(annotation)
        if not _is_of(kind, value) or not all(_allows(mark, value) for mark in marks_of(annotation)):
            self.faulty.append(FaultyKey(path, KeyFault.WRONG))
            return None
        if is_dataclass(kind):
            return self._table(kind, value, path)
        if get_origin(kind) is dict:
            name_kind, table_kind = get_args(kind)
            return self._named_tables(name_kind, table_kind, value, path)
        if get_origin(kind) is tuple:
            item_kind, _ = get_args(kind)
            return tuple(self.value(item_kind, item, (*path, place)) for place, item in enumerate(value))
        return value if get_origin(kind) is Literal else kind(value)

    def _table(self, kind: Any, table: dict[str, object], path: KeyPath) -> Any:
        """Return a table with the keys of a dataclass."""
        hints, values, faults = _hints(kind), {}, len(self.faulty)
        for field in fields(kind):
            if field.name in table:
                values[field.name] = self.value(hints[field.name], table[field.name], (*path, field.name))
            elif field.default is MISSING and field.default_factory is MISSING:
                self.faulty.append(FaultyKey((*path, field.name), KeyFault.MISSING))
        self.faulty += [FaultyKey((*path, key), KeyFault.UNKNOWN) for key in table if key not in hints]
        return kind(**values) if len(self.faulty) == faults else None

    def _named_tables(
        self, name_kind: object, kind: object, tables: dict[str, object], path: KeyPath
    ) -> dict[str, object]:
        """Return tables under names of their own."""
        named = {}
        for name, table in tables.items():
            self.value(name_kind, name, (*path, name, "[key]"))
            named[name] = self.value(kind, table, (*path, name))
        return named


def _kind_for(annotation: object, value: object) -> object:
    """Return the annotation, or of several kinds the one of which the value is."""
    kinds = alternatives(bare(annotation))
    return next((kind for kind in kinds if _is_of(bare(kind), value)), annotation)


@cache
def _hints(kind: type) -> dict[str, object]:
    return {
        name: hint
        for name, hint in get_type_hints(kind, include_extras=True).items()
        if name in {field.name for field in fields(kind)}
    }


def _is_of(kind: object, value: object) -> bool:
    """Tell if a value of TOML has the type, without a conversion but that of whole numbers where any are allowed."""
    if is_dataclass(kind) or get_origin(kind) is dict:
        return isinstance(value, dict)
    if get_origin(kind) is tuple:
        return isinstance(value, list)
    if choices := choices_of(kind):
        return isinstance(value, str) and value in choices
    return type(value) is kind or (kind is float and type(value) is int)


def _allows(mark: object, value: Any) -> bool:
    """Tell if a mark of the schema allows a value of the right type."""
    match mark:
        case Interval(ge=least, le=most):
            return bool(least <= value <= most)  # every interval of the schema has both
        case Len(min_length=least, max_length=most):
            return least <= len(value) and (most is None or len(value) <= most)
        case Pattern(regex=regex):
            return re.fullmatch(regex, value) is not None
        case Predicate(func=holds):
            return bool(holds(value))
    assert isinstance(mark, Doc | FromKey | Listed | PowersOfTwo), f"nothing here knows what {mark} allows"
    return True
