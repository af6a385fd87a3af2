"""Source: a module of Python with a class for each type of events, as people would have written it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from re import findall
from tokenize import NAME, generate_tokens
from typing import Any, Final

from eventfabric.errors import InvalidSchemaError, Problem
from eventfabric.typed.annotations import Annotations
from eventfabric.typed.dialects import DIALECTS, ClassHead, Dialect, MemberDefault
from eventfabric.typed.layout import (
    COLUMNS,
    Expression,
    docstring,
    laid_out,
    literal,
    on_one_line,
)
from eventfabric.typed.names import class_name, member_names, value_names
from eventfabric.typed.shapes import TypeSchema, constant_of
from eventfabric.typed.targets import Target, targets_of
from eventfabric.typed.walking import Schema, is_same

_INDENT: Final = "    "
_HEADING: Final = (
    '"""Payload classes. Written by `eventfabric schemas types`: change the schemas, and write it anew."""'
)
_IMPORTS: Final = {
    "dataclass": "dataclasses",
    "IntEnum": "enum",
    "StrEnum": "enum",
    "Annotated": "typing",
    "Any": "typing",
    "Literal": "typing",
    "TypeAlias": "typing",
    "Union": "typing",
    "UUID": "uuid",
    "OpenEnum": "eventfabric",
}
_STANDARD: Final = ("dataclasses", "enum", "typing", "uuid")
_CHECKED_OF_CLASS: Final = {
    *("type", "properties", "required", "additionalProperties", "unevaluatedProperties"),
    *("title", "description", "examples", "default", "deprecated", "$defs", "$schema", "$id", "$comment"),
}


def source_of(types: Sequence[TypeSchema], *, kind: str = "msgspec") -> str:
    """Return the source of a module with the classes of all types, sorted by name. Equal schemas give equal source.

    `kind`: msgspec, dataclass or pydantic. InvalidSchemaError: such a class cannot be made of a schema.
    """
    dialect = DIALECTS[kind]
    ordered = sorted(types, key=lambda source: (source.stream, source.type))
    _, declared = targets_of(ordered)
    writer = _Writer(dialect, declared)
    aliases = [target for target in declared.values() if target.category == "alias"]
    others = [target for target in declared.values() if target.category != "alias"]
    others.sort(key=lambda target: (target.category == "class", target.name))
    declarations = {target.name: writer.declaration(target) for target in others}
    # Aliases stand last, since they, unlike annotations, are evaluated where they stand.
    named = writer.aliases_of(aliases)
    blocks = [dialect.preamble if declared else "", *declarations.values(), named]
    if dialect.completes:
        blocks.append("\n".join(f"{name}.model_rebuild()" for name in _with_later_names(declarations, named)))
    body = "\n\n\n".join(block.rstrip("\n") for block in blocks if block)
    return f"{_HEADING}\n\n{_imports(dialect, body)}\n\n\n{body}\n"


def _with_later_names(declarations: Mapping[str, str], aliases: str) -> Iterator[str]:
    """Yield the classes that use a class or an alias which is declared after them."""
    later = {line.partition(":")[0] for line in aliases.splitlines() if ": TypeAlias = " in line}
    for name, text in reversed(list(declarations.items())):
        if later & set(findall(r"\w+", text)):
            yield name
        later.add(name)


class _Writer:
    """Writes declarations of one module."""

    def __init__(self, dialect: Dialect, declared: dict[str, Target]) -> None:
        self._dialect = dialect
        self._declared = declared
        self._annotations = Annotations(dialect)
        self._long: dict[str, Expression] = {}
        """Annotations that are too long for the line of their member, by the name of an alias."""

    def declaration(self, target: Target) -> str:
        """Return the source of a class or an enum."""
        return self._class(target) if target.category == "class" else _enum(target)

    def aliases_of(self, targets: Sequence[Target]) -> str:
        """Return the aliases of schemas that are no classes, and of long annotations; each after those that it uses."""
        expressions = {
            target.name: self._annotations.of(_without_definitions(target.schema), target.document)
            for target in targets
        }
        expressions |= self._long
        lines: dict[str, str] = {}

        def write(name: str) -> None:
            if name in lines or name not in expressions:
                return
            lines[name] = ""
            text = on_one_line(expressions[name])
            for word in findall(r"\w+", text):
                write(word)
            lines[name] = lines.pop(name) or laid_out(f"{name}: TypeAlias = ", expressions[name])

        for name in sorted(expressions):
            write(name)
        return "\n".join(lines.values())

    def _class(self, target: Target) -> str:
        schema = target.schema
        properties: Schema = schema["properties"]
        names = member_names(properties, taken=self._declared)
        is_tagged = target.tag_member and self._dialect.tags
        self._check_names(names, target)
        head = ClassHead(
            target.name,
            is_closed=schema.get("additionalProperties", schema.get("unevaluatedProperties")) is False,
            tag_member=target.tag_member,
            tag=constant_of(schema, target.tag_member) if is_tagged else None,
        )
        left_out = target.tag_member if is_tagged and not self._dialect.holds_tag() else None
        required = schema.get("required", ())
        members = [
            self._member(target, encoded, names[encoded], is_required=encoded in required)
            for encoded in sorted(properties, key=lambda name: (name not in required, name))
            if encoded != left_out
        ]
        description = schema.get("description", "").strip()
        body = [docstring(description, indent=_INDENT), ""] if description else []
        lines = [*_unchecked(schema), self._dialect.head(head), *(body if members else body[:1]), *members]
        return "\n".join(lines if description or members else [*lines, f"{_INDENT}pass"])

    def _check_names(self, names: dict[str, str], target: Target) -> None:
        problems = [
            Problem(f"{target.name}/properties/{name}"[:160], "the name", self._dialect.names_allowed)
            for name, identifier in names.items()
            if name != identifier and not self._dialect.may_be_renamed(name)
        ]
        if problems:
            raise InvalidSchemaError(problems, where=target.document.source.type)

    def _member(self, target: Target, encoded: str, name: str, *, is_required: bool) -> str:
        schema = (
            dict(target.schema["properties"][encoded])
            if target.schema["properties"][encoded] is not True
            else {}
        )
        description = schema.pop("description", "").strip()
        default = None if is_required else self._default(schema, target)
        annotation = self._annotations.of(schema, target.document)
        value = self._dialect.value(encoded if encoded != name else None, default)
        if default is not None and default.is_unset and annotation != "Any":
            annotation = self._dialect.optional(annotation, admits_null=default.admits_null)
        line = self._line(name, annotation, value)
        if max(map(len, line.split("\n"))) > COLUMNS and not isinstance(annotation, str):
            own = class_name(f"{target.name} {encoded}")
            while own in self._declared or self._long.get(own, annotation) != annotation:
                own += "_"
            self._long[own] = annotation
            line = self._line(name, own, value)
        about = [docstring(description, indent=_INDENT)] if description else []
        return "\n".join([line, *about])

    def _line(self, name: str, annotation: Expression, value: Expression | None) -> str:
        before = f"{name}: {on_one_line(annotation)}"
        return f"{_INDENT}{before}" if value is None else laid_out(f"{before} = ", value, indent=_INDENT)

    def _default(self, schema: Schema, target: Target) -> MemberDefault:
        """Return the default of an optional member, if it has one that its type accepts."""
        kinds = self._annotations.kinds_of(schema, target.document)
        unset = MemberDefault(None, admits_null=not kinds or "None" in kinds)
        value = schema.get("default", _NO_DEFAULT)
        kind = "None" if value is None else type(value).__name__
        if {"format", "contentEncoding"} & set(schema):
            kinds &= {"None"}  # such text is of another type in Python
        if kind not in kinds and not (kind == "int" and "float" in kinds):
            return unset
        if isinstance(value, list | dict):
            return unset if value or "prefixItems" in schema else MemberDefault(None, makes_empty=kind)
        return replace(unset, value=_default_literal(schema, target, value))


_NO_DEFAULT: Final = object()


def _default_literal(schema: Schema, target: Target, value: Any) -> str | None:
    """Return a default as it is written in Python; None if the schema does not accept it."""
    named = target.document.targets.get(schema.get("$ref", ""))
    if named is not None and named.category in ("enum", "open enum"):
        return _enum_value(named, value)
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    is_known = values is None or any(is_same(value, own) for own in values)
    return on_one_line(literal(value)) if is_known else None


def _enum_value(target: Target, value: Any) -> str | None:
    names = value_names(_values(target))
    if value in names:
        return f"{target.name}.{names[value]}"
    return f"{target.name}({on_one_line(literal(value))})" if target.category == "open enum" else None


def _values(target: Target) -> list[str | int]:
    values = target.schema.get("enum") or target.schema["anyOf"][0]["enum"]
    return [value for value in values if not isinstance(value, bool)]


def _enum(target: Target) -> str:
    values = _values(target)
    is_text = isinstance(values[0], str)
    base = "OpenEnum" if target.category == "open enum" else "StrEnum" if is_text else "IntEnum"
    description = target.schema.get("description", "").strip()
    about = [docstring(description, indent=_INDENT), ""] if description else []
    members = [f"{_INDENT}{name} = {literal(value)}" for value, name in value_names(values).items()]
    return "\n".join([f"class {target.name}({base}):", *about, *members])


def _unchecked(schema: Schema) -> Iterator[str]:
    """Yield a comment that names the keywords of an object's schema that no class checks."""
    words = sorted(word for word in schema if word not in _CHECKED_OF_CLASS and not word.startswith("x-"))
    if words:
        yield f"# The schema asks for more than this class checks: {', '.join(words)}."


def _without_definitions(schema: Schema) -> Schema:
    return {word: value for word, value in schema.items() if word != "$defs"}


def _imports(dialect: Dialect, body: str) -> str:
    """Return the imports of the names that a module uses."""
    tokens = generate_tokens(StringIO(body).readline)
    words = {token.string for token in tokens if token.type == NAME}
    modules: dict[str, list[str]] = {}
    for name, module in {**_IMPORTS, **dialect.names}.items():
        if name in words:
            modules.setdefault(module, []).append(name)
    lines = {
        module: f"from {module} import {', '.join(sorted(names, key=_order_of_name))}"
        for module, names in sorted(modules.items())
    }
    standard = ["import datetime"] * ("datetime" in words)
    standard += [line for module, line in lines.items() if module in _STANDARD]
    others = [line for module, line in lines.items() if module not in _STANDARD]
    blocks = (["from __future__ import annotations"], standard, others)
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _order_of_name(name: str) -> tuple[int, str]:
    """Sort constants before classes, and these before functions, as isort does."""
    return (0 if name.isupper() and len(name) > 1 and name != "UUID" else 1 if name[0].isupper() else 2), name
