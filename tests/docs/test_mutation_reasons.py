"""The reasons why some mutants may live are reasons of code that is there."""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from scripts.install import ROOT
from scripts.mutation.report import Reason, reasons


def names(node: ast.AST, prefix: str = "") -> Iterator[str]:
    """The qualified names of all that is defined there."""
    for child in ast.iter_child_nodes(node):
        name = prefix
        if isinstance(child, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            name = f"{prefix}.{child.name}" if prefix else child.name
            yield name
        yield from names(child, name)


@cache
def all_names() -> frozenset[str]:
    return frozenset(
        name
        for path in (ROOT / "functions/eventfabric").rglob("*.py")
        for name in names(ast.parse(path.read_text(encoding="utf-8")))
    )


@pytest.mark.parametrize(
    "reason", [reason for reason in reasons() if reason.function], ids=lambda reason: reason.function
)
def test_a_reason_names_a_function_that_is_there(reason: Reason) -> None:
    assert any(re.search(reason.function, name) for name in all_names())
