"""Comparison of one reader's schema with one writer's: the list of pairs that wait, and unions that are tried."""

from dataclasses import dataclass
from typing import Final

from eventfabric.contracts.difference import SchemaDifference, TooMuchWorkError, Work
from eventfabric.contracts.members import Members
from eventfabric.contracts.nodes import Likeness, Node
from eventfabric.contracts.places import Piece, Pieces
from eventfabric.contracts.reasons import NodeFinding, no_branch, refused_altogether
from eventfabric.contracts.rules import Rules
from eventfabric.contracts.unions import UnionSplitter

_UNION_DEPTH_MAX: Final = 60


@dataclass(frozen=True)
class Pair:
    """A reader's schema, and values that it has to accept. `path` is that of a boolean schema, which is no node."""

    node: Node | bool
    piece: Piece
    path: tuple[str, ...] = ()


class SchemaComparison:
    """Compares two schemas. Every pair that was seen is taken to fit, until something is found that does not."""

    def __init__(self, pieces: Pieces, work: Work, *, trusts_likeness: bool) -> None:
        self.work = work
        self.likeness = Likeness(work)
        self.members = Members(pieces, work)
        self._trusts_likeness = trusts_likeness
        self._rules = Rules(self.members, self.likeness, work, trusts_likeness=trusts_likeness)
        self._splitter = UnionSplitter(pieces, self.members, work)
        self._seen: list[set[tuple[Node, Piece]]] = [set()]
        self._misfits: set[tuple[Node, Piece]] = set()

    def run(self, waiting: list[Pair], known: list[SchemaDifference], *, is_trial: bool = False) -> None:
        """Add the differences of all pairs that wait. A trial ends at the first."""
        waiting.reverse()
        while waiting and not (is_trial and known):
            pair = waiting.pop()
            self.work.spend(1)
            node = pair.node.resolved() if isinstance(pair.node, Node) else pair.node
            if node is True:
                continue
            if node is False:
                known.append(refused_altogether(pair.path, is_undecided=not pair.piece.is_exact))
                continue
            key = node, pair.piece
            if any(key in seen for seen in self._seen):
                continue
            self._seen[-1].add(key)
            self._look(node, pair.piece, waiting, known)

    def _look(self, node: Node, piece: Piece, waiting: list[Pair], known: list[SchemaDifference]) -> None:
        """Hold all keywords of a schema against a piece."""
        if self._trusts_likeness and self._is_among(node, piece):
            return
        finding = NodeFinding(node, piece)
        self._rules.apply(finding)
        known += finding.differences
        following = [Pair(inner, other, path) for inner, other, path in finding.following]
        if not finding.differences:
            target = node.target()
            for inner in ([] if target is None else [target]) + node.schemas_in("allOf"):
                following.append(Pair(inner, piece, node.path))
            for keyword in ("anyOf", "oneOf"):
                if keyword not in node.schema or self._rules.is_shared(node, piece, keyword):
                    continue
                is_single = keyword == "oneOf"
                is_listed = self._splitter.are_listed(piece, node.schemas_in(keyword), is_single=is_single)
                if is_listed is None:
                    self._union(node, piece, keyword, following, known)
                elif not is_listed:
                    known.append(no_branch(node.path, keyword, is_undecided=not piece.is_exact))
        waiting += reversed(following)

    def _is_among(self, node: Node, piece: Piece) -> bool:
        """Return if a schema holds in a piece by itself, since the writer has an equal one."""
        return any(self.likeness.are_alike(node, own) for own in piece.nodes)

    def _union(
        self, node: Node, piece: Piece, keyword: str, following: list[Pair], known: list[SchemaDifference]
    ) -> None:
        """Find a branch that accepts a piece, whole or in parts; otherwise add what stands in the way."""
        candidates = self._candidates(node, piece, keyword)
        branches = [branch for branch, _ in candidates]
        is_alone = keyword == "anyOf" or len(branches) == 1
        fitting = self._fitting(branches, piece, 1 if is_alone else 2)
        if fitting and is_alone:
            return
        if len(branches) == 1:
            following.append(Pair(branches[0], piece, candidates[0][1]))
            return
        parts = [] if fitting > 1 else self._splitter.parts(piece, branches)
        following += [Pair(node, part) for part in parts]
        if not parts:
            is_known = piece.is_exact and (fitting > 1 or self._splitter.is_beyond(piece, branches))
            known.append(no_branch(node.path, keyword, is_undecided=not is_known, is_overlap=fitting > 0))

    def _candidates(
        self, node: Node, piece: Piece, keyword: str
    ) -> list[tuple[Node | bool, tuple[str, ...]]]:
        """Return the branches that may accept a value of a piece, with their paths."""
        return [
            (branch, (*node.path, keyword, str(index)))
            for index, branch in enumerate(node.schemas_in(keyword))
            if not self._splitter.is_disjoint(branch, piece)
        ]

    def _fitting(self, branches: list[Node | bool], piece: Piece, enough: int) -> int:
        """Count the branches that accept a piece, until there are enough."""
        count = 0
        for branch in branches:
            count += self._fits(branch, piece)
            if count == enough:
                break
        return count

    def _fits(self, branch: Node | bool, piece: Piece) -> bool:
        """Try a branch. What it leads to is forgotten again if it does not fit."""
        if isinstance(branch, bool):
            return branch
        if (branch, piece) in self._misfits:
            return False
        if len(self._seen) > _UNION_DEPTH_MAX:
            raise TooMuchWorkError
        self._seen.append(set())
        known: list[SchemaDifference] = []
        self.run([Pair(branch, piece)], known, is_trial=True)
        seen = self._seen.pop()
        if known:
            self._misfits.add((branch, piece))
            return False
        self._seen[-1] |= seen
        return True
