"""Reading of the schema's annotations: the plain type of a value, and the marks that bound and describe it."""

from collections.abc import Sequence
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Literal, TypeAlias, Union, get_args, get_origin

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys and list positions that lead from the top of the file to a value; "[key]" at the end stands for a name."""


def marks_of(annotation: object) -> tuple[object, ...]:
    """Collect the metadata of an annotation, including that of the type beside None."""
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        return (*marks_of(inner), *marks)
    some = _unless_none(annotation)
    return () if some is annotation else marks_of(some)


def bare(annotation: object) -> object:
    """Strip an annotation of its metadata and of None."""
    if get_origin(annotation) is Annotated:
        return bare(get_args(annotation)[0])
    some = _unless_none(annotation)
    return annotation if some is annotation else bare(some)


def _unless_none(annotation: object) -> object:
    kinds = alternatives(annotation)
    return kinds[0] if len(kinds) == 1 else annotation


def alternatives(annotation: object) -> Sequence[object]:
    """List the annotations of a union, without None. Empty if it is none."""
    if get_origin(annotation) not in (UnionType, Union):
        return ()
    return [kind for kind in get_args(annotation) if kind is not NoneType]


def choices_of(kind: object) -> Sequence[object]:
    """List the values of a type that lists its values, as the file writes them. Empty for any other type."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [choice.value for choice in kind]
    return get_args(kind) if get_origin(kind) is Literal else ()
