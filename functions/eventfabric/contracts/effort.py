"""Bounds the effort of validating events by a schema, as it is and as it is closed for producers."""

from eventfabric.contracts.closing import closed_with_origins
from eventfabric.contracts.graph import SchemaGraph
from eventfabric.contracts.keywords import JsonSchema, pointer
from eventfabric.contracts.recursion import recursion_problems
from eventfabric.contracts.ways import WAYS_MAX, TooManyWays, too_many_ways
from eventfabric.errors import Problem


def effort_problems(root: JsonSchema) -> list[Problem]:
    """Return why validating an event may take too long. The schema passed the rest of the lint."""
    graph = SchemaGraph(root)
    problems = recursion_problems(graph)
    if problems:
        return problems
    excess = too_many_ways(graph)
    if excess is not None:
        return [_problem(graph.paths[id(excess.schema)], excess)]
    closed, origins = closed_with_origins(root)
    graph = SchemaGraph(closed)
    excess = too_many_ways(graph)
    if excess is None:
        return []
    path = graph.paths[id(excess.schema)]
    return [_problem((*origins.get(path[:2], path[:2]), *path[2:]), excess)]


def _problem(path: tuple[str, ...], excess: TooManyWays) -> Problem:
    ways = "more ways than are counted" if excess.ways is None else f"{excess.ways:,} ways"
    allowed = (
        f"at most {WAYS_MAX}: fewer unions and conditions in each other, each member in one part of an 'allOf', "
        "or unions whose branches a type, or a required 'const' in each of three or more, tells apart"
    )
    return Problem(pointer(path), f"{ways} in which a validator comes to a member or item below", allowed)
