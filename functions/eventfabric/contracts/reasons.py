"""Reasons: what is said of each keyword that may refuse a value, and what to do instead."""

from dataclasses import dataclass, field
from typing import Final

from eventfabric.contracts.difference import SchemaDifference
from eventfabric.contracts.keywords import pointer
from eventfabric.contracts.members import Members, Spot
from eventfabric.contracts.nodes import Node
from eventfabric.contracts.places import Piece

_LOOSER: Final = "keep the bound, or loosen it"
_IDENTICAL: Final = "keep it as it is, or accept the risk with a reason"
_REASONS: Final = {
    "type": (
        "producers may publish values of another type",
        "keep the type, or add a member of another name",
    ),
    "enum": (
        "producers may publish values that are not listed",
        "keep all values, or let readers take any string",
    ),
    "const": ("producers may publish another value", "keep the constant, or list the others too"),
    "required": ("producers may leave out a required member", "make it optional"),
    "additionalProperties": (
        "producers may publish members that are refused",
        "name them, or let others pass",
    ),
    "unevaluatedProperties": (
        "producers may publish members that are refused",
        "name them, or let others pass",
    ),
    "minimum": ("producers may publish smaller numbers", _LOOSER),
    "exclusiveMinimum": ("producers may publish smaller numbers", _LOOSER),
    "maximum": ("producers may publish larger numbers", _LOOSER),
    "exclusiveMaximum": ("producers may publish larger numbers", _LOOSER),
    "multipleOf": ("producers may publish numbers that are no multiples", _LOOSER),
    "minLength": ("producers may publish shorter strings", _LOOSER),
    "maxLength": ("producers may publish longer strings", _LOOSER),
    "minItems": ("producers may publish shorter lists", _LOOSER),
    "maxItems": ("producers may publish longer lists", _LOOSER),
    "uniqueItems": ("producers may publish lists with equal items", "let lists have equal items"),
    "pattern": ("producers follow another pattern, or none", _IDENTICAL),
    "contains": ("what a list has to contain is not the same", _IDENTICAL),
    "unevaluatedItems": ("items may be refused that no schema names", "say it with 'items'"),
    "not": ("what is excluded is not the same", _IDENTICAL),
    "if": ("the condition, or what follows from it, is not the same", _IDENTICAL),
    "minProperties": ("the number of members, or their names, are not the same", _IDENTICAL),
    "maxProperties": ("the number of members, or their names, are not the same", _IDENTICAL),
    "propertyNames": ("the rule for names, or the members beside it, are not the same", _IDENTICAL),
    "dependentRequired": ("what members require, or the members beside it, are not the same", _IDENTICAL),
    "dependentSchemas": ("what members require, or the members beside it, are not the same", _IDENTICAL),
}


def difference(
    path: tuple[str, ...], keyword: str, *, is_undecided: bool, name: str | None = None
) -> SchemaDifference:
    """Return the difference that a keyword makes. `name`: the member that it is about."""
    rule, remedy = _REASONS[keyword]
    if name is not None:
        rule = f"{rule}, '{name}'"
    return SchemaDifference(pointer((*path, keyword)), keyword, rule, remedy, is_undecided=is_undecided)


def refused_altogether(path: tuple[str, ...], *, is_undecided: bool) -> SchemaDifference:
    """Return the difference that a schema makes which accepts nothing."""
    rule = "producers may publish a value where none is accepted"
    remedy = "let producers' values pass, or name the member and give it a schema"
    return SchemaDifference(pointer(path), path[-1] if path else "", rule, remedy, is_undecided=is_undecided)


def no_branch(
    path: tuple[str, ...], keyword: str, *, is_undecided: bool, is_overlap: bool = False
) -> SchemaDifference:
    """Return the difference that a union makes."""
    rule = "producers may publish what no branch accepts"
    remedy = "keep a branch for it"
    if is_overlap:
        rule = "producers may publish what several branches accept, or nobody can tell"
        remedy = "tell branches apart by a required member with a 'const' of its own"
    elif is_undecided:
        rule = "it is open which branch accepts what producers publish"
        remedy = "tell branches apart by a required member with a 'const' of its own"
    return SchemaDifference(pointer((*path, keyword)), keyword, rule, remedy, is_undecided=is_undecided)


@dataclass
class NodeFinding:
    """Findings about one schema of a reader and one piece of the writer.

    `is_plain`: the piece says all about its values that its keywords do. `following`: schemas inside, and the pieces
    that they have to accept.
    """

    node: Node
    piece: Piece
    is_plain: bool = True
    differences: list[SchemaDifference] = field(default_factory=list)
    following: list[tuple[Node | bool, Piece, tuple[str, ...]]] = field(default_factory=list)

    def add(self, keyword: str, *, is_undecided: bool = False, name: str | None = None) -> None:
        """Add the difference that a keyword makes."""
        is_open = is_undecided or not self.is_plain
        self.differences.append(difference(self.node.path, keyword, is_undecided=is_open, name=name))

    def descend(self, members: Members, spot: Spot, *tokens: str, is_exact: bool = True) -> None:
        """Let a schema inside be held against what may be at a spot."""
        is_sure = is_exact and self.piece.is_exact
        inner = self.node.inside(*tokens)
        path = (*self.node.path, *tokens)
        for piece in members.possible_pieces(spot, is_exact=is_sure) if inner is not True else ():
            self.following.append((inner, piece, path))
