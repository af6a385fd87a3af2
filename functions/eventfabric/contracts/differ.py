"""Differ: decides if a reader's schema accepts all that producers publish by a writer's schema.

What producers publish is valid against the writer's schema and against its closed version. Where this cannot be
decided, the answer is a difference that says so: never silence.

    writer's schema ──▶ places ──▶ pieces: one kind of value, one branch of each union
                                      │  each against each keyword of
    reader's schema ──▶ nodes ────────┘

Pairs of a node and a piece wait in a list, and each is looked at once: circles of references end there.
"""

from typing import Any, Final

from eventfabric.contracts.closing import closed_suffices
from eventfabric.contracts.comparison import Pair, SchemaComparison
from eventfabric.contracts.difference import SchemaDifference, TooMuchWorkError, Work
from eventfabric.contracts.keywords import JsonSchema
from eventfabric.contracts.lint import schema_problems
from eventfabric.contracts.members import Spot
from eventfabric.contracts.nodes import Node, SchemaNodes
from eventfabric.contracts.places import ANYWHERE, Pieces

STEPS_MAX: Final = 60_000
"""Most steps of one comparison."""
DIFFERENCES_MAX: Final = 50
"""Most differences that are listed."""


def differences(reader: JsonSchema, writer: JsonSchema) -> list[SchemaDifference]:
    """Return why the reader's schema may refuse what producers publish by the writer's. Empty: it never does."""
    return compared(reader, writer)[0]


def compared(
    reader: JsonSchema, writer: JsonSchema, *, closes_writer: bool = True, steps_max: int = STEPS_MAX
) -> tuple[list[SchemaDifference], int]:
    """Return the differences, and the number of steps that they took.

    `closes_writer`: producers publish only members that the writer's schema names. Without it, the question is if all
    that one schema accepts is accepted by another.
    """
    for schema, is_writer in ((reader, False), (writer, True)):
        for problem in schema_problems(schema):
            remedy = "mend it, or accept the risk with a reason"
            rule = f"the schema could not be registered today ({problem.found})"
            return [
                SchemaDifference(problem.path, "", rule, remedy, is_undecided=True, is_in_writer=is_writer)
            ], 0
    work = Work(steps_max)
    known: list[SchemaDifference] = []
    try:
        _compare(reader, writer, work, known, closes_writer=closes_writer)
    except TooMuchWorkError:
        rule = "the schemas branch too much to be compared"
        known.append(SchemaDifference("", "", rule, "use fewer unions inside each other", is_undecided=True))
    return list(dict.fromkeys(known))[:DIFFERENCES_MAX], work.steps


def _compare(
    reader: JsonSchema, writer: JsonSchema, work: Work, known: list[SchemaDifference], *, closes_writer: bool
) -> None:
    reader, writer = _unshared(reader), _unshared(writer)
    readers, writers = SchemaNodes(reader), SchemaNodes(writer)
    if reader is True or writer is False:
        return
    comparison = SchemaComparison(
        Pieces(writers, work, closes=closes_writer),
        work,
        trusts_likeness=not closes_writer or closed_suffices(writer),
    )
    place = ANYWHERE
    if isinstance(writers.root, Node):
        place = frozenset([writers.root])
        if isinstance(readers.root, Node) and comparison.likeness.are_alike(readers.root, writers.root):
            return
    pieces = comparison.members.possible_pieces(Spot(place))
    comparison.run([Pair(readers.root, piece) for piece in pieces], known)


def _unshared(value: Any) -> Any:
    """Return a copy in which every schema is at one place only, whoever made it: nodes are known by that."""
    if isinstance(value, dict):
        return {name: _unshared(member) for name, member in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value
