"""Dialects: how classes and their members are written for msgspec, as dataclasses, and for pydantic."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from eventfabric.typed.layout import Either, Expression, Group, laid_out, literal, text_literal

_NOTHING: Final[Mapping[str, Any]] = {}
_ANNOTATIONS: Final = ("title", "description", "examples")


@dataclass(frozen=True, slots=True)
class ClassHead:
    """The facts of a class that its first line shows. `tag`: the value of `tag_member`, if it is in a union."""

    name: str
    is_closed: bool
    tag_member: str = ""
    tag: str | int | None = None


@dataclass(frozen=True, slots=True)
class MemberDefault:
    """A member that may be missing. `value`: the literal of its default; None: it has none, and is unset."""

    value: str | None
    makes_empty: str = ""
    """`list` or `dict`, if its default is an empty one."""
    admits_null: bool = False
    """True if null is one of its values, so that null does not mean that it is missing."""

    @property
    def is_unset(self) -> bool:
        """Tell if a member that is missing has no value."""
        return self.value is None and not self.makes_empty


class Dialect(ABC):
    """One kind of generated classes."""

    name: ClassVar[str]
    names_allowed: ClassVar[str] = ""
    """Names that members may have in JSON, for errors."""
    tags: ClassVar[bool] = True
    """Classes of one union may be told apart by a member."""
    completes: ClassVar[bool] = False
    """Classes that use later names have to be completed at the end."""
    preamble: ClassVar[str] = ""
    names: ClassVar[Mapping[str, str]]
    """Names that a class and its members use, with the modules from which they are imported."""

    @abstractmethod
    def head(self, head: ClassHead) -> str:
        """Return the lines that open a class."""

    @abstractmethod
    def optional(self, annotation: Expression, *, admits_null: bool) -> Expression:
        """Return the annotation of a member that may be missing and has no default."""

    @abstractmethod
    def value(self, encoded: str | None, default: MemberDefault | None) -> Expression | None:
        """Return what is assigned to a member; `encoded`: its name in JSON, where that is another."""

    def may_be_renamed(self, encoded: str) -> bool:
        """Tell if a member may have that name in JSON, and another in Python."""
        return True

    def holds_tag(self) -> bool:
        """Tell if the member that tells classes apart is declared as a member."""
        return True

    def constrained(
        self, annotation: Expression, keywords: Mapping[str, Any], *, unchecked: Mapping[str, Any] = _NOTHING
    ) -> Expression:
        """Return an annotation with keywords of JSON Schema. `unchecked`: those that are only kept for the schema."""
        if not keywords and not unchecked:
            return annotation
        return Group("Annotated[", (annotation, self._meta(keywords, unchecked)), "]")

    def tagged(self, annotation: Expression, member: str) -> Expression:
        """Return the annotation of a union whose classes are told apart by a member."""
        return annotation

    def _meta(self, keywords: Mapping[str, Any], unchecked: Mapping[str, Any]) -> Expression:
        """Return the metadata of an annotation for keywords of JSON Schema."""
        own = {**self._checked, **dict(zip(_ANNOTATIONS, _ANNOTATIONS, strict=True))}
        parts = [_assigned(own[word], literal(value)) for word, value in keywords.items() if word in own]
        extra = {**{word: value for word, value in keywords.items() if word not in own}, **unchecked}
        if extra:
            parts.append(_assigned(self._extra, literal(extra)))
        return Group(self._opening, tuple(parts), ")")

    _opening: ClassVar[str]
    _extra: ClassVar[str]
    _checked: ClassVar[Mapping[str, str]] = {
        "minimum": "ge",
        "exclusiveMinimum": "gt",
        "maximum": "le",
        "exclusiveMaximum": "lt",
        "multipleOf": "multiple_of",
        "minLength": "min_length",
        "maxLength": "max_length",
        "pattern": "pattern",
        "minItems": "min_length",
        "maxItems": "max_length",
        "minProperties": "min_length",
        "maxProperties": "max_length",
    }


class _DecodedByMsgspec(Dialect):
    _opening = "Meta("
    _extra = "extra_json_schema"

    def optional(self, annotation: Expression, *, admits_null: bool) -> Expression:
        parts = annotation.parts if isinstance(annotation, Either) else (annotation,)
        return Either((*parts, "UnsetType"))

    def value(self, encoded: str | None, default: MemberDefault | None) -> Expression | None:
        parts = [] if encoded is None else [f"name={text_literal(encoded)}"]
        if default is not None and default.makes_empty:
            return Group("field(", (*parts, f"default_factory={default.makes_empty}"), ")")
        value = None if default is None else default.value or "UNSET"
        if not parts:
            return value
        return Group("field(", (*parts, *([] if value is None else [f"default={value}"])), ")")


class MsgspecDialect(_DecodedByMsgspec):
    """Classes of msgspec, which are decoded fastest, and hold all that a schema says."""

    name = "msgspec"
    names_allowed = "no quotation marks, backslashes and control characters, or --kind pydantic"
    names: ClassVar = dict.fromkeys(("Meta", "Struct", "UNSET", "UnsetType", "field"), "msgspec")

    def may_be_renamed(self, encoded: str) -> bool:
        return all(character not in '"\\' and character >= " " for character in encoded)

    def holds_tag(self) -> bool:
        return False

    def head(self, head: ClassHead) -> str:
        parts = ["Struct", "frozen=True", "kw_only=True"]
        if head.tag is not None:
            member = [] if head.tag_member == "type" else [f"tag_field={text_literal(head.tag_member)}"]
            parts += [*member, f"tag={literal(head.tag)}"]
        if head.is_closed:
            parts.append("forbid_unknown_fields=True")
        return laid_out(f"class {head.name}", Group("(", tuple(parts), "):"))


class DataclassDialect(_DecodedByMsgspec):
    """Dataclasses, which are decoded by msgspec."""

    name = "dataclass"
    tags = False
    names_allowed = "identifiers that hide nothing, or --kind msgspec or --kind pydantic"
    names: ClassVar = {
        **dict.fromkeys(("Meta", "UNSET", "UnsetType"), "msgspec"),
        **dict.fromkeys(("dataclass", "field"), "dataclasses"),
    }

    def may_be_renamed(self, encoded: str) -> bool:
        return False

    def head(self, head: ClassHead) -> str:
        return f"@dataclass(frozen=True, kw_only=True)\nclass {head.name}:"


class PydanticDialect(Dialect):
    """Models of pydantic."""

    name = "pydantic"
    completes = True
    names: ClassVar = {
        **dict.fromkeys(("AwareDatetime", "BaseModel", "ConfigDict", "Field"), "pydantic"),
        "SkipJsonSchema": "pydantic.json_schema",
    }
    preamble = """class _Payload(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        populate_by_name=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )


