"""Random schemas, and changes of them as people make: small names and values, so that schemas meet often."""

from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

NAMES = ("a", "b", "c", "kind", "x-1")
PATTERNS = ("^x-", "^a", "[bc]$")
SCALARS: tuple[Any, ...] = (None, True, False, 0, 1, 1.0, 2, 2.5, -1, "", "a", "bb", "ccc")
TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")

Schema = Any


class SchemaMaker:
    """Makes schemas of the subset that the differ decides; with `beyond`, of the rest of JSON Schema too."""

    def __init__(self, random: Random, *, beyond: bool = False) -> None:
        self.random = random
        self._beyond = beyond

    def document(self) -> Schema:
        """Return a schema with definitions, some of which refer to each other."""
        schema = self.objects(3) if self.random.random() < 0.8 else self.schema(3)
        if isinstance(schema, dict):
            schema = dict(schema)
            schema["$defs"] = {name: self._definition() for name in ("p", "q")}
        return schema

    def schema(self, depth: int) -> Schema:
        """Return any schema."""
        makers: list[Callable[[int], Schema]] = [*[self.scalar] * 6, self.listed, self.boolean]
        if depth > 0:
            makers += [*[self.objects] * 5, self.arrays, self.arrays, *[self.reference] * 6]
            makers += [self.nullable, self.tagged, self.merged, self.types]
            if self._beyond:
                makers += [self.opaque] * 3
        schema = self.random.choice(makers)(depth)
        if isinstance(schema, dict) and self.random.random() < 0.1:
            schema["description"] = self.random.choice(NAMES)
        return schema

    def scalar(self, depth: int) -> Schema:
        random = self.random
        kind = random.choice(("boolean", "null", "integer", "integer", "number", "string", "string"))
        schema: dict[str, Any] = {"type": kind}
        if kind in ("integer", "number") and random.random() < 0.5:
            for keyword in random.sample(("minimum", "maximum", "exclusiveMinimum", "multipleOf"), 2):
                schema[keyword] = self.bound(keyword)
        if kind == "string" and random.random() < 0.5:
            keyword = random.choice(("minLength", "maxLength", "format"))
            schema[keyword] = "date" if keyword == "format" else random.randrange(4)
        if kind == "string" and self._beyond and random.random() < 0.2:
            schema["pattern"] = random.choice(PATTERNS)
        return schema

    def bound(self, keyword: str) -> Any:
        if keyword == "multipleOf":
            return self.random.choice((1, 2, 3, 4, 6, 0.5))
        return self.random.choice((-1, 0, 0.5, 1, 1.5, 2, 5, 1000))

    def listed(self, depth: int) -> Schema:
        values = self.random.sample(SCALARS, self.random.randrange(1, 5))
        if self.random.random() < 0.15:
            values.append(self.random.choice(({"a": 1}, [1, "a"], {"a": {"b": "a"}}, [])))
        return {"const": values[0]} if self.random.random() < 0.3 else {"enum": values}

    def boolean(self, depth: int) -> Schema:
        return self.random.choice((True, True, False, {}))

    def types(self, depth: int) -> Schema:
        return {"type": self.random.sample(TYPES, 2)}

    def objects(self, depth: int) -> Schema:
        random = self.random
        names = random.sample(NAMES, random.randrange(0, 5))
        schema: dict[str, Any] = {"properties": {name: self.schema(depth - 1) for name in names}}
        if random.random() < 0.9:
            schema["type"] = "object"
        required = [name for name in names if random.random() < 0.4]
        if random.random() < 0.05:
            required = random.sample(NAMES, 2)
        if required:
            schema["required"] = required
        if random.random() < 0.2:
            schema["additionalProperties"] = self.schema(depth - 1) if random.random() < 0.6 else False
        if random.random() < 0.1:
            schema["patternProperties"] = {random.choice(PATTERNS): self.schema(depth - 1)}
        if random.random() < 0.05:
            schema["unevaluatedProperties"] = self.schema(0)
        if self._beyond and random.random() < 0.2:
            schema |= self.random.choice(
                (
                    {"minProperties": random.randrange(3)},
                    {"maxProperties": random.randrange(4)},
                    {"propertyNames": {"maxLength": random.randrange(1, 5)}},
                    {"dependentRequired": {random.choice(NAMES): [random.choice(NAMES)]}},
                    {"dependentSchemas": {random.choice(NAMES): self.schema(0)}},
                )
            )
        return schema

    def arrays(self, depth: int) -> Schema:
        random = self.random
        schema: dict[str, Any] = {"type": "array"}
        if random.random() < 0.8:
            schema["items"] = self.schema(depth - 1)
        if random.random() < 0.3:
            schema["prefixItems"] = [self.schema(depth - 1) for _ in range(random.randrange(1, 3))]
        for keyword in ("minItems", "maxItems"):
            if random.random() < 0.2:
                schema[keyword] = random.randrange(4)
        if random.random() < 0.15:
            schema["uniqueItems"] = True
        if self._beyond and random.random() < 0.3:
            schema["contains"] = self.schema(0)
        return schema

    def reference(self, depth: int) -> Schema:
        schema: dict[str, Any] = {"$ref": self.random.choice(("#/$defs/p", "#/$defs/q"))}
        if self.random.random() < 0.2:
            schema |= self.objects(0)
        return schema

    def nullable(self, depth: int) -> Schema:
        return {self.random.choice(("anyOf", "oneOf")): [self.schema(depth - 1), {"type": "null"}]}

    def tagged(self, depth: int) -> Schema:
        tags = self.random.sample(("a", "bb", "ccc", 1), self.random.randrange(2, 4))
        branches = []
        for tag in tags:
            branch = self.objects(depth - 1)
            branch["type"] = "object"
            branch["properties"]["kind"] = {"const": tag}
            branch["required"] = sorted({"kind", *branch.get("required", ())})
            branches.append(branch)
        return {self.random.choice(("anyOf", "oneOf")): branches}

    def merged(self, depth: int) -> Schema:
        schema: dict[str, Any] = {"allOf": [self.objects(depth - 1), self.objects(0)]}
        for inner in (schema, schema["allOf"][0]):
            if self.random.random() < 0.15:
                inner["unevaluatedProperties"] = self.random.choice((True, False, {"type": "string"}))
        return {**self.objects(0), **schema} if self.random.random() < 0.3 else schema

    def opaque(self, depth: int) -> Schema:
        """Return a schema that the differ decides only if both sides have it."""
        inner = self.schema(depth - 1), self.schema(depth - 1), self.schema(0)
        return self.random.choice(
            (
                {"not": inner[2]},
                {"if": self.objects(0), "then": inner[0], "else": inner[1]},
                {"anyOf": [inner[0], inner[1]]},
                {"oneOf": [inner[0], inner[1]]},
                {**self.objects(depth - 1), "oneOf": [self.objects(0), self.objects(depth - 1)]},
                {**self.objects(depth - 1), "anyOf": [self.objects(0), self.objects(depth - 1)]},
                {**self.objects(0), "if": self.objects(0), "then": inner[0]},
                {
                    **self.objects(depth - 1),
                    "if": self.objects(1),
                    "else": self.random.choice((False, inner[0])),
                },
                {**self.objects(depth - 1), "if": {**self.objects(1), "required": []}, "else": False},
            )
        )

    def _definition(self) -> Schema:
        """Return a definition. It refers to others from members and items only, so that there is no circle."""
        schema = self.objects(2)
        return schema if self.random.random() < 0.7 else self.scalar(0)


