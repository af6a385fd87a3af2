"""Documentation of the definition, generated from the schema's annotations: words, JSON Schema and a page.

It reads no definition. `python -m eventfabric.definition.reference SCHEMA PAGE` writes the schema and the page.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Final, get_args, get_origin, get_type_hints

from annotated_types import Interval, Len

from eventfabric.definition.annotations import KeyPath, alternatives, bare, choices_of, marks_of
from eventfabric.definition.backpressure_checks import SECONDS_MIN_ELSEWHERE
from eventfabric.definition.functions import FunctionSettings, Pollers, Vpc
from eventfabric.definition.marks import Doc, FromKey, Listed, Pattern, PowersOfTwo
from eventfabric.definition.schema import (
    RESERVED_STREAM_NAMES,
    RESERVED_SUBSCRIPTION_ENDINGS,
    Definition,
    FabricSection,
    Stream,
    Subscription,
)
from eventfabric.definition.sections import Backpressure, Breaker, Deprecation, Retry, Slo, TypeSection
from eventfabric.extras import needing
from eventfabric.limits import ENVIRONMENT_BYTES_MAX, FABRIC_CHARACTERS_MAX, UNRESERVED_CONCURRENCY_MIN
from eventfabric.whole_files import write_whole

_NAME: Final = "NAME"
_AND: Final = "]` and `["
_TABLES: Final[Sequence[tuple[str, type]]] = (
    ("fabric", FabricSection),
    ("streams.NAME", Stream),
    ("streams.NAME.types.TYPE", TypeSection),
    ("streams.NAME.types.TYPE.deprecated", Deprecation),
    ("subscriptions.NAME", Subscription),
    ("subscriptions.NAME.retry", Retry),
    ("subscriptions.NAME.breaker", Breaker),
    ("subscriptions.NAME.slo", Slo),
    ("subscriptions.NAME.backpressure", Backpressure),
    (f"functions{_AND}subscriptions.NAME.function", FunctionSettings),
    (f"functions.vpc.REGION{_AND}subscriptions.NAME.function.vpc.REGION", Vpc),
    (f"functions.provisioned_pollers{_AND}subscriptions.NAME.function.provisioned_pollers", Pollers),
)
_FOUND_CHARACTERS_MAX: Final = 80
_PLAIN: Final[Mapping[object, str]] = {bool: "true or false", str: "text"}
"""Values of types that have no marks, in words."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table of the file."""

    name: str
    annotation: object
    default: object
    doc: Doc


def keys(kind: object) -> list[Key]:
    """List the keys of the table that an annotation describes, without `name`, which the table's heading gives."""
    table = bare(kind)
    if not (isinstance(table, type) and is_dataclass(table)):
        return []
    hints = get_type_hints(table, include_extras=True)
    keys = []
    for field in fields(table):
        marks = marks_of(hints[field.name])
        if not any(isinstance(mark, FromKey) for mark in marks):
            doc = next(mark for mark in marks if isinstance(mark, Doc))
            keys.append(Key(field.name, hints[field.name], field.default, doc))
    return keys


def annotation_at(path: KeyPath) -> object:
    """Find the annotation of the value at a path."""
    annotation: object = Definition
    for depth, key in enumerate(path, 1):
        kind = bare(annotation)
        if get_origin(kind) is dict:
            # (name, "[key]") is the path of a name that is itself wrong.
            annotation = get_args(kind)[0 if path[depth:] == ("[key]",) else 1]
        elif get_origin(kind) is tuple:
            annotation = get_args(kind)[0]
        elif key != "[key]":
            annotation = next((known.annotation for known in keys(kind) if known.name == key), object)
    return annotation


def tables_with(path: KeyPath) -> list[str]:
    """List the tables of the file that have a key of the path's name, at first those of the path's own subscription."""
    key, own = path[-1], f"{path[0]}.{_NAME}"
    tables = [
        table
        for heading, kind in _TABLES
        for table in heading.split(_AND)
        if any(known.name == key for known in keys(kind))
    ]
    inside = [table.replace(own, f"{path[0]}.{path[1]}") for table in tables if table.startswith(own)]
    return (len(path) > 2 and inside) or tables


def allowed(annotation: object) -> str:
    """Describe in words the values that an annotation allows."""
    kind, marks = bare(annotation), marks_of(annotation)
    if kinds := alternatives(kind):
        return " or ".join(map(allowed, kinds))
    if described := _allowed_by(marks, kind):
        return described
    if kind in _PLAIN:
        return _PLAIN[kind]
    if choices := choices_of(kind):
        return " or ".join(f'"{choice}"' for choice in choices)
    if get_origin(kind) in (dict, tuple):
        return _allowed_inside(kind, size=next((mark for mark in marks if isinstance(mark, Len)), Len()))
    return f"a table with: {', '.join(key.name for key in keys(kind))}"


