"""Schemas that apply in place, to the same value as the schema that holds them: no circle, and a bounded depth."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from eventfabric.contracts.keywords import IN_PLACE, JsonSchema, pointer, subschemas
from eventfabric.contracts.references import References
from eventfabric.errors import Problem

IN_PLACE_DEPTH_MAX: Final = 50
"""Longest chain of schemas that apply to the same value, references included."""
IN_PLACE_SCHEMAS_MAX: Final = 1_000
"""Most schemas that apply to the same value: each is tried for each value, as often as it is referred to."""

_Path = tuple[str, ...]


def in_place_problems(root: JsonSchema) -> list[Problem]:
    """Return circles of schemas that apply in place, which no value gets through, and chains that are too long."""
    references = References(root)
    known: dict[int, _Reach] = {}
    problems: list[Problem] = []
    waiting: list[tuple[_Path, JsonSchema]] = [((), root)]
    while waiting and not problems:
        path, schema = waiting.pop()
        if isinstance(schema, dict):
            _measure(path, schema, references, known, problems)
            waiting += [((*path, *inner), value) for inner, value in subschemas(schema)]
    return problems


def in_place(
    path: _Path, schema: dict[str, Any], references: References
) -> Iterator[tuple[_Path, JsonSchema]]:
    """Yield the schemas that apply in place beside a schema, with their paths."""
    target = references.path(schema["$ref"]) if isinstance(schema.get("$ref"), str) else None
    referred = references.schema(target) if target is not None else None
    if target is not None and referred is not None:
        yield target, referred
    for inner, value in subschemas(schema):
        if inner[0] in IN_PLACE:
            yield (*path, *inner), value


@dataclass
class _Reach:
    """All that applies in place beneath a schema: the longest chain, and the number of schemas on all chains."""

    depth: int = 1
    count: int = 1

    def add(self, below: "_Reach") -> None:
        self.depth = max(self.depth, below.depth + 1)
        self.count += below.count

    @property
    def problem(self) -> tuple[str, str] | None:
        if self.depth > IN_PLACE_DEPTH_MAX:
            state = f"more than {IN_PLACE_DEPTH_MAX} schemas in a chain that apply to the same value"
            return state, "fewer references to references"
        if self.count > IN_PLACE_SCHEMAS_MAX:
            state = f"more than {IN_PLACE_SCHEMAS_MAX:,} schemas that apply to the same value"
            return state, f"at most {IN_PLACE_SCHEMAS_MAX:,}, counted as often as they are referred to"
        return None


def _measure(
    path: _Path,
    schema: dict[str, Any],
    references: References,
    known: dict[int, _Reach],
    problems: list[Problem],
) -> None:
    """Note the reach of a schema and of all that applies in place beneath it."""
    chain: list[tuple[_Path, dict[str, Any], Iterator[tuple[_Path, JsonSchema]]]] = []
    open_ = set[int]()

    def enter(path: _Path, schema: dict[str, Any]) -> None:
        chain.append((path, schema, in_place(path, schema, references)))
        open_.add(id(schema))
        known[id(schema)] = _Reach()

    if id(schema) not in known:
        enter(path, schema)
    while chain:
        path, schema, inner = chain[-1]
        reach = known[id(schema)]
        target = next(inner, None)
        if target is None:
            chain.pop()
            open_.discard(id(schema))
            if chain:
                known[id(chain[-1][1])].add(reach)
        elif isinstance(target[1], dict):
            if id(target[1]) in open_:
                state = "a circle of schemas that apply to the same value"
                problems.append(Problem(pointer(path), state, "references through 'properties' or 'items'"))
                return
            if id(target[1]) in known:
                reach.add(known[id(target[1])])
            elif len(chain) <= IN_PLACE_DEPTH_MAX:
                enter(target[0], target[1])
            else:
                reach.depth = IN_PLACE_DEPTH_MAX + 1
        if reach.problem is not None:
            problems.append(Problem(pointer(path), *reach.problem))
            return
