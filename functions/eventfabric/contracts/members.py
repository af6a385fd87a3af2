"""Members and items of a piece: which schemas apply there, and if there can be any value."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

from eventfabric.contracts.difference import Work
from eventfabric.contracts.matching import matches
from eventfabric.contracts.nodes import Node
from eventfabric.contracts.places import ANYWHERE, Piece, Pieces, Place, PlacePart
from eventfabric.contracts.values import ARRAY, FRACTION, INTEGER, OBJECT, STRING

_POSSIBLE_DEPTH_MAX: Final = 6


@dataclass(frozen=True)
class Spot:
    """A member or an item: its place, None if it cannot be there. Inexact: more may apply there than the place says."""

    place: Place | None
    is_exact: bool = True


NOWHERE: Final = Spot(None)


@dataclass(frozen=True)
class UnnamedMembers:
    """Members that no schema names: those whose names match a pattern of the writer, or none (`pattern` is None)."""

    pattern: str | None
    spot: Spot


class Members:
    """Finds what the members and items of pieces may be."""

    def __init__(self, pieces: Pieces, work: Work) -> None:
        self._pieces = pieces
        self._work = work
        self._spots: dict[tuple[Piece, str], Spot] = {}
        self._possible: dict[Piece, bool] = {}
        self._values: dict[tuple[Piece, str], dict[Hashable, Any] | None] = {}

    def names(self, piece: Piece) -> set[str]:
        """Return the names of all members that schemas of a piece name."""
        names = set(piece.required)
        for part in piece.parts:
            for node in (*part.nodes, *part.beside):
                names.update(node.schema.get("properties", ()))
        self._work.spend(1 + len(names) // 4)
        return names

    def member(self, piece: Piece, name: str) -> Spot:
        """Return what a member may be."""
        key = piece, name
        known = self._spots.get(key)
        if known is None:
            known = self._spots[key] = _both([self._in_part(part, name) for part in piece.parts])
        return known

    def rest(self, piece: Piece) -> list[UnnamedMembers]:
        """Return what members may be that no schema names."""
        patterns: dict[str, Node | None] = {}
        for part in piece.parts:
            for node in part.beside:
                for pattern in node.schema.get("patternProperties", ()):
                    patterns.setdefault(pattern, None)
            for node in part.nodes:
                patterns.update(dict.fromkeys(node.schema.get("patternProperties", ()), node))
        result = []
        for pattern, holder in patterns.items():
            self._work.spend(1)
            spot = Spot(ANYWHERE, is_exact=False)
            if holder is not None:
                spot = _spot([holder.inside("patternProperties", pattern)], is_exact=len(patterns) == 1)
            result.append(UnnamedMembers(pattern, spot))
        spots = [self._rest_of_part(part) for part in piece.parts]
        return [*result, UnnamedMembers(None, _both(spots))]

    def item(self, piece: Piece, index: int) -> Spot:
        """Return what the item at an index may be."""
        self._work.spend(len(piece.nodes))
        schemas: list[Node | bool] = []
        for node in piece.nodes:
            if index < len(node.schema.get("prefixItems", ())):
                schemas.append(node.inside("prefixItems", str(index)))
            elif "items" in node.schema:
                schemas.append(node.inside("items"))
        is_covered = not piece.has("contains", "unevaluatedItems")
        return _spot(schemas, is_exact=is_covered)

    def listed_items(self, piece: Piece) -> int:
        """Return the number of items that have schemas of their own."""
        return max((len(node.schema.get("prefixItems", ())) for node in piece.nodes), default=0)

    def item_sizes(self, piece: Piece) -> tuple[int, int | None]:
        """Return how many items an array has at least and at most; None if nothing bounds them."""
        least, most = piece.ranges.sizes("minItems", "maxItems")
        for index in range(self.listed_items(piece) + 1):
            if (most is None or index < most) and not self.is_spot_possible(self.item(piece, index)):
                most = index
        return least, most

    def values(self, piece: Piece, name: str) -> dict[Hashable, Any] | None:
        """Return all values of a member by their keys; None if they are not listed."""
        key = piece, name
        if key not in self._values:
            self._values[key] = self._member_values(piece, name)
        return self._values[key]

    def possible_pieces(self, spot: Spot, *, is_exact: bool = True) -> list[Piece]:
        """Return the pieces at a spot that hold a value, as far as is known. Lists of constants are taken apart."""
        if spot.place is None:
            return []
        result: list[Piece] = []
        for piece in self._pieces.of(spot.place, is_exact=spot.is_exact and is_exact):
            values = piece.ranges.values if piece.kind in (ARRAY, OBJECT) else None
            if values is None:
                result.append(piece)
            else:
                self._work.spend(len(values))
                constants = [self._pieces.constant(key, value) for key, value in values.items()]
                result += [self._pieces.narrowed(piece, node) for node in constants]
        return [piece for piece in result if self.is_possible(piece)]

    def is_spot_possible(self, spot: Spot, depth: int = 0) -> bool:
        """Return if there can be a value at a spot. True if it is not known."""
        if spot.place is None:
            return False
        if not spot.place or depth > _POSSIBLE_DEPTH_MAX:
            return True
        return any(self.is_possible(piece, depth) for piece in self._pieces.of(spot.place))

    def is_possible(self, piece: Piece, depth: int = 0) -> bool:
        """Return if a piece holds a value. True if it is not known."""
        known = self._possible.get(piece)
        if known is None:
            self._work.spend(1)
            self._possible[piece] = True
            known = self._possible[piece] = self._is_possible(piece, depth)
        return known

    def _is_possible(self, piece: Piece, depth: int) -> bool:
        values = piece.ranges.values
        if values is not None and not values:
            return False
        if piece.kind == OBJECT:
            spots = [self.member(piece, name) for name in sorted(piece.required)]
            return all(self.is_spot_possible(spot, depth + 1) for spot in spots)
        if piece.kind == FRACTION and any(step.denominator == 1 for step in piece.ranges.steps):
            return False
        if piece.kind in (INTEGER, FRACTION):
            return not piece.ranges.interval.is_empty
        least, most = self._sizes(piece)
        return most is None or least <= most

    def _sizes(self, piece: Piece) -> tuple[int, int | None]:
        """Return the smallest and largest size of arrays and strings; others have any."""
        if piece.kind == ARRAY:
            return self.item_sizes(piece)
        return piece.ranges.sizes("minLength", "maxLength") if piece.kind == STRING else (0, None)

    def _member_values(self, piece: Piece, name: str) -> dict[Hashable, Any] | None:
        place = self.member(piece, name).place
        values: dict[Hashable, Any] = {}
        if not place:
            return values if place is None else None
        for inner in self._pieces.of(place):
            own = inner.ranges.values
            if own is None:
                return None
            values |= own
        return values

    def _in_part(self, part: PlacePart, name: str) -> Spot:
        self._work.spend(1)
        schemas: list[Node | bool] = []
        is_exact, is_named = True, False
        for node in part.nodes:
            named = self.applied(node, name)
            if named is not None:
                is_named = True
                schemas += named[0]
                is_exact = is_exact and named[1]
        if is_named:
            return _spot(schemas, is_exact=is_exact)
        return self._beside(part, name)

    def _beside(self, part: PlacePart, name: str) -> Spot:
        """Return what a member may be that no schema names which holds in any case."""
        if any(_names_others(node) for node in part.beside):
            return Spot(ANYWHERE, is_exact=False)
        naming = {node: named for node in part.beside if (named := self.applied(node, name)) is not None}
        beside = list(naming.values())
        beside = [named for named in beside if False not in named[0]]
        unnamed = _unnamed(part)
        if not beside:
            return unnamed
        is_condition = not self._pieces.conditions.isdisjoint(naming)
        if unnamed.place is None and len(beside) == 1 and not is_condition:
            return _spot(beside[0][0], is_exact=False)
        return Spot(ANYWHERE, is_exact=False)

    def _rest_of_part(self, part: PlacePart) -> Spot:
        """Return what members are that no schema of a part names, and none of its patterns matches."""
        schemas = [
            node.inside("additionalProperties")
            for node in part.nodes
            if "additionalProperties" in node.schema
        ]
        if schemas:
            return _spot(schemas)
        if any(_names_others(node) for node in part.beside):
            return Spot(ANYWHERE, is_exact=False)
        return _unnamed(part)

    def applied(self, node: Node, name: str) -> tuple[list[Node | bool], bool] | None:
        """Return the schemas that a schema applies to a member, and if they are all; None if it applies none."""
        schemas: list[Node | bool] = []
        is_exact = True
        if name in node.schema.get("properties", ()):
            schemas.append(node.inside("properties", name))
        for pattern in node.schema.get("patternProperties", ()):
            is_match = matches(pattern, name, spend=self._work.spend)
            if is_match:
                schemas.append(node.inside("patternProperties", pattern))
            is_exact = is_exact and is_match is not None
        if not schemas and is_exact and "additionalProperties" in node.schema:
            schemas.append(node.inside("additionalProperties"))
        return (schemas, is_exact) if schemas or not is_exact else None


def _names_others(node: Node) -> bool:
    """Return if a schema may name members of any name."""
    keywords = ("additionalProperties", "unevaluatedProperties")
    return any(node.schema.get(keyword, False) is not False for keyword in keywords)


def _unnamed(part: PlacePart) -> Spot:
    """Return what a member of a part may be that none of its schemas names."""
    holders = [node for node in part.nodes if "unevaluatedProperties" in node.schema]
    rules = [node.inside("unevaluatedProperties") for node in holders]
    if len(rules) > 1 and not all(rule is False for rule in rules):
        # A rule further out does not hold where one further in has named the member.
        return Spot(ANYWHERE, is_exact=False)
    if rules:
        return _spot(rules)
    return NOWHERE if part.is_closed else Spot(ANYWHERE)


def _spot(schemas: list[Node | bool], *, is_exact: bool = True) -> Spot:
    resolved = [schema.resolved() if isinstance(schema, Node) else schema for schema in schemas]
    if any(schema is False for schema in resolved):
        return NOWHERE
    return Spot(frozenset(schema for schema in resolved if isinstance(schema, Node)), is_exact)


def _both(spots: list[Spot]) -> Spot:
    place = ANYWHERE
    for spot in spots:
        if spot.place is None:
            return NOWHERE
        place |= spot.place
    return Spot(place, all(spot.is_exact for spot in spots))
