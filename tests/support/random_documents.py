"""Random documents that a schema may accept. They follow it roughly: validators say which ones it does."""

import re
from copy import deepcopy
from random import Random
from typing import Any
from urllib.parse import unquote

from tests.support.random_schemas import NAMES, SCALARS

_STRINGS = ("", "a", "bb", "ccc", "dddd", "long enough")
_NUMBERS = (-2, -1, 0, 0.3, 0.5, 1, 1.0, 1.5, 2, 2.5, 3, 4, 5, 6, 12, 999, 1000, 1001)


class DocumentMaker:
    """Makes documents for one schema. Now and then they have members that only another schema names."""

    def __init__(self, schema: Any, random: Random, *, other: Any = True) -> None:
        self._root = schema
        self._random = random
        self._names = (*NAMES, "new", "x-2", "ab")
        self._other_names = sorted(_member_names(other)) or self._names

    def document(self) -> Any:
        """Return a document; every third is changed, so that it may be just invalid, or valid by luck."""
        document = self._value([self._root], 5)
        if self._random.random() < 0.33:
            document = self._changed(deepcopy(document))
        return document

    def _value(self, schemas: list[Any], depth: int) -> Any:
        nodes = self._flat(schemas, 8)
        for node in nodes:
            if "const" in node:
                return deepcopy(node["const"])
            if "enum" in node:
                return deepcopy(self._random.choice(node["enum"]))
        types = [node["type"] for node in nodes if "type" in node]
        kind = self._kind(types, nodes)
        if kind == "object":
            return self._object(nodes, depth)
        if kind == "array":
            return self._array(nodes, depth)
        if kind in ("integer", "number"):
            return self._number(nodes, kind)
        if kind == "string":
            return self._random.choice(_STRINGS)
        return self._random.choice((True, False)) if kind == "boolean" else None

    def _kind(self, types: list[Any], nodes: list[Any]) -> str:
        allowed: set[str] | None = None
        for own in types:
            names = {own} if isinstance(own, str) else {*own}
            if "number" in names:
                names.add("integer")
            allowed = names if allowed is None else allowed & names
        if allowed is None:
            names = {"object"} if any("properties" in node for node in nodes) else {"string", "integer"}
            allowed = (
                names if self._random.random() < 0.8 else {"object", "array", "null", "number", "boolean"}
            )
        return self._random.choice(sorted(allowed)) if allowed else "null"

    def _number(self, nodes: list[Any], kind: str) -> Any:
        near = [*_NUMBERS]
        for node in nodes:
            for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
                if keyword in node:
                    near += [node[keyword], node[keyword] + 1, node[keyword] - 1, node[keyword] + 0.5]
        near = [number for number in near if kind == "number" or float(number).is_integer()]
        return self._random.choice(near)

    def _object(self, nodes: list[Any], depth: int) -> Any:
        named = {name for node in nodes for name in node.get("properties", ())}
        required = {name for node in nodes for name in node.get("required", ())}
        names = required | {name for name in named if depth > 0 and self._random.random() < 0.6}
        if self._random.random() < 0.3:
            names.add(self._random.choice(self._random.choice((self._names, self._other_names))))
        if depth < -2:
            return {}
        return {name: self._value(self._member_schemas(nodes, name), depth - 1) for name in sorted(names)}

    def _member_schemas(self, nodes: list[Any], name: str) -> list[Any]:
        result = []
        for node in nodes:
            matching = [
                schema
                for pattern, schema in node.get("patternProperties", {}).items()
                if re.search(pattern, name)
            ]
            result += matching
            if name in node.get("properties", ()):
                result.append(node["properties"][name])
            elif matching:
                continue
            elif "additionalProperties" in node:
                result.append(node["additionalProperties"])
            elif "unevaluatedProperties" in node:
                result.append(node["unevaluatedProperties"])
        return result

    def _array(self, nodes: list[Any], depth: int) -> Any:
        least = max((int(node.get("minItems", 0)) for node in nodes), default=0)
        length = least + self._random.choice((0, 0, 1, 2, 3, 4)) if depth > 0 else least
        items = []
        for index in range(length):
            schemas = []
            for node in nodes:
                prefix = node.get("prefixItems", ())
                schemas += [prefix[index]] if index < len(prefix) else [node.get("items", True)]
            items.append(self._value(schemas, depth - 1))
        return items

    def _flat(self, schemas: list[Any], depth: int) -> list[Any]:
        """Return the schemas that have to hold together, one branch of each union among them."""
        result: list[Any] = []
        for schema in schemas:
            if not isinstance(schema, dict) or depth == 0:
                continue
            result.append(schema)
            inner = list(schema.get("allOf", ()))
            if "$ref" in schema:
                inner.append(self._target(schema["$ref"]))
            for keyword in ("anyOf", "oneOf"):
                if keyword in schema:
                    inner.append(self._random.choice(schema[keyword]))
            if "if" in schema:
                inner += [schema["if"], schema.get("then", True)] if self._random.random() < 0.5 else []
                inner += [schema.get("else", True)]
            result += self._flat(inner, depth - 1)
        return result

    def _target(self, reference: str) -> Any:
        schema = self._root
        for token in reference.removeprefix("#").split("/")[1:]:
            name = unquote(token).replace("~1", "/").replace("~0", "~")
            schema = schema[int(name)] if isinstance(schema, list) else schema[name]
        return schema

    def _changed(self, document: Any) -> Any:
        random = self._random
        if isinstance(document, dict) and document and random.random() < 0.8:
            name = random.choice(list(document))
            if random.random() < 0.4:
                del document[name]
            else:
                document[name] = self._changed(document[name])
            return document
        if isinstance(document, list) and document and random.random() < 0.8:
            index = random.randrange(len(document))
            document[index] = self._changed(document[index])
            return document
        return random.choice((*SCALARS, {}, [], {"a": 1}, [1, 1]))


def _member_names(schema: Any) -> set[str]:
    """Return the names of all members that a schema names anywhere."""
    if isinstance(schema, list):
        return set[str]().union(*map(_member_names, schema))
    if not isinstance(schema, dict):
        return set()
    names = {*schema["properties"]} if isinstance(schema.get("properties"), dict) else set()
    return names.union(*map(_member_names, schema.values()))