def _allowed_inside(kind: object, *, size: Len) -> str:
    """Describe what a table of values or a list allows."""
    at_least_one = " of at least one" if size.min_length else ""
    if size.max_length:
        at_least_one = f" of {size.min_length} to {size.max_length}"
    if get_origin(kind) is tuple:
        return f"a list{at_least_one}, each {allowed(get_args(kind)[0])}"
    name, value = get_args(kind)
    if is_dataclass(bare(value)):
        return "tables with names of their own" + (", at least one" if size.min_length else "")
    return f"a table{at_least_one}: {allowed(name)} = {allowed(value)}"


def _allowed_by(marks: Sequence[object], kind: object) -> str:
    """Describe what marks allow, empty if nothing: patterns and powers of two say more than an interval."""
    for mark in marks:
        match mark:
            case Pattern(says=says):
                return says
            case PowersOfTwo(most=most):
                return f"a power of two from 1 to {most}"
            case Listed(numbers=numbers):
                return f"one of {', '.join(map(str, numbers))}"
    for mark in marks:
        match mark:
            case Interval(ge=least, le=greatest):
                return f"a {'whole ' if kind is int else ''}number from {least} to {greatest}"
    return ""


def shown(value: object) -> str:
    """Write a value of the file as the file would, shortened if it is long."""
    match value:
        case dict():
            return "a table" if value else "an empty table"
        case list():
            text = "[" + ", ".join(shown(item) for item in value) + "]"
        case bool() | str():
            text = json.dumps(value, ensure_ascii=False)
        case _:
            text = str(value)
    return text if len(text) <= _FOUND_CHARACTERS_MAX else text[: _FOUND_CHARACTERS_MAX - 3] + "..."


def kind_of(value: object) -> str:
    """Name a value's kind, without the value."""
    kinds = {
        str: "a text",
        bool: "a truth value",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a table",
    }
    return kinds.get(type(value), "a date or time")


def json_schema() -> dict[str, object]:
    """Make the JSON Schema 2020-12 of the file, for editors."""
    with needing("cli", "the JSON Schema"):
        from pydantic import TypeAdapter

    whole = TypeAdapter(Definition).json_schema()
    choices = {name: whole["$defs"].pop(name) for name, kind in [*whole["$defs"].items()] if "enum" in kind}
    schema = _tidy(whole, choices)
    assert isinstance(schema, dict)
    for _, table in _TABLES:
        described = schema["$defs"][table.__name__]
        described["description"] = described["description"].partition(" Invariant")[0]
        if described["properties"].keys() - {key.name for key in keys(table)}:
            del described["properties"]["name"]
            described["required"] = [key for key in described.get("required", []) if key != "name"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Definition of an event fabric",
        **schema,
        "description": "The streams and subscriptions of a fabric, and where they run.",
    }


def _tidy(node: object, choices: Mapping[str, Mapping[str, object]]) -> object:
    """Remove from pydantic's schema what TOML does not have (null), and noise. Write out `choices` where they are used.

    Many editors show no description that stands beside a reference.
    """
    if isinstance(node, list):
        return [_tidy(item, choices) for item in node]
    if not isinstance(node, dict):
        return node
    node = _written_out(node, choices)
    if not isinstance(node.get("title"), dict):
        node.pop("title", None)
    if "anyOf" in node:
        some = [choice for choice in node.pop("anyOf") if choice != {"type": "null"}]
        node = {**some[0], **node} if len(some) == 1 else {"anyOf": some, **node}
    if _is_default_described(node):
        del node["default"]
    if "patternProperties" in node:
        node["additionalProperties"] = False
    return {key: _tidy(value, choices) for key, value in node.items()}


def _written_out(node: Mapping[str, object], choices: Mapping[str, Mapping[str, object]]) -> dict[str, Any]:
    """Copy a node. A reference to choices is replaced by these."""
    name = str(node.get("$ref")).rpartition("/")[2]
    if name not in choices:
        return dict(node)
    return {**choices[name], **{key: value for key, value in node.items() if key != "$ref"}}


def _is_default_described(node: Mapping[str, object]) -> bool:
    """Tell if the default is one that only stands for what the description says."""
    return node.get("default", MISSING) in (None, []) and "Default: " in str(node.get("description"))


def schema_text() -> str:
    """Format the schema as it is kept in a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def definition_page() -> str:
    """Make the reference page in Markdown: each key, what it allows, its default and its meaning."""
    lines = [_PAGE_HEAD]
    for heading, table in _TABLES:
        lines += [f"\n## `[{heading}]`\n", "| key | allowed | default | meaning |", "|---|---|---|---|"]
        for key in keys(table):
            if not is_dataclass(bare(key.annotation)):
                cells = (f"`{key.name}`", allowed(key.annotation), _default(key), key.doc.text)
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _default(key: Key) -> str:
    if key.doc.default:
        return key.doc.default
    return "required" if key.default is MISSING else f"`{shown(_listed(key.default))}`"


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


_RESERVED: Final = "`, `".join(RESERVED_STREAM_NAMES)
_ENDINGS: Final = ", ".join(f"`{ending}`" for ending in RESERVED_SUBSCRIPTION_ENDINGS)
_PAGE_HEAD: Final = f"""\
# The definition

