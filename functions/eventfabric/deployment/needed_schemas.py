"""Schemas that a definition needs beside it: of streams that require them, and for events that are validated."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from eventfabric.contracts import SCHEMAS_FOLDER
from eventfabric.definition.schema import Definition
from eventfabric.errors import DefinitionError, Problem

_ALLOWED: Final = (
    f"only with schemas of types of stream {{}}, in the folder {SCHEMAS_FOLDER} beside the definition"
)


def check_schemas(definition: Definition, schemas: Collection[str], *, where: str) -> None:
    """Raise DefinitionError for streams that require schemas, and subscriptions that validate events, without any.

    `schemas`: streams whose types have some.
    """
    problems = [
        Problem(f"streams.{name}.schemas", '"required", and no schema', _ALLOWED.format(name))
        for name, stream in definition.streams.items()
        if stream.schemas == "required" and name not in schemas
    ]
    problems += [
        Problem(f"subscriptions.{name}.validate", "true, and no schema", _ALLOWED.format(own.stream))
        for name, own in definition.subscriptions.items()
        if own.validate and own.stream not in schemas
    ]
    if problems:
        raise DefinitionError(problems, where=where)


def types_without_schemas(definition: Definition, schemas: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Say which types that a definition names nobody can publish, since their stream requires schemas.

    `schemas`: types that have one, by stream.
    """
    for name, stream in definition.streams.items():
        if stream.schemas != "required":
            continue
        named = set(stream.types)
        for own in definition.subscriptions.values():
            if own.stream == name:
                named.update(own.types or ())
        lacking = sorted(named - set(schemas.get(name, ())))
        if lacking:
            yield (
                f'stream {name} has schemas = "required", so nobody can publish what has none: {", ".join(lacking)}'
            )
