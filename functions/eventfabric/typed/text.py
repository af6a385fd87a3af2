"""Text of a schema's file: indented, with what people look for first at the top."""

from json import dumps
from typing import Final

from eventfabric.typed.walking import Schema, replaced

_FIRST: Final = (
    "$schema",
    "title",
    "description",
    "$ref",
    "type",
    "const",
    "enum",
    "anyOf",
    "properties",
    "required",
)


def schema_text(schema: Schema) -> str:
    """Return the text of a schema's file. Equal schemas whose members are in one order have equal text."""
    return dumps(_arranged(schema), indent=2, ensure_ascii=False) + "\n"


def _arranged(schema: Schema, *_: str) -> Schema:
    arranged = replaced(schema, _arranged)
    return {keyword: arranged[keyword] for keyword in sorted(arranged, key=_order)}


def _order(keyword: str) -> tuple[int, str]:
    """Return the place of a keyword: the first ones, then others by name, and definitions last."""
    if keyword == "$defs":
        return len(_FIRST) + 1, keyword
    return _FIRST.index(keyword) if keyword in _FIRST else len(_FIRST), keyword