One TOML file defines a fabric: its streams, its subscriptions, and where they run. Most keys have a default.
[infra/fabric.toml](../infra/fabric.toml) is a sample. [infra/fabric.schema.json](../infra/fabric.schema.json)
tells editors what this page tells people. The schema and this page are generated:
`python -m eventfabric.definition.reference infra/fabric.schema.json docs/definition.md`.

A definition with problems is refused. The error lists all of them: where, what was found, what is allowed.

The name of a stream or subscription is that of its table: {allowed(annotation_at(("streams", "x", "[key]")))}.

Rules between keys:

- A subscription's `stream` must be in the file. A stream's Regions must be Regions of the fabric, and each
  Region of the fabric must have a stream.
- `durability = "quorum"` requires exactly three Regions, and allows neither `retention_days` nor an
  `exactly_once` subscription: the tables that it uses have no expiry and no transactions.
  `durability = "regional"` requires exactly one Region.
- `region` is allowed only with `deliver = "one"`, and must be a Region of the stream.
- Each of a subscription's `publishes` must be a stream of the file, in each Region in which the subscription may
  deliver. Under `exactly_once` its durability must not be "quorum". `eventfabric definition check` reports
  subscriptions that publish in a circle, or in each Region.
- Once a subscription has `tables`, its handler may use no others. No table of the fabric is among them.
- `alarm_actions` must be in Regions of the fabric. If there are any, each Region must have one.
- A subscription without a table `slo` has no objective.
- A subscription without a table `backpressure` holds no producer back. Its `seconds` is at least
  {SECONDS_MIN_ELSEWHERE} where `deliver` is `"one"` and the stream has several Regions: producers in the others hear
  later what is granted. Subscriptions that publish in a circle must not all have that table, since their handlers
  could wait for each other for ever.
- `stage` and the fabric's `name` have at most {FABRIC_CHARACTERS_MAX - 1} characters together.
- A subscription's `function` has the keys of `[functions]` that it does not set itself. `environment` has the variables
  of both. `maximum_concurrency` and `provisioned_pollers` exclude each other: a subscription that sets one has no
  default of the other.
- The fabric's own functions (relay, timer, reconcile, backfill) take `architecture`, `log_days`, `tracing` and `vpc`
  from `[functions]`, since an account's rules may ask these of every function. All other keys are for handlers: the
  fabric's own functions run none, and their memory and time-outs follow from what they do.
- `vpc` and `layers`, if there are any, must have at least one for each Region where the function runs: in `[functions]`
  each Region of the fabric, in a subscription each Region of its stream.
- `environment`, the fabric's and the subscription's together, takes at most {ENVIRONMENT_BYTES_MAX} bytes as JSON.
- `reserved_concurrency` is at least `maximum_concurrency`. With `provisioned_pollers` it is at least ten times their
  `maximum`, or the number of the stream's lanes in all of its Regions if that is less. `maximum` is at least `minimum`.
- What subscriptions reserve in a Region leaves {UNRESERVED_CONCURRENCY_MIN} of `account_concurrency`.
  `eventfabric definition check` and the deployment say if nothing can be reserved for the fabric's own functions, and
  if the subscriptions may together have more invocations than are left.
- Lists contain each value once. `backoff_max_seconds` is at least `backoff_seconds`.
- No stream may be called `{_RESERVED}`, and no subscription's name may end in {_ENDINGS}: the fabric uses those itself.
- Handlers and exception types must exist, and [run as they are deployed](testing.md#as-deployed).

## Where it is

`Fabric.connect()`, the command line, the deployment and the fixtures for tests look for it in the same way, unless they
are given a file. It is:

1. what `EVENTFABRIC_DEFINITION` names;
2. else, in the current folder (that of pytest's configuration, for the fixtures) or the nearest folder around it, up to
   the project's, which has a `pyproject.toml` or `.git`: what `definition` names in the table `[tool.eventfabric]` of
   `pyproject.toml`; else `infra/fabric.toml`; else `fabric.toml`.

`EVENTFABRIC_STAGE` takes the place of its `stage`, for all of them.

Handlers are in the folder `functions` beside the folder of the file, or else beside the file."""


if __name__ == "__main__":
    schema_file, page_file = sys.argv[1:]
    write_whole({Path(schema_file): schema_text(), Path(page_file): definition_page()})
