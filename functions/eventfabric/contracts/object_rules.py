"""Rules for objects: required members, and every member against all schemas that a reader applies to its name."""

from typing import Final

from eventfabric.contracts.difference import Work
from eventfabric.contracts.matching import matches
from eventfabric.contracts.members import Members, Spot, UnnamedMembers
from eventfabric.contracts.nodes import Likeness, Node
from eventfabric.contracts.reasons import NodeFinding

_WITH_NAMES: Final = (
    "minProperties",
    "maxProperties",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
)
"""Keywords whose meaning depends on which members there are."""


class ObjectRules:
    """Holds the keywords of a reader's schema about objects against pieces."""

    def __init__(self, members: Members, likeness: Likeness, work: Work, *, trusts_likeness: bool) -> None:
        self._members = members
        self._likeness = likeness
        self._work = work
        self._trusts_likeness = trusts_likeness

    def apply(self, finding: NodeFinding) -> None:
        """Add what a schema refuses of the objects of a piece."""
        schema, piece = finding.node.schema, finding.piece
        for name in schema.get("required", ()):
            if name not in piece.required:
                finding.add("required", name=name)
        for name in schema.get("properties", ()):
            finding.descend(self._members, self._members.member(piece, name), "properties", name)
        self._others(finding)
        for keyword in _WITH_NAMES:
            if keyword in schema and not self._is_equal(finding, keyword):
                finding.add(keyword, is_undecided=True)

    def _others(self, finding: NodeFinding) -> None:
        """Hold members against patterns, and against the rule for those that a schema does not name."""
        schema = finding.node.schema
        others = _rule_for_others(finding.node)
        if others is not None or "patternProperties" in schema:
            for name in sorted(self._members.names(finding.piece)):
                self._member(finding, name, others)
            for rest in self._members.rest(finding.piece):
                self._rest(finding, rest, others)
        if others is None and schema.get("unevaluatedProperties", True) not in (True, {}):
            finding.add("unevaluatedProperties", is_undecided=True)

    def _member(self, finding: NodeFinding, name: str, others: str | None) -> None:
        """Hold a member that the writer names against patterns, and against the rule for others."""
        schema = finding.node.schema
        spot = self._members.member(finding.piece, name)
        if spot.place is None:
            return
        is_named, is_sure = name in schema.get("properties", ()), True
        for pattern in schema.get("patternProperties", ()):
            is_match = matches(pattern, name, spend=self._work.spend)
            if is_match is not False:
                is_exact = is_match is True
                finding.descend(self._members, spot, "patternProperties", pattern, is_exact=is_exact)
            is_named = is_named or is_match is True
            is_sure = is_sure and is_match is not None
        if others is not None and not is_named:
            self._other(finding, spot, others, name=name, is_exact=is_sure)

    def _rest(self, finding: NodeFinding, rest: UnnamedMembers, others: str | None) -> None:
        """Hold members that the writer does not name against patterns, and against the rule for others."""
        if rest.spot.place is None:
            return
        patterns = finding.node.schema.get("patternProperties", ())
        own = {
            pattern for node in finding.piece.nodes for pattern in node.schema.get("patternProperties", ())
        }
        for pattern in patterns:
            is_exact = rest.pattern == pattern
            # Names that match a pattern which the writer has too are looked at as such.
            if is_exact or pattern not in own:
                finding.descend(self._members, rest.spot, "patternProperties", pattern, is_exact=is_exact)
        if others is not None and rest.pattern not in patterns:
            self._other(finding, rest.spot, others, name=None, is_exact=not patterns)

    def _other(
        self, finding: NodeFinding, spot: Spot, others: str, *, name: str | None, is_exact: bool
    ) -> None:
        if finding.node.inside(others) is not False:
            finding.descend(self._members, spot, others, is_exact=is_exact)
        elif self._members.is_spot_possible(spot):
            finding.add(others, name=name, is_undecided=not (is_exact and spot.is_exact))

    def _is_equal(self, finding: NodeFinding, keyword: str) -> bool:
        """Return if a schema of the writer that holds has the keyword too, beside members of equal names."""
        if keyword == "dependentSchemas" and not self._trusts_likeness:
            return False
        return any(
            keyword in own.schema
            and _own_names(own) == _own_names(finding.node)
            and self._likeness.share(finding.node, own, [keyword])
            for own in finding.piece.nodes
        )


def _rule_for_others(node: Node) -> str | None:
    """Return the keyword that is the rule for members that a schema does not name."""
    if "additionalProperties" in node.schema:
        return "additionalProperties"
    in_place = ("$ref", "allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas")
    if "unevaluatedProperties" in node.schema and not any(keyword in node.schema for keyword in in_place):
        return "unevaluatedProperties"
    return None


def _own_names(node: Node) -> tuple[set[str], set[str]]:
    return set(node.schema.get("properties", ())), set(node.schema.get("patternProperties", ()))
