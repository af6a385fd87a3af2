"""Open enums: text with known values, and room for values that later versions add."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Self


class OpenEnum(StrEnum):
    """Base of an enum whose readers accept values that they do not know, so that producers may add some at any time.

        class Status(OpenEnum):
            PLACED = "placed"
            PAID = "paid"

        Status("refunded")    a Status, equal to "refunded", with is_known False

    Its schema is `{"anyOf": [{"enum": ["paid", "placed"]}, {"type": "string"}]}`: any text is accepted, and the
    values are named for people, editors and code.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = member._value_ = str.__str__(value)
        return member

    @property
    def is_known(self) -> bool:
        """Tell if the value is one of those that the class names."""
        return self._value_ in type(self)._value2member_map_

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: Any, handler: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        return opened(handler(core))


def opened(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an enum as that of an open one, which accepts all text."""
    others = {keyword: value for keyword, value in schema.items() if keyword not in ("enum", "type")}
    return {**others, "anyOf": [{"enum": list(schema["enum"])}, {"type": "string"}]}
