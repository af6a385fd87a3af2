"""Marks of the schema's annotations. They give documentation and bounds to pydantic and JSON Schema by duck typing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Doc:
    """The meaning of a key, in words. `default` describes a default that no constant can express."""

    text: str
    default: str | None = None

    def __get_pydantic_json_schema__(
        self, core_schema: object, handler: Callable[[object], dict[str, object]]
    ) -> dict[str, object]:
        suffix = f" Default: {self.default}." if self.default else ""
        return {**handler(core_schema), "description": self.text + suffix}


@dataclass(frozen=True, slots=True)
class FromKey:
    """Marks a field whose value is the name of its table, so the file has no key for it."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """The form of a text: `regex` describes it to machines, and `says` to people."""

    regex: str
    says: str

    def __get_pydantic_core_schema__(
        self, source: object, handler: Callable[[object], dict[str, object]]
    ) -> dict[str, object]:
        return {**handler(source), "pattern": self.regex}


@dataclass(frozen=True, slots=True)
class PowersOfTwo:
    """Allows the powers of two up to `most`, listed one by one in the JSON Schema."""

    most: int

    def __get_pydantic_json_schema__(
        self, core_schema: object, handler: Callable[[object], dict[str, object]]
    ) -> dict[str, object]:
        return {**handler(core_schema), "enum": [1 << bit for bit in range(self.most.bit_length())]}


@dataclass(frozen=True, slots=True)
class Listed:
    """Allows the listed numbers, and no others between them."""

    numbers: tuple[int, ...]

    def __get_pydantic_json_schema__(
        self, core_schema: object, handler: Callable[[object], dict[str, object]]
    ) -> dict[str, object]:
        return {**handler(core_schema), "enum": list(self.numbers)}


class Table:
    """A table of the file. It takes no keys but its fields, and no values that would have to be converted."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True}
