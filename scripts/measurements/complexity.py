"""Cyclomatic complexity as radon counts it, and its gate in scripts/check.

Exit code 1: a function is over the bound.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from radon.complexity import cc_visit_ast

from scripts.install import ROOT

COMPLEXITY_MAX = 12


@dataclass(frozen=True, order=True)
class Complexity:
    """The complexity of a function or method. What it defines inside is measured by itself."""

    value: int
    place: str


def complexities(text: str, name: str) -> Iterator[Complexity]:
    """Iterate over all functions and methods of a module; `name` is its path as reports give it."""
    for function, qualified_name in _functions(ast.parse(text)):
        # Each is visited by itself: radon's own list of a module leaves out what is defined inside functions.
        [block] = cc_visit_ast(function)
        yield Complexity(block.complexity, f"{name}:{function.lineno} {qualified_name}")


def _functions(
    node: ast.AST, prefix: str = ""
) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    for child in ast.iter_child_nodes(node):
        inside = prefix
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{prefix}{child.name}."
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child, prefix + child.name
        yield from _functions(child, inside)


def over_the_bound(folders: Iterable[Path]) -> list[Complexity]:
    """Return the functions in these folders that are too complex, the worst first."""
    return sorted(
        (
            function
            for folder in folders
            for path in folder.rglob("*.py")
            for function in complexities(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))
            if function.value > COMPLEXITY_MAX
        ),
        reverse=True,
    )


def main() -> int:
    """Print the functions that are too complex in the folders that the command line names."""
    refused = over_the_bound(ROOT / name for name in sys.argv[1:])
    for function in refused:
        print(f"{function.place} has a complexity of {function.value}; at most {COMPLEXITY_MAX} is allowed")
    return 1 if refused else 0


if __name__ == "__main__":
    raise SystemExit(main())
