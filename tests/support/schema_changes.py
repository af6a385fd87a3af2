"""Changes of schemas with what they mean, as rows of tables: the verdict for both directions, and the reason."""

from dataclasses import dataclass
from typing import Any

YES, NO, OPEN = "compatible", "incompatible", "undecided"

S: Any = {"type": "string"}
I: Any = {"type": "integer"}  # noqa: E741 - beside S and N it reads as what it is
N: Any = {"type": "number"}
B: Any = {"type": "boolean"}
NIL: Any = {"type": "null"}


@dataclass(frozen=True)
class Change:
    """A schema before and after a change.

    `backward`: if new readers accept what old producers publish; `forward`: old readers, new producers.
    """

    rule: str
    old: Any
    new: Any
    backward: str
    forward: str
    why: str


def rows(rule: str, *changes: tuple[Any, Any, str, str, str]) -> list[Change]:
    """Return the rows of one rule."""
    return [Change(rule, *change) for change in changes]


def obj(members: dict[str, Any] | None = None, **keywords: Any) -> Any:
    """Return a schema of objects. A member whose name ends in '!' is required."""
    members = members or {}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name.rstrip("!"): schema for name, schema in members.items()},
    }
    required = [name.rstrip("!") for name in members if name.endswith("!")]
    return {**schema, **({"required": required} if required else {}), **keywords}


def lst(items: Any = None, **keywords: Any) -> Any:
    """Return a schema of lists."""
    return {"type": "array", **({} if items is None else {"items": items}), **keywords}


def enum(*values: Any) -> Any:
    return {"enum": [*values]}


def string(**keywords: Any) -> Any:
    return {"type": "string", **keywords}


def number(**keywords: Any) -> Any:
    return {"type": "number", **keywords}


def integer(**keywords: Any) -> Any:
    return {"type": "integer", **keywords}


def tagged(kind: Any, members: dict[str, Any] | None = None, **keywords: Any) -> Any:
    """Return a branch of a union that a constant tells apart."""
    return obj({"kind!": {"const": kind}, **(members or {})}, **keywords)


def one_of(*branches: Any, **keywords: Any) -> Any:
    return {"oneOf": [*branches], **keywords}


def any_of(*branches: Any, **keywords: Any) -> Any:
    return {"anyOf": [*branches], **keywords}


def all_of(*parts: Any, **keywords: Any) -> Any:
    return {"allOf": [*parts], **keywords}


def ref(name: str, **keywords: Any) -> Any:
    return {"$ref": f"#/$defs/{name}", **keywords}


def defs(schema: Any, **definitions: Any) -> Any:
    return {**schema, "$defs": definitions}