def changed(schema: Schema, maker: SchemaMaker) -> Schema:
    """Return a schema with one to three changes that say something else, though they may mean the same."""
    for _ in range(20):
        result = _changed_once(schema, maker)
        if result != schema:
            return result
    return maker.document()


def _changed_once(schema: Schema, maker: SchemaMaker) -> Schema:
    schema = deepcopy(schema)
    for _ in range(maker.random.choice((1, 1, 1, 2, 3))):
        root = schema
        if isinstance(schema, dict) and maker.random.random() < 0.7:
            root = {keyword: value for keyword, value in schema.items() if keyword != "$defs"}
        places = _places(root)[1:] or _places(schema)
        if not places:
            return maker.document()
        maker.random.choice(_CHANGES)(maker.random.choice(places), maker)
    return schema


def _places(schema: Schema) -> list[Schema]:
    """Return all schemas in a schema."""
    if not isinstance(schema, dict):
        return []
    result = [schema]
    for keyword in ("properties", "$defs", "patternProperties"):
        for inner in schema.get(keyword, {}).values():
            result += _places(inner)
    for keyword in ("allOf", "anyOf", "oneOf", "prefixItems"):
        for inner in schema.get(keyword, []):
            result += _places(inner)
    for keyword in ("items", "additionalProperties"):
        result += _places(schema.get(keyword))
    return result


def _change_member(schema: Schema, maker: SchemaMaker) -> None:
    if "properties" in schema:
        schema["properties"][maker.random.choice(NAMES)] = maker.schema(1)


def _drop_member(schema: Schema, maker: SchemaMaker) -> None:
    if schema.get("properties"):
        del schema["properties"][maker.random.choice(list(schema["properties"]))]


def _turn_required(schema: Schema, maker: SchemaMaker) -> None:
    names = list(schema.get("properties", ())) or ["a"]
    required = {*schema.get("required", ())} ^ {maker.random.choice(names)}
    schema["required"] = sorted(required)


def _change_bound(schema: Schema, maker: SchemaMaker) -> None:
    keywords = [
        keyword
        for keyword in schema
        if keyword
        in ("minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems", "maxItems")
    ]
    for keyword in keywords[:1]:
        schema[keyword] = max(0, schema[keyword] + maker.random.choice((-1, 1)))


def _drop_keyword(schema: Schema, maker: SchemaMaker) -> None:
    keywords = [keyword for keyword in schema if keyword not in ("$defs", "type", "properties")]
    if keywords:
        del schema[maker.random.choice(keywords)]


def _change_values(schema: Schema, maker: SchemaMaker) -> None:
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], maker.random.choice(SCALARS)]
    elif "const" in schema:
        schema["enum"] = [schema.pop("const"), maker.random.choice(SCALARS)]


def _change_type(schema: Schema, maker: SchemaMaker) -> None:
    types = schema.get("type")
    if types == "integer":
        schema["type"] = "number"
    elif isinstance(types, str) and types != "null":
        schema["type"] = [types, "null"]


def _split(schema: Schema, maker: SchemaMaker) -> None:
    moved = {
        keyword: schema.pop(keyword) for keyword in list(schema) if keyword in ("properties", "required")
    }
    if moved and "allOf" not in schema:
        schema["allOf"] = [moved]
    else:
        schema.update(moved)


def _add_branch(schema: Schema, maker: SchemaMaker) -> None:
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            schema[keyword] = [*schema[keyword], *maker.tagged(1).popitem()[1][:1]]


def _change_others(schema: Schema, maker: SchemaMaker) -> None:
    if "properties" in schema:
        schema["additionalProperties"] = maker.random.choice((True, False, {"type": "string"}))


_CHANGES = (
    _change_member,
    _change_member,
    _drop_member,
    _turn_required,
    _turn_required,
    _change_bound,
    _drop_keyword,
    _change_values,
    _change_type,
    _split,
    _add_branch,
    _change_others,
)
