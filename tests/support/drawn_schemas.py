"""Schemas in normal form that classes can hold wholly, and documents that they accept, drawn by Hypothesis."""

from typing import Any, Final

from hypothesis import strategies as st

Schema = dict[str, Any]
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_NAMES: Final = st.one_of(
    st.sampled_from(
        ["id", "class", "unit-price", "date", "str", "_x", "1st", "type", "Line", "field", "größe", "a b"]
    ),
    st.text(
        st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters='"\\'), min_size=1, max_size=6
    ),
)
_WORDS: Final = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=12)
_DESCRIPTIONS: Final = st.sampled_from(
    ["Its id.", 'A "quoted"', '"', 'two\n\nparagraphs \\ and a """ inside', "ends in \\", "ümläut\N{SNOWMAN}"]
)


def _texts() -> st.SearchStrategy[Schema]:
    bounds = st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.integers(0, 2),
            "maxLength": st.integers(3, 9),
            "pattern": st.just("^[^\"']*$"),
        },
    )
    formats = st.sampled_from(["date-time", "date", "uuid", "email"]).map(
        lambda f: {"type": "string", "format": f}
    )
    return st.one_of(bounds, formats)


def _numbers() -> st.SearchStrategy[Schema]:
    return st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={"minimum": st.integers(-5, 0), "maximum": st.integers(1, 9)},
    )


def _literals() -> st.SearchStrategy[Schema]:
    values = st.lists(st.one_of(_WORDS, st.integers(-9, 9)), min_size=2, max_size=3, unique=True)
    return st.one_of(
        values.map(lambda v: {"enum": sorted(v, key=lambda x: (type(x).__name__, x))}),
        _WORDS.map(lambda word: {"const": word}),
    )


def _scalars() -> st.SearchStrategy[Schema]:
    return st.one_of(_texts(), _numbers(), _literals(), st.just({"type": "boolean"}), st.just({}))


def _nullable(schema: Schema) -> Schema:
    if not schema or "anyOf" in schema:
        return schema
    if "enum" in schema or "const" in schema:
        return {"enum": [*schema.get("enum", [schema.get("const")]), None]}
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


@st.composite
def _values(draw: st.DrawFn, references: list[str]) -> Schema:
    leaves = [_scalars()] + [st.sampled_from(references).map(lambda r: {"$ref": r})] * bool(references)
    schema = draw(
        st.recursive(
            st.one_of(*leaves),
            lambda inner: st.one_of(
                inner.map(lambda part: {"type": "array", **({"items": part} if part else {})}),
                inner.map(
                    lambda part: {"type": "object", **({"additionalProperties": part} if part else {})}
                ),
                st.lists(inner, min_size=1, max_size=2).map(
                    lambda parts: {
                        "type": "array",
                        "minItems": len(parts),
                        "maxItems": len(parts),
                        "prefixItems": parts,
                    }
                ),
            ),
            max_leaves=3,
        )
    )
    return _nullable(schema) if draw(st.booleans()) else schema


