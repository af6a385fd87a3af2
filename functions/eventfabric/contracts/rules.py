"""Rules: each keyword of a reader's schema against the values of one piece."""

from collections.abc import Callable, Hashable
from fractions import Fraction
from typing import Any, Final

from eventfabric.contracts.difference import Work
from eventfabric.contracts.members import Members
from eventfabric.contracts.nodes import Likeness, Node
from eventfabric.contracts.object_rules import ObjectRules
from eventfabric.contracts.places import Piece
from eventfabric.contracts.ranges import Interval, interval_of
from eventfabric.contracts.reasons import NodeFinding
from eventfabric.contracts.values import (
    ARRAY,
    FRACTION,
    INTEGER,
    OBJECT,
    STRING,
    key_of,
    kind_of,
    kinds_of_type,
)

_BOUNDS: Final = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_RESTRICTING: Final = {
    ARRAY: ("contains", "unevaluatedItems"),
    OBJECT: ("propertyNames", "minProperties", "maxProperties", "dependentRequired"),
    STRING: ("pattern",),
}
"""Keywords of a writer that leave out values of a kind in ways that pieces do not say."""


class Rules:
    """Holds the keywords of a reader's schema against pieces; those that apply in place are left to others."""

    def __init__(self, members: Members, likeness: Likeness, work: Work, *, trusts_likeness: bool) -> None:
        self._members = members
        self._likeness = likeness
        self._work = work
        self._trusts_likeness = trusts_likeness
        self._objects = ObjectRules(members, likeness, work, trusts_likeness=trusts_likeness)
        self._by_kind: dict[str, Callable[[NodeFinding], None]] = {
            INTEGER: self._numbers,
            FRACTION: self._numbers,
            STRING: self._strings,
            ARRAY: self._arrays,
            OBJECT: self._objects.apply,
        }

    def apply(self, finding: NodeFinding) -> None:
        """Add what a schema itself refuses, and what has to be looked at inside members and items."""
        schema, piece = finding.node.schema, finding.piece
        self._work.spend(len(schema))
        finding.is_plain = piece.is_exact and not piece.has(*_RESTRICTING.get(piece.kind, ()))
        if piece.kind not in kinds_of_type(schema.get("type")):
            finding.add("type")
            return
        listed = finding.node.listed
        if listed is not None:
            self._constants(finding, listed)
        if piece.kind in self._by_kind:
            self._by_kind[piece.kind](finding)
        self._others(finding)

    def is_shared(self, node: Node, piece: Piece, *keywords: str) -> bool:
        """Return if a schema of the writer that holds has equal values for some keywords."""
        if not self._trusts_likeness and keywords[0] in ("anyOf", "oneOf", "if"):
            return False
        return any(
            keywords[0] in own.schema and self._likeness.share(node, own, keywords) for own in piece.nodes
        )

    def _constants(self, finding: NodeFinding, listed: dict[Hashable, Any]) -> None:
        keyword = "const" if "const" in finding.node.schema else "enum"
        values = finding.piece.ranges.values
        self._work.spend(len(listed) // 10)
        if values is None:
            kinds = {kind_of(value) for value in listed.values()}
            is_open = finding.piece.kind in (ARRAY, OBJECT) and finding.piece.kind in kinds
            finding.add(keyword, is_undecided=is_open)
        elif not values.keys() <= listed.keys():
            finding.add(keyword)

    def _numbers(self, finding: NodeFinding) -> None:
        schema, piece = finding.node.schema, finding.piece
        keywords = [keyword for keyword in _BOUNDS if keyword in schema]
        if keywords:
            values = piece.ranges.values
            interval = piece.ranges.interval
            for keyword in keywords:
                allowed = interval_of({keyword: schema[keyword]})
                if values is not None:
                    points = [Interval(Fraction(value), Fraction(value)) for value in values.values()]
                    is_inside = all(point.is_inside(allowed) for point in points)
                else:
                    is_inside = interval.is_inside(allowed)
                if not is_inside:
                    finding.add(keyword, is_undecided=len(piece.ranges.steps) > 1)
        if "multipleOf" in schema:
            answer = piece.ranges.are_multiples(Fraction(schema["multipleOf"]))
            if not answer:
                finding.add("multipleOf", is_undecided=answer is None)

    def _strings(self, finding: NodeFinding) -> None:
        schema, piece = finding.node.schema, finding.piece
        if "minLength" in schema or "maxLength" in schema:
            least, most = piece.ranges.sizes("minLength", "maxLength")
            values = piece.ranges.values
            if values is not None:
                lengths = [len(value) for value in values.values()]
                least, most = min(lengths, default=0), max(lengths, default=0)
            _check_sizes(finding, "minLength", "maxLength", least, most)
        if "pattern" in schema and not self.is_shared(finding.node, piece, "pattern"):
            finding.add("pattern", is_undecided=True)

    def _arrays(self, finding: NodeFinding) -> None:
        schema, piece = finding.node.schema, finding.piece
        least, most = self._members.item_sizes(piece)
        _check_sizes(finding, "minItems", "maxItems", least, most)
        if schema.get("uniqueItems") and not _has_unique_items(piece, most):
            finding.add("uniqueItems")
        self._items(finding, most)
        if _has_contains(schema) and not self.is_shared(
            finding.node, piece, "contains", "minContains", "maxContains"
        ):
            finding.add("contains", is_undecided=True)
        if schema.get("unevaluatedItems", True) not in (True, {}):
            finding.add("unevaluatedItems", is_undecided=True)

    def _items(self, finding: NodeFinding, most: int | None) -> None:
        """Hold items against the schemas of a reader: `most` of them at most."""
        schema, piece = finding.node.schema, finding.piece
        prefix = len(schema.get("prefixItems", ()))
        listed = max(prefix, self._members.listed_items(piece)) if "items" in schema else prefix - 1
        for index in range(listed + 1):
            if most is not None and index >= most:
                return
            spot = self._members.item(piece, index)
            if index < prefix:
                finding.descend(self._members, spot, "prefixItems", str(index))
            else:
                finding.descend(self._members, spot, "items")

    def _others(self, finding: NodeFinding) -> None:
        """Add the keywords that are only decided if the writer has equal ones."""
        schema, piece = finding.node.schema, finding.piece
        if "not" in schema and not self.is_shared(finding.node, piece, "not"):
            finding.add("not", is_undecided=True)
        has_condition = "if" in schema and ("then" in schema or "else" in schema)
        if has_condition and not self.is_shared(finding.node, piece, "if", "then", "else"):
            finding.add("if", is_undecided=True)


def _check_sizes(
    finding: NodeFinding, least_keyword: str, most_keyword: str, least: int, most: int | None
) -> None:
    schema = finding.node.schema
    if least_keyword in schema and least < schema[least_keyword]:
        finding.add(least_keyword)
    if most_keyword in schema and (most is None or most > schema[most_keyword]):
        finding.add(most_keyword)


def _has_contains(schema: dict[str, Any]) -> bool:
    """Return if a list is refused for what it does not contain, or contains too often."""
    return "contains" in schema and (schema.get("minContains") != 0 or "maxContains" in schema)


def _has_unique_items(piece: Piece, most: int | None) -> bool:
    """Return if no list of a piece has two equal items."""
    if (most is not None and most < 2) or any(node.schema.get("uniqueItems") for node in piece.nodes):
        return True
    lists = piece.ranges.values
    return lists is not None and all(
        len({key_of(item) for item in items}) == len(items) for items in lists.values()
    )
