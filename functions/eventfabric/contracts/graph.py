"""Graph of one document's schemas: which schema applies which others, and which lead back to each other."""

from collections.abc import Iterator
from typing import Any

from eventfabric.contracts.keywords import JsonSchema, subschemas
from eventfabric.contracts.references import References

_Path = tuple[str, ...]


class SchemaGraph:
    """All schemas of a document, by identity. Those that are booleans are left out.

    `circles`: the number of each schema's strongly connected component; a schema applies those of its own number and
    of higher ones. `recursive`: numbers of the components in which schemas lead back to themselves.
    """

    def __init__(self, root: JsonSchema) -> None:
        self.references = References(root)
        self.paths: dict[int, _Path] = {}
        self.schemas: dict[int, dict[str, Any]] = {}
        waiting: list[tuple[_Path, JsonSchema]] = [((), root)]
        while waiting:
            path, schema = waiting.pop()
            if isinstance(schema, dict):
                self.paths[id(schema)], self.schemas[id(schema)] = path, schema
                waiting += [((*path, *inner), value) for inner, value in subschemas(schema)]
        self.recursive = set[int]()
        self.circles = self._circles_of_all()

    def edges(self, schema: dict[str, Any]) -> Iterator[tuple[_Path, dict[str, Any]]]:
        """Yield the schemas that a schema applies, in place or inside."""
        target = self.references.target(schema)
        if isinstance(target, dict):
            yield ("$ref",), target
        for path, inner in subschemas(schema):
            if path[0] not in ("$defs", "contentSchema") and isinstance(inner, dict):
                yield path, inner

    def is_back(self, schema: dict[str, Any], inner: dict[str, Any]) -> bool:
        """Return if a schema that another applies leads back to it."""
        return self.circles[id(inner)] == self.circles[id(schema)]

    def _circles_of_all(self) -> dict[int, int]:
        above: dict[int, list[int]] = {key: [] for key in self.schemas}
        order: list[int] = []
        seen = set[int]()
        for key in self.schemas:
            chain = [] if key in seen else [(key, self.edges(self.schemas[key]))]
            seen.add(key)
            while chain:
                current, edges = chain[-1]
                edge = next(edges, None)
                if edge is None:
                    order.append(current)
                    chain.pop()
                    continue
                following = id(edge[1])
                above[following].append(current)
                if following not in seen:
                    seen.add(following)
                    chain.append((following, self.edges(edge[1])))
        circles: dict[int, int] = {}
        for number, key in enumerate(reversed(order)):
            waiting = [] if key in circles else [key]
            while waiting:
                current = waiting.pop()
                if current not in circles:
                    circles[current] = number
                    waiting += above[current]
                elif circles[current] == number:
                    self.recursive.add(number)
        return circles