@st.composite
def _class(draw: st.DrawFn, references: list[str], tag: str = "") -> Schema:
    names = draw(st.lists(_NAMES, max_size=4, unique=True))
    properties: Schema = {"kind": {"const": tag}} if tag else {}
    required = ["kind"] if tag else []
    for name in names:
        if name in properties:
            continue
        member = dict(draw(_values(references)))
        if draw(st.booleans()):
            required.append(name)
        elif member.get("type") in ("integer", "boolean") and draw(st.booleans()):
            member["default"] = 1 if member["type"] == "integer" else True
        elif member.get("type") == "array" and "prefixItems" not in member and draw(st.booleans()):
            member["default"] = []
        if draw(st.booleans()):
            member["description"] = draw(_DESCRIPTIONS)
        properties[name] = member
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = sorted(required)
    if draw(st.booleans()):
        schema["description"] = draw(_DESCRIPTIONS)
    return schema


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Draw the schema of a class, with definitions: classes, an enum, an open enum, and a union told apart by a tag."""
    references = ["#/$defs/Line", "#/$defs/Status", "#/$defs/Colour"]
    line = draw(_class(["#/$defs/Status", "#/$defs/Line"]))
    for member in line["properties"].values():  # a class that always holds another of itself accepts nothing
        if "#/$defs/Line" in str(member) and line.get("required"):
            line["required"] = [n for n in line["required"] if line["properties"][n] is not member]
    if not line.get("required"):
        line.pop("required", None)
    root = draw(_class(references))
    root["properties"]["payment"] = {"anyOf": [{"$ref": "#/$defs/Card"}, {"$ref": "#/$defs/Cash"}]}
    root["properties"]["all"] = {"type": "array", "items": {"anyOf": [{"$ref": r} for r in references[1:2]]}}
    root["properties"]["all"]["items"] = {"$ref": "#/$defs/Status"}
    root["properties"]["line"] = {"$ref": "#/$defs/Line"}
    root["properties"]["colour"] = {"$ref": "#/$defs/Colour"}
    definitions = {
        "Line": line,
        "Status": {"enum": sorted(draw(st.lists(_WORDS, min_size=1, max_size=3, unique=True)))},
        "Colour": {
            "anyOf": [{"enum": sorted(draw(st.lists(_WORDS, min_size=1, unique=True)))}, {"type": "string"}]
        },
        "Card": draw(_class(["#/$defs/Line"], tag="card")),
        "Cash": draw(_class([], tag="cash")),
    }
    return {"$schema": DIALECT, **root, "$defs": definitions}


_FORMATS: Final[dict[str, st.SearchStrategy[str]]] = {
    "date-time": st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    "date": st.dates().map(str),
    "uuid": st.uuids().map(str),
    "email": st.just("a@example.org"),
}


def documents(schema: Schema, whole: Schema, *, depth: int = 0) -> st.SearchStrategy[Any]:
    """Draw what a schema accepts, with members that it names."""
    if "$ref" in schema:
        return documents(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole, depth=depth + 1)
    if "const" in schema or "enum" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return st.one_of(*(documents(branch, whole, depth=depth) for branch in schema["anyOf"]))
    kinds = schema.get("type", ["integer", "string", "null"])
    names = [kinds] if isinstance(kinds, str) else kinds
    return st.one_of(*(_documents_of(kind, schema, whole, depth) for kind in names))


def _documents_of(kind: str, schema: Schema, whole: Schema, depth: int) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum", -99), schema.get("maximum", 99)
    match kind:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(low, high)
        case "number":
            return st.one_of(st.integers(low, high), st.floats(low, high))
        case "string":
            sizes = schema.get("minLength", 0), schema.get("maxLength", 9)
            letters = st.characters(exclude_categories=["C"], exclude_characters="\"'")
            return _FORMATS.get(
                schema.get("format", ""), st.text(letters, min_size=sizes[0], max_size=sizes[1])
            )
        case "array":
            if "prefixItems" in schema:
                return st.tuples(
                    *(documents(part, whole, depth=depth) for part in schema["prefixItems"])
                ).map(list)
            most = 2 if depth < 3 else 0
            return st.lists(documents(schema.get("items", {}), whole, depth=depth + 1), max_size=most)
    return _objects(schema, whole, depth)


def _objects(schema: Schema, whole: Schema, depth: int) -> st.SearchStrategy[Any]:
    if "properties" not in schema:
        values = documents(schema.get("additionalProperties", {}), whole, depth=depth + 1)
        return st.dictionaries(st.text(max_size=3), values, max_size=2 if depth < 3 else 0)
    required = schema.get("required", ())
    members = {
        name: documents(part, whole, depth=depth + 1)
        for name, part in schema["properties"].items()
        if name in required or depth < 3
    }
    return st.fixed_dictionaries(
        {name: drawn for name, drawn in members.items() if name in required},
        optional={name: drawn for name, drawn in members.items() if name not in required},
    )
