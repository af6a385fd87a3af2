"""Owns reading a definition from TOML: validation, defaults, the JSON Schema and the reference page of the file.

It imports pydantic, and so never ships to Lambda, which gets `definition.to_json` of what was read here.
`python -m eventfabric.definition_file SCHEMA PAGE` writes the schema and the page anew.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Final, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Interval, Len
from pydantic import TypeAdapter, ValidationError

from eventfabric import definition_checks as checks
from eventfabric.definition import (
    Breaker,
    Definition,
    Doc,
    FabricSection,
    FromKey,
    Pattern,
    PowersOfTwo,
    Retry,
    Stream,
    Subscription,
)
from eventfabric.errors import DefinitionError, Problem

_ADAPTER: Final = TypeAdapter(Definition)
_SECTIONS: Final = ("fabric", "streams", "subscriptions")
_TABLES: Final[Sequence[tuple[str, type]]] = (
    ("fabric", FabricSection),
    ("streams.NAME", Stream),
    ("subscriptions.NAME", Subscription),
    ("subscriptions.NAME.retry", Retry),
    ("subscriptions.NAME.breaker", Breaker),
)
_FOUND_CHARACTERS_MAX: Final = 80


def read_definition(
    path: str | Path, *, check_handlers: bool = False, search_path: Sequence[str | Path] | None = None
) -> Definition:
    """The resolved definition in a TOML file; DefinitionError lists all that is wrong with it.

    With `check_handlers`, handlers and exception types must exist on `search_path` (default: the folder `functions`
    beside the file's own folder, then `sys.path`); they are looked up, never imported.
    """
    file = Path(path)
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DefinitionError(
            [Problem(str(file), f"no readable file ({reason})", "a definition in TOML")]
        ) from error
    except UnicodeDecodeError as error:
        raise DefinitionError(
            [Problem(str(file), f"bytes that are not UTF-8 ({error.reason})", "UTF-8")]
        ) from error
    if not check_handlers:
        return _parse(text, where=str(file), search_path=None)
    default = [file.resolve().parent.parent / "functions", *sys.path]
    return _parse(text, where=str(file), search_path=[str(entry) for entry in search_path or default])


def parse_definition(text: str, *, where: str = "<text>") -> Definition:
    """The resolved definition in a TOML text; DefinitionError lists all that is wrong with it, at `where`."""
    return _parse(text, where=where, search_path=None)


def _parse(text: str, *, where: str, search_path: Sequence[str] | None) -> Definition:
    raw = _tables(text, where)
    broken: list[checks.Broken] = list(_stray_names(raw))
    definition: Definition | None = None
    try:
        # As JSON and strictly: lists may then become tuples, but nothing else is converted.
        definition = _ADAPTER.validate_json(json.dumps(_with_names(raw), default=_foreign))
    except ValidationError as error:
        broken += _broken_keys(raw, error)
    facts = checks.Facts(raw, frozenset(problem.path for problem in broken))
    broken += checks.broken_rules(facts)
    if search_path is not None:
        broken += checks.broken_references(facts, search_path)
    if broken or definition is None:
        in_order = sorted(broken, key=lambda problem: _place(raw, problem.path))
        raise DefinitionError(
            [Problem(_dotted(at), found, allowed) for at, found, allowed in in_order], where=where
        )
    return _resolved(definition)


def _tables(text: str, where: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, position = str(error).removesuffix(")").partition(" (at ")
        line = re.search(r"line (\d+)", position)
        number = int(line[1]) if line else text.count("\n") + 1
        problem = Problem(position or "the file", f"a syntax error ({reason})", "TOML 1.0")
        raise DefinitionError([problem], where=f"{where}:{number}") from error


def _named(raw: Mapping[str, object]) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Section, name and content of each table that has a name."""
    for section in _SECTIONS[1:]:
        tables = raw.get(section)
        for name, table in tables.items() if isinstance(tables, dict) else ():
            if isinstance(table, dict):
                yield section, name, table


def _with_names(raw: Mapping[str, object]) -> dict[str, object]:
    """The tables as the dataclasses want them: each knows its own name."""
    filled: dict[str, object] = dict(raw)
    for section, name, table in _named(raw):
        tables = filled[section]
        filled[section] = {**(tables if isinstance(tables, dict) else {}), name: {**table, "name": name}}
    return filled


def _stray_names(raw: Mapping[str, object]) -> Iterator[checks.Broken]:
    for section, name, table in _named(raw):
        if "name" in table:
            allowed = f"no such key: the name is that of the table, {name}"
            yield checks.Broken((section, name, "name"), _shown(table["name"]), allowed)


def _foreign(value: object) -> object:
    """A TOML date or time, which no key takes: a shape that no key takes either."""
    return [[str(value)]]


def _resolved(definition: Definition) -> Definition:
    streams = {
        name: replace(stream, regions=stream.regions or definition.fabric.regions)
        for name, stream in definition.streams.items()
    }
    subscriptions = {
        name: replace(subscription, region=subscription.region or streams[subscription.stream].regions[0])
        if subscription.deliver == "one"
        else subscription
        for name, subscription in definition.subscriptions.items()
    }
    return replace(definition, streams=streams, subscriptions=subscriptions)


# --- what is wrong with one key, in words ---


def _broken_keys(raw: Mapping[str, object], error: ValidationError) -> Iterator[checks.Broken]:
    details = error.errors(include_url=False, include_context=False)
    paths = {detail["loc"] for detail in details}
    seen: set[checks.Path] = set()
    for detail in details:
        path = detail["loc"]
        # pydantic counts a list's items after it dropped the wrong ones: only the items are wrong then.
        miscounted = detail["type"] == "too_short" and any(
            other[: len(path)] == path != other for other in paths
        )
        if path in seen or miscounted:
            continue
        seen.add(path)
        if detail["type"] == "unexpected_keyword_argument":
            known = [key.name for key in _keys(_annotation(path[:-1]))]
            yield checks.Broken(path, "an unknown key", checks.one_of(str(path[-1]), known))
        elif detail["type"] == "missing":
            yield checks.Broken(path, "nothing", _allowed(_annotation(path)))
        else:
            yield checks.Broken(path, _shown(_value(raw, path)), _allowed(_annotation(path)))


def _value(raw: object, path: checks.Path) -> object:
    value = raw
    for key in path:
        if key == "[key]":
            return path[-2]
        if isinstance(value, dict):
            value = value.get(str(key))
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
    return value


def _shown(value: object) -> str:
    match value:
        case dict():
            return "a table" if value else "an empty table"
        case list():
            text = "[" + ", ".join(_shown(item) for item in value) + "]"
        case bool() | str():
            text = json.dumps(value, ensure_ascii=False)
        case _:
            text = str(value)
    return text if len(text) <= _FOUND_CHARACTERS_MAX else text[: _FOUND_CHARACTERS_MAX - 3] + "..."


def _dotted(path: checks.Path) -> str:
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif key != "[key]":
            text += ("." if text else "") + (key if re.fullmatch(r"[\w-]+", key) else json.dumps(key))
    return text


def _place(raw: Mapping[str, object], path: checks.Path) -> tuple[int, ...]:
    """Where in the file a path is, so that problems are listed as one reads; what the file lacks comes after its table."""
    places: list[int] = []
    table: object = raw
    for key in path:
        keys = list(table) if isinstance(table, dict) else []
        places.append(key if isinstance(key, int) else keys.index(key) if key in keys else len(keys))
        table = table.get(str(key)) if isinstance(table, dict) else None
    return tuple(places)


# --- what the dataclasses say about each key: for problems, for the schema and for the page ---


@dataclass(frozen=True, slots=True)
class _Key:
    """One key of a table of the file."""

    name: str
    annotation: object
    default: object
    doc: Doc


def _keys(kind: object) -> list[_Key]:
    """Keys of the table that an annotation describes; a name that is the table's own is none."""
    table = _bare(kind)
    if not (isinstance(table, type) and is_dataclass(table)):
        return []
    hints = get_type_hints(table, include_extras=True)
    keys = []
    for field in fields(table):
        marks = _marks(hints[field.name])
        if not any(isinstance(mark, FromKey) for mark in marks):
            doc = next(mark for mark in marks if isinstance(mark, Doc))
            keys.append(_Key(field.name, hints[field.name], field.default, doc))
    return keys


def _marks(annotation: object) -> tuple[object, ...]:
    """Metadata of an annotation, that of the type beside None included."""
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        return (*_marks(inner), *marks)
    some = _unless_none(annotation)
    return () if some is annotation else _marks(some)


def _bare(annotation: object) -> object:
    """The type itself, without metadata and without None."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    some = _unless_none(annotation)
    return annotation if some is annotation else _bare(some)


def _unless_none(annotation: object) -> object:
    if get_origin(annotation) in (UnionType, Union):
        (some,) = (kind for kind in get_args(annotation) if kind is not NoneType)
        return some
    return annotation


def _annotation(path: checks.Path) -> object:
    """The annotation of what stands at a path."""
    annotation: object = Definition
    for key in path:
        kind = _bare(annotation)
        if get_origin(kind) is dict:
            # pydantic says (name, "[key]") where the name itself is wrong.
            annotation = get_args(kind)[0 if path[-1] == "[key]" else 1]
        elif get_origin(kind) is tuple:
            annotation = get_args(kind)[0]
        elif key != "[key]":
            annotation = next((known.annotation for known in _keys(kind) if known.name == key), object)
    return annotation


def _allowed(annotation: object) -> str:
    """What is allowed there, in words."""
    kind, marks = _bare(annotation), _marks(annotation)
    for mark in marks:
        match mark:
            case Pattern(says=says):
                return says
            case PowersOfTwo(most=most):
                return f"a power of two from 1 to {most}"
    for mark in marks:
        match mark:
            case Interval(ge=least, le=most):
                return f"a {'whole ' if kind is int else ''}number from {least} to {most}"
    if get_origin(kind) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(kind))
    filled = any(isinstance(mark, Len) for mark in marks)
    if get_origin(kind) is dict:
        return "tables with names of their own" + (", at least one" if filled else "")
    if get_origin(kind) is tuple:
        return f"a list{' of at least one' if filled else ''}, each {_allowed(get_args(kind)[0])}"
    return f"a table with: {', '.join(key.name for key in _keys(kind))}"


def json_schema() -> dict[str, object]:
    """JSON Schema 2020-12 of the file, for editors."""
    schema = _tidy(_ADAPTER.json_schema())
    assert isinstance(schema, dict)
    for _, table in _TABLES:
        described = schema["$defs"][table.__name__]
        described["description"] = described["description"].partition(" Invariant")[0]
        if described["properties"].keys() - {key.name for key in _keys(table)}:
            del described["properties"]["name"]
            described["required"] = [key for key in described.get("required", []) if key != "name"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Definition of an event fabric",
        **schema,
        "description": "The streams and subscriptions of a fabric, and where they run.",
    }


def _tidy(node: object) -> object:
    """pydantic's schema without what TOML does not have (null), and without noise."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = dict(node)
    if not isinstance(node.get("title"), dict):
        node.pop("title", None)
    if "anyOf" in node:
        (some,) = (choice for choice in node.pop("anyOf") if choice != {"type": "null"})
        node = {**some, **node}
    if node.get("default", MISSING) in (None, []) and "Default: " in str(node.get("description")):
        del node["default"]
    if "patternProperties" in node:
        node["additionalProperties"] = False
    return {key: _tidy(value) for key, value in node.items()}


def definition_page() -> str:
    """The reference page of the file, in Markdown: every key, what is allowed, its default and its meaning."""
    lines = [_PAGE_HEAD]
    for heading, table in _TABLES:
        lines += [f"\n## `[{heading}]`\n", "| key | allowed | default | meaning |", "|---|---|---|---|"]
        for key in _keys(table):
            if not is_dataclass(_bare(key.annotation)):
                cells = (f"`{key.name}`", _allowed(key.annotation), _default(key), key.doc.text)
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _default(key: _Key) -> str:
    if key.doc.default:
        return key.doc.default
    return "required" if key.default is MISSING else f"`{_shown(_listed(key.default))}`"


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


_PAGE_HEAD: Final = f"""\
# The definition

One TOML file says what a fabric is: its streams, its subscriptions, and where they run. Everything but the
names has a default. [infra/fabric.toml](../infra/fabric.toml) is a sample, and
[infra/fabric.schema.json](../infra/fabric.schema.json) tells editors what this page tells people. Both are
generated: `python -m eventfabric.definition_file infra/fabric.schema.json docs/definition.md`.

A definition that is wrong is refused with every problem at once: where, what was found, what is allowed.

A stream or subscription is named by its table: {_allowed(_annotation(("streams", "x", "[key]")))}.

Rules between keys:

- A subscription's `stream` is in the file. A stream's Regions are the fabric's, and each Region of the fabric
  has a stream.
- `durability = "quorum"` takes exactly three Regions, no `retention_days` and no `exactly_once` subscription:
  the tables that it uses have neither expiry nor transactions. `durability = "regional"` takes exactly one.
- `region` goes with `deliver = "one"`, and is a Region of the stream.
- Lists hold each value once; `backoff_max_seconds` is at least `backoff_seconds`; no stream is called `ledger`.
- Handlers and exception types exist: looked up in the source when the fabric is deployed, never imported."""


def schema_text() -> str:
    """The schema as it is kept in a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    schema_file, page_file = sys.argv[1:]
    Path(schema_file).write_text(schema_text(), encoding="utf-8")
    Path(page_file).write_text(definition_page(), encoding="utf-8")
