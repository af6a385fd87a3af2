"""A payload class to the schema of its events. msgspec and pydantic make it; here it gets its normal form.

The schema says what the fabric *publishes* of such an object: names as they are encoded, decimals as numbers.
"""

from dataclasses import fields, is_dataclass
from typing import Any, Final

import msgspec
from msgspec.inspect import DataclassType, EnumType, NamedTupleType, StructType, TypedDictType

from eventfabric.contracts.open_enum import OpenEnum, opened
from eventfabric.errors import EventFabricError, HandlerError, MissingExtraError
from eventfabric.sdk.subscriber import load_named
from eventfabric.sdk.wants import is_msgspecs, types_in
from eventfabric.typed.docstrings import member_docstrings
from eventfabric.typed.normal import normal_form
from eventfabric.typed.walking import Schema, schemas_in

_ALLOWED: Final = "a class, or a union of classes, of which msgspec or pydantic can make a JSON Schema"
_WITH_MEMBERS: Final = (StructType, DataclassType, NamedTupleType, TypedDictType)


def load_class(path: str) -> Any:
    """Import the class or union that `package.module:Class` names. HandlerError."""
    return load_named(path, what="class", allowed="package.module:Class")


def schema_of(cls: Any) -> Schema:
    """Return the schema of what the fabric publishes of such objects, in its normal form.

    Raises:
        HandlerError: it is no type that can be a payload's.
        MissingExtraError: only pydantic describes it, and that is not installed.
    """
    try:
        made = _made_by_msgspec(cls) if is_msgspecs(cls) else _made_by_pydantic(cls)
    except EventFabricError:
        raise
    except Exception as error:  # annotations, defaults and a class's own hooks may do anything
        reason = str(error).partition("\n")[0]
        raise HandlerError(f"class {cls!r:.80}: {reason}, allowed: {_ALLOWED}") from error
    return normal_form(made, name=getattr(cls, "__name__", ""))


def member_names(cls: Any) -> frozenset[str]:
    """Return the names of all members that a type has in JSON; none if nobody can make a schema of it."""
    try:
        schema = schema_of(cls)
    except (HandlerError, MissingExtraError):
        return frozenset()
    return frozenset(name for part in schemas_in(schema) for name in part.get("properties", ()))


def _made_by_msgspec(cls: Any) -> Schema:
    infos = [info for info in types_in(cls) if isinstance(info, (*_WITH_MEMBERS, EnumType))]
    (whole, *references), definitions = msgspec.json.schema_components([cls, *(info.cls for info in infos)])
    for info, reference in zip(infos, references, strict=True):
        name = reference["$ref"].rpartition("/")[2]
        if isinstance(info, _WITH_MEMBERS):
            _complete_members(definitions[name], info)
        elif issubclass(info.cls, OpenEnum) and "enum" in definitions[name]:
            definitions[name] = opened(definitions[name])
    return {**whole, "$defs": definitions}


def _complete_members(definition: Schema, info: Any) -> None:
    """Add what msgspec leaves out: docstrings of members, and empty defaults of dataclasses."""
    cls = getattr(info.cls, "__origin__", info.cls)
    docstrings = member_docstrings(cls)
    factories = {field.name: field.default_factory for field in fields(cls)} if is_dataclass(cls) else {}
    for field in info.fields:
        member = definition.get("properties", {}).get(field.encode_name)
        if member is None:
            continue
        if field.name in docstrings:
            member.setdefault("description", docstrings[field.name])
        factory = factories.get(field.name)
        if factory is list or factory is dict:
            member["default"] = factory()


def _made_by_pydantic(cls: Any) -> Schema:
    try:
        from pydantic import TypeAdapter
        from pydantic.json_schema import GenerateJsonSchema
    except ImportError as error:
        raise MissingExtraError(f"a schema of {cls!r:.80}", "pydantic", extra="cli") from error

    class Untitled(GenerateJsonSchema):
        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    by_alias = bool(getattr(cls, "model_config", {}).get("serialize_by_alias", False))
    return TypeAdapter(cls).json_schema(mode="serialization", by_alias=by_alias, schema_generator=Untitled)