def _is_unset(value: object) -> bool:
    return value is None


def _unset() -> None:
    return None
"""
    _opening = "Field("
    _extra = "json_schema_extra"

    def head(self, head: ClassHead) -> str:
        parts = ["_Payload", *(['extra="forbid"'] if head.is_closed else [])]
        return laid_out(f"class {head.name}", Group("(", tuple(parts), "):"))

    def optional(self, annotation: Expression, *, admits_null: bool) -> Expression:
        parts = annotation.parts if isinstance(annotation, Either) else (annotation,)
        return annotation if admits_null else Either((*parts, "SkipJsonSchema[None]"))

    def value(self, encoded: str | None, default: MemberDefault | None) -> Expression | None:
        parts = []
        if default is not None and default.is_unset:
            # The schema would show a default of null where null is a value.
            unset = "default_factory=_unset" if default.admits_null else "default=None"
            parts += [unset, "exclude_if=_is_unset"]
        elif default is not None:
            value = {"list": "[]", "dict": "{}"}.get(default.makes_empty) or str(default.value)
            if encoded is None:
                return value
            parts.append(f"default={value}")
        if encoded is not None:
            parts.append(f"alias={text_literal(encoded)}")
        return Group("Field(", tuple(parts), ")") if parts else None

    def tagged(self, annotation: Expression, member: str) -> Expression:
        field = Group("Field(", (f"discriminator={text_literal(member)}",), ")")
        return Group("Annotated[", (annotation, field), "]")


DIALECTS: Final[Mapping[str, Dialect]] = {
    dialect.name: dialect for dialect in (MsgspecDialect(), DataclassDialect(), PydanticDialect())
}


def _assigned(name: str, value: Expression) -> Expression:
    """Return `name=value` as an argument of a call."""
    if isinstance(value, Group):
        return Group(f"{name}={value.opening}", value.parts, value.closing)
    return f"{name}={value}"
