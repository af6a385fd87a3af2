"""Unions of a reader: which branches cannot match values of a piece, and how a piece is split over several branches."""

from collections import Counter
from collections.abc import Hashable
from typing import Any, Final

from eventfabric.contracts.difference import Work
from eventfabric.contracts.members import Members
from eventfabric.contracts.nodes import Node, is_silent
from eventfabric.contracts.places import Piece, Pieces
from eventfabric.contracts.values import FRACTION, INTEGER, OBJECT, STRING

_PARTS_MAX: Final = 100


class UnionSplitter:
    """Tells branches of a reader's unions apart for pieces of a writer."""

    def __init__(self, pieces: Pieces, members: Members, work: Work) -> None:
        self._pieces = pieces
        self._members = members
        self._work = work

    def is_disjoint(self, branch: Node | bool, piece: Piece) -> bool:
        """Return if no value of a piece is accepted by a branch."""
        if isinstance(branch, bool):
            return not branch
        facts = branch.facts
        self._work.spend(1 + len(facts.tags) // 2)
        if piece.kind not in facts.kinds:
            return True
        values = piece.ranges.values
        if values is not None and facts.values is not None and not facts.values & values.keys():
            return True
        if piece.kind != OBJECT:
            return False
        for name, keys in facts.tags.items():
            if name in piece.required:
                own = self._members.values(piece, name)
                if own is not None and not keys & own.keys():
                    return True
        return any(self._members.member(piece, name).place is None for name in facts.required)

    def are_listed(self, piece: Piece, branches: list[Node | bool], *, is_single: bool) -> bool | None:
        """Return if branches that are mere lists of constants accept a piece; None if they are not, or it has no list.

        `is_single`: each value has to be in one list only.
        """
        values = piece.ranges.values
        lists = [branch.listed for branch in branches if isinstance(branch, Node) and _is_list(branch)]
        if values is None or len(lists) < len(branches):
            return None
        counts = Counter(key for own in lists if own is not None for key in own)
        self._work.spend(len(counts) // 10 + len(values) // 10)
        return all(counts[key] == 1 or (counts[key] > 1 and not is_single) for key in values)

    def is_beyond(self, piece: Piece, branches: list[Node | bool]) -> bool:
        """Return if a piece surely has values for which no branch has a constant."""
        facts = [branch.facts for branch in branches if isinstance(branch, Node)]
        if len(facts) < len(branches):
            return False
        if all(own.values is not None for own in facts):
            return not facts or _is_endless(piece)
        names = [name for name in piece.required if all(name in own.tags for own in facts)]
        return any(self._is_member_endless(piece, name) for name in names)

    def _is_member_endless(self, piece: Piece, name: str) -> bool:
        spot = self._members.member(piece, name)
        return any(own.is_exact and _is_endless(own) for own in self._members.possible_pieces(spot))

    def parts(self, piece: Piece, branches: list[Node | bool]) -> list[Piece]:
        """Return parts that make up a piece, each of fewer values; none if it cannot be split by its values."""
        if not branches:
            return []
        values = piece.ranges.values
        if values is not None:
            return self._split(piece, values, None)
        if piece.kind != OBJECT:
            return []
        tags = [branch.facts.tags for branch in branches if isinstance(branch, Node)]
        for name in sorted(piece.required):
            if sum(name in own for own in tags) > 1:
                member_values = self._members.values(piece, name)
                parts = self._split(piece, member_values or {}, name)
                if parts:
                    return parts
        return []

    def _split(self, piece: Piece, values: dict[Hashable, Any], member: str | None) -> list[Piece]:
        if not 1 < len(values) <= _PARTS_MAX:
            return []
        self._work.spend(len(values))
        nodes = [self._pieces.constant(key, value, member) for key, value in values.items()]
        parts = [self._pieces.narrowed(piece, node) for node in nodes]
        return [part for part in parts if self._members.is_possible(part)]


def _is_endless(piece: Piece) -> bool:
    """Return if a piece has more values than anybody lists."""
    return (
        piece.kind in (INTEGER, FRACTION, STRING)
        and piece.ranges.values is None
        and not piece.has("pattern", "multipleOf")
    )


def _is_list(node: Node) -> bool:
    """Return if a schema is a list of constants, and nothing more."""
    return node.listed is not None and all(
        keyword in ("const", "enum") or is_silent(keyword) for keyword in node.schema
    )
