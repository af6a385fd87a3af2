"""Targets of references: the definitions that become classes, enums and aliases, with a name for each in the module."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json import dumps
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote

from eventfabric.contracts.references import References
from eventfabric.typed.checked import INTEGERS
from eventfabric.typed.names import class_name
from eventfabric.typed.shapes import TypeSchema, constant_of, is_class, open_values, with_definitions
from eventfabric.typed.walking import Schema, references_in, schemas_in

Category: TypeAlias = Literal["class", "enum", "open enum", "alias"]
_ROOT: Final = "#"


@dataclass(slots=True)
class Target:
    """A schema that has a name in the module. `document`: the whole in which its references are to be read."""

    name: str
    schema: Schema
    document: "Document"
    category: Category
    tag_member: str = ""
    """Member that tells it apart in a union; empty: it is in none, or is no class."""


@dataclass(slots=True)
class Document:
    """A type's schema, and what its references stand for."""

    source: TypeSchema
    targets: dict[str, Target] = field(default_factory=dict)


def targets_of(types: Sequence[TypeSchema]) -> tuple[list[Document], dict[str, Target]]:
    """Return all documents, and what is to be declared, by name. Equal definitions of several types are one."""
    documents: list[Document] = []
    declared: dict[str, Target] = {}
    signatures: dict[str, str] = {}
    for source in map(with_definitions, types):
        document = Document(source)
        documents.append(document)
        root = _root_name(source, types)
        for reference in _references(source.schema):
            schema = resolved(source.schema, reference)
            signature = _signature(source.schema, reference)
            for name in _candidates(root, reference, source.stream):
                if signatures.setdefault(name, signature) == signature:
                    break
            target = Target(name, schema, document, category_of(schema))
            document.targets[reference] = declared.setdefault(name, target)
    for document in documents:
        for part in schemas_in(document.source.schema):
            _note_tags(part, document)
    return documents, declared


def category_of(schema: Mapping[str, Any]) -> Category:
    """Return what a schema becomes if it has a name."""
    if is_class(schema):
        return "class"
    values = schema.get("enum", ())
    kinds = {*map(type, values)}
    if kinds == {str} or (kinds == {int} and all(value in INTEGERS for value in values)):
        return "enum"
    return "open enum" if open_values(schema) is not None else "alias"


def is_made_of_itself(alias: Target) -> bool:
    """Tell if an alias leads back to itself, by other aliases if need be, without a class between them."""
    seen: set[str] = set()
    waiting = [alias]
    while waiting:
        target = waiting.pop()
        schema = {word: value for word, value in target.schema.items() if word != "$defs"}
        for reference in references_in(schema):
            other = target.document.targets[reference]
            if other.name == alias.name:
                return True
            if other.category == "alias" and other.name not in seen:
                seen.add(other.name)
                waiting.append(other)
    return False


def resolved(whole: Schema, reference: str) -> Schema:
    """Return the schema that a reference means; {} if it is a boolean."""
    schema = References(whole).target({"$ref": reference})
    return dict(schema) if isinstance(schema, dict) else {}


def tag_of(targets: Sequence[Target]) -> str:
    """Return the member by which classes of a union are told apart: required, with another constant in each."""
    first = targets[0].schema
    for name in sorted(first.get("properties", ())):
        values = [constant_of(target.schema, name) for target in targets]
        is_distinct = None not in values and len({*values}) == len(values)
        if is_distinct and len({*map(type, values)}) == 1:
            return str(name)
    return ""


def _note_tags(part: Schema, document: Document) -> None:
    """Note for the classes of a union by which member they are told apart."""
    classes = [
        target
        for branch in part.get("anyOf") or part.get("oneOf") or ()
        if isinstance(branch, dict)
        and (target := document.targets.get(branch.get("$ref", ""))) is not None
        and target.category == "class"
    ]
    tag = tag_of(classes) if len(classes) > 1 else ""
    if all(target.tag_member in ("", tag) for target in classes):
        for target in classes:
            target.tag_member = tag or target.tag_member


def _references(whole: Schema) -> list[str]:
    return [_ROOT, *sorted(references_in(whole) - {_ROOT})]


def _root_name(source: TypeSchema, types: Sequence[TypeSchema]) -> str:
    """Return the name of a type's class, with its stream's before it where another stream has one of that name."""
    name = class_name(source.type)
    is_shared = sum(class_name(other.type) == name for other in types) > 1
    return class_name(f"{source.stream} {source.type}") if is_shared else name


def _candidates(root: str, reference: str, stream: str) -> Iterator[str]:
    """Yield names for what a reference points to, until one is free."""
    own = root if reference == _ROOT else class_name(unquote(reference).rpartition("/")[2])
    yield own
    prefixed = own if reference == _ROOT else f"{root}{own}"
    yield prefixed
    number = 2
    while True:
        yield f"{prefixed}{number}"
        number += 1


def _signature(whole: Schema, reference: str) -> str:
    """Return a text that is equal for equal definitions, with all to which they refer."""
    reached: dict[str, Schema] = {}
    waiting = [reference]
    while waiting:
        current = waiting.pop()
        if current not in reached:
            part = reached[current] = resolved(whole, current)
            part.pop("$schema", None)
            definitions = part.pop("$defs", None)
            waiting += references_in(part)
            if definitions is not None and current != _ROOT:
                part["$defs"] = definitions
    return dumps([reference == _ROOT, reference, reached], sort_keys=True)
