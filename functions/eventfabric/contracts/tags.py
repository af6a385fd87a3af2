"""Tells branches of a union apart: by the kinds of values that they accept, or by other constants of a member."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from eventfabric.contracts.keywords import JsonSchema
from eventfabric.contracts.references import References
from eventfabric.contracts.values import KINDS, OBJECT, key_of, keys_of, kind_of, kinds_of_type

_SMALL_INTEGERS: Final = frozenset(key_of(number) for number in range(1_000))
_PAIRS_MAX: Final = 30
"""Most branches that are compared pair by pair; more have to share a tag."""


@dataclass(frozen=True)
class BranchFacts:
    """BranchFacts that hold for all values that a schema accepts.

    `values`: keys of all values that it may accept; None if it does not list them. `tags`: by the name of a member,
    keys of its values, in objects that have it.
    """

    kinds: frozenset[str] = frozenset(KINDS)
    required: frozenset[str] = frozenset()
    values: frozenset[Hashable] | None = None
    tags: dict[str, frozenset[Hashable]] = field(default_factory=dict)

    def both(self, other: "BranchFacts") -> "BranchFacts":
        """Return the facts of a value that two schemas accept."""
        tags = dict(self.tags)
        for name, keys in other.tags.items():
            tags[name] = tags[name] & keys if name in tags else keys
        values = self.values if other.values is None else other.values
        if self.values is not None and other.values is not None:
            values = self.values & other.values
        return BranchFacts(self.kinds & other.kinds, self.required | other.required, values, tags)

    def is_apart_from(
        self, other: "BranchFacts", *, required: frozenset[str] = frozenset(), kind: str | None = None
    ) -> bool:
        """Return if no value, or none of a kind, has both these facts and the others.

        `required`: members that it is known to have.
        """
        both = self.both(other)
        kinds = both.kinds if kind is None else both.kinds & {kind}
        if not kinds or (both.values is not None and not both.values):
            return True
        present = both.required | required
        return kinds == {OBJECT} and any(not keys and name in present for name, keys in both.tags.items())


NOTHING = BranchFacts(kinds=frozenset())


class Tags:
    """Finds the facts of the schemas of one document."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._known: dict[int, BranchFacts] = {}

    def facts(self, schema: JsonSchema) -> BranchFacts:
        """Return facts of a schema, its references and its `allOf`. It has no circle in place."""
        if isinstance(schema, bool):
            return BranchFacts() if schema else NOTHING
        facts = self._known.get(id(schema))
        if facts is None:
            facts = self._known[id(schema)] = self._facts(schema)
        return facts

    def are_apart(self, schemas: Sequence[JsonSchema], *, beside: JsonSchema = True) -> bool:
        """Return if no value is accepted by two of the schemas, and by the one beside them."""
        facts = [self.facts(schema).both(self.facts(beside)) for schema in schemas]
        if len(facts) > _PAIRS_MAX:
            return _share_a_tag(facts)
        return all(
            first.is_apart_from(second) for index, first in enumerate(facts) for second in facts[index + 1 :]
        )

    def _facts(self, schema: dict[str, Any]) -> BranchFacts:
        facts = _own_facts(schema, self._references)
        target = self._references.target(schema)
        if target is not None:
            facts = facts.both(self.facts(target))
        for part in schema.get("allOf", ()):
            facts = facts.both(self.facts(part))
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                kinds = frozenset[str]().union(*(self.facts(branch).kinds for branch in schema[keyword]))
                facts = facts.both(BranchFacts(kinds=kinds))
        return facts


def are_dispatched(facts: list[BranchFacts]) -> bool:
    """Return if a validator tries only the branch, of several, that has the constant of an object's member.

    It looks at the first member that most of the branches require and that has constants, which are strings or
    integers; and it looks only where there are three branches.
    """
    counts = Counter(name for branch in facts for name in branch.required)
    for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        tags = [branch.tags[name] for branch in facts if name in branch.tags]
        if count > 1 and len(tags) > 1:
            keys = [key for tag in tags for key in tag]
            is_shared = count == len(tags) == len(facts) > 2
            return is_shared and len(set(keys)) == len(keys) and all(map(_is_dispatched_by, keys))
    return False


def _is_dispatched_by(key: Hashable) -> bool:
    return isinstance(key, str) or key in _SMALL_INTEGERS


def _share_a_tag(facts: list[BranchFacts]) -> bool:
    """Return if a member, required in all of many branches, has other values in each."""
    for name in facts[0].tags:
        tags = [branch.tags.get(name) for branch in facts]
        if all(
            keys is not None and name in branch.required for keys, branch in zip(tags, facts, strict=True)
        ):
            known = [keys for keys in tags if keys is not None]
            if sum(map(len, known)) == len(frozenset[Hashable]().union(*known)):
                return all(branch.kinds <= {OBJECT} for branch in facts)
    return False


def _own_facts(schema: dict[str, Any], references: References) -> BranchFacts:
    kinds = kinds_of_type(schema.get("type"))
    listed = keys_of(schema)
    if listed is not None:
        kinds &= {kind_of(value) for value in listed.values()}
    tags = {}
    for name, member in schema.get("properties", {}).items():
        keys = _tag_keys(member, references)
        if keys is not None:
            tags[name] = keys
    return BranchFacts(
        kinds, frozenset(schema.get("required", ())), None if listed is None else frozenset(listed), tags
    )


def _tag_keys(member: JsonSchema, references: References) -> frozenset[Hashable] | None:
    """Return the keys of a member's values; None if its schema does not list them."""
    for _ in range(3):
        if isinstance(member, dict) and "$ref" in member and not ({"const", "enum"} & member.keys()):
            target = references.target(member)
            member = True if target is None else target
    if isinstance(member, bool):
        return None if member else frozenset()
    keys = keys_of(member)
    return None if keys is None else frozenset(keys)
