"""Sizes and words of one Python file."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NO_OPENING = re.compile(r"(?:Whether|What|Of|The same|Those|As `)\b|As `")
# Put together here so that this file does not hold what is refused.
FORMATTER_OFF = re.compile("# fmt" + ": (?:skip|off)")


@dataclass(frozen=True)
class Docstring:
    """A string that stands alone as a statement: where it begins, how many lines it takes, its first line."""

    line: int
    lines: int
    opening: str


class SourceFile:
    """A Python file: its text and its syntax tree. `name` is its path as reports give it."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.text = path.read_text(encoding="utf-8")
        self.lines = self.text.splitlines()
        self._nodes = list(ast.walk(ast.parse(self.text, filename=name)))

    def function_lines(self) -> list[int]:
        """Return how many lines each function has, nested functions included."""
        return [
            _lines(node) for node in self._nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]

    def line_lengths(self) -> list[int]:
        """Return the lengths of the lines that are not blank."""
        return [len(line) for line in self.lines if line.strip()]

    def docstrings(self) -> Iterator[Docstring]:
        """Iterate over the docstrings, those of attributes included."""
        for node in self._nodes:
            value = node.value if isinstance(node, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                first_line = value.value.strip().partition("\n")[0]
                yield Docstring(value.lineno, _lines(value), first_line)

    def places_without_formatter(self) -> Iterator[int]:
        """Iterate over the lines that switch the formatter off."""
        for number, line in enumerate(self.lines, start=1):
            if FORMATTER_OFF.search(line):
                yield number


def _lines(node: ast.stmt | ast.expr) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
