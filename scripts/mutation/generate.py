"""Generation of mutants: applies mutmut's operators everywhere in the files named. Prints one JSON object a line.

It runs as a script in the environment that has mutmut. mutmut's own runner is not used, because it does not mutate
properties, defaults or constants, chooses tests by function, and requires the code to be in a folder `src`.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

# Not mutated: code without effect at run time, and (as in mutmut) calls for which any other argument is nonsense.
_SILENT = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom)
_SILENT_NAMES = {"__all__", "__slots__"}
_SILENT_CALLS = {"len", "isinstance", "cast"}
_HEADED = (cst.BaseCompoundStatement, cst.MatchCase, cst.ExceptHandler)


@dataclass(frozen=True)
class _Place:
    """The position of a walk: the outermost function, or else statement (`unit`), and the statement around the node."""

    names: tuple[str, ...] = ()
    function: str = ""
    unit: tuple[int, int] = (0, 0)
    first_line: int = 0
    last_line: int = 0


class _File:
    def __init__(self, path: Path) -> None:
        self._source = path.read_bytes()
        wrapper = MetadataWrapper(cst.parse_module(self._source), unsafe_skip_copy=True)
        self.module = wrapper.module
        self._bytes = wrapper.resolve(ByteSpanPositionProvider)
        self._lines = wrapper.resolve(PositionProvider)

    def mutants(self, node: Any, place: _Place) -> Iterator[dict[str, object]]:
        if _is_silent(node):
            return
        if isinstance(node, cst.SimpleStatementLine):
            lines = self._lines[node]
            place = replace(place, first_line=lines.start.line, last_line=lines.end.line)
            if not place.function:
                place = replace(place, unit=self._span(node))
        elif isinstance(node, _HEADED):
            place = replace(place, first_line=self._lines[node].start.line, last_line=0)
        yield from self._mutants_of(node, place)
        if isinstance(node, cst.ClassDef):
            place = replace(place, names=(*place.names, node.name.value))
        if isinstance(node, cst.FunctionDef) and not place.function:
            yield from self.mutants(node.params, replace(place, unit=self._span(node)))
            name = ".".join((*place.names, node.name.value))
            yield from self.mutants(node.body, replace(place, function=name, unit=self._span(node)))
            return
        for child in node.children:
            yield from self.mutants(child, place)

    def _mutants_of(self, node: Any, place: _Place) -> Iterator[dict[str, object]]:
        for kind, operator in mutation_operators:
            if not isinstance(node, kind):
                continue
            start, end = self._span(node)
            for mutated in operator(node):
                text = self.module.code_for_node(mutated)
                if isinstance(node, cst.Match):  # libcst renders it without its indentation
                    margin = "\n" + " " * self._lines[node].start.column
                    text = text.rstrip("\n").replace("\n", margin)
                yield {
                    "operator": operator.__name__.removeprefix("operator_"),
                    "function": place.function,
                    "unit": place.unit,
                    "start": start,
                    "end": end,
                    "replacement": text,
                    "line": self._lines[node].start.line,
                    "first_line": place.first_line,
                    "last_line": max(place.last_line, self._lines[node].end.line),
                }

    def _span(self, node: Any) -> tuple[int, int]:
        span = self._bytes[node]
        return span.start, span.start + span.length


def _is_silent(node: Any) -> bool:
    match node:
        case cst.Call(func=cst.Name(value=name)):
            return name in _SILENT_CALLS
        case cst.If(test=cst.Name(value="TYPE_CHECKING")):
            return True
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))]):
            return name in _SILENT_NAMES
        case _:
            return isinstance(node, _SILENT)


def main() -> None:
    """Print the mutants of every file named."""
    for name in sys.argv[1:]:
        file = _File(Path(name))
        printed = set()
        for mutant in file.mutants(file.module, _Place()):
            change = (mutant["start"], mutant["end"], mutant["replacement"])
            if change not in printed:
                printed.add(change)
                print(json.dumps({"path": name, **mutant}))


if __name__ == "__main__":
    main()
