"""Public cases of compatibility checkers, from folders that somebody fetched: two schemas, and what is right.

Their question is if all that one schema accepts is accepted by another, so that no schema is closed here.
"""

import importlib.util
import json
import sys
import types
import unittest
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eventfabric.contracts.differ import compared
from scripts.contract_trials.drafts import modern


@dataclass(frozen=True)
class Case:
    """Two schemas, and if the reader accepts all that the writer's schema does."""

    name: str
    reader: Any
    writer: Any
    is_accepted: bool


def tally(name: str, cases: list[Case]) -> bool:
    """Compare all cases and print figures, and each that is wrong. Returns if no incompatible pair passes."""
    counts: Counter[str] = Counter()
    for case in cases:
        known, _ = compared(modern(case.reader), modern(case.writer), closes_writer=False)
        if known and all(difference.is_undecided for difference in known):
            counts[f"undecided: {known[0].keyword or known[0].rule}"] += 1
            continue
        is_right = (not known) == case.is_accepted
        kind = "agreed" if is_right else "wrongly incompatible" if known else "wrongly compatible"
        counts[kind] += 1
        if not is_right:
            print(
                f"{kind}: {case.name}\n  reader: {json.dumps(case.reader)}\n  writer: {json.dumps(case.writer)}"
            )
            print(*(f"  {difference}" for difference in known), sep="\n")
    print(f"{name}: {len(cases):,} cases")
    for kind, count in sorted(counts.items()):
        print(f"  {kind}: {count:,}")
    return counts["wrongly compatible"] == 0


def change_cases(folder: Path) -> list[Case]:
    """Return the cases of files that hold lists of changes, each with its verdict."""
    return [
        Case(
            f"{file.name}: {entry.get('description')}",
            entry["update_schema"],
            entry["original_schema"],
            entry["compatible"],
        )
        for file in sorted(folder.rglob("*.json"))
        for entry in json.loads(file.read_text(encoding="utf-8"))
    ]


@dataclass(frozen=True)
class _Answer:
    """Stands for the answer of a subschema checker: it knows what it was asked."""

    first: Any
    second: Any

    def __bool__(self) -> bool:
        return True


def subschema_cases(folder: Path) -> list[Case]:
    """Return the cases of Python tests, which are run with a checker that notes what it is asked."""
    cases: list[Case] = []

    class Recording(unittest.TestCase):
        def assertTrue(self, expr: Any, msg: Any = None) -> None:
            self._note(expr, is_accepted=True)

        def assertFalse(self, expr: Any, msg: Any = None) -> None:
            self._note(expr, is_accepted=False)

        def _note(self, answer: Any, *, is_accepted: bool) -> None:
            if isinstance(answer, _Answer):
                cases.append(Case(self.id(), answer.second, answer.first, is_accepted))

    known = unittest.TestCase
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.modules.update(_recorders())
        unittest.TestCase = Recording  # type: ignore[misc] # the tests inherit from it as they are imported
        try:
            suite = unittest.TestSuite(_suites(folder))
        finally:
            unittest.TestCase = known  # type: ignore[misc] # as before
        suite.run(unittest.TestResult())
    return cases


def _recorders() -> dict[str, types.ModuleType]:
    """Return modules that stand in for a checker, under the name by which tests import it."""
    checker = types.ModuleType("jsonsubschema")
    checker.isSubschema = _Answer  # type: ignore[attr-defined] # a module made here
    for name in ("isEquivalent", "meet", "join", "canonicalize_schema", "set_debug", "set_warn_uninhabited"):
        setattr(checker, name, _passes)
    modules = {"jsonsubschema": checker}
    for name in ("exceptions", "_utils", "_checkers", "_canonicalization", "api"):
        module = types.ModuleType(f"jsonsubschema.{name}")
        module.__getattr__ = _attribute  # type: ignore[method-assign] # PEP 562
        setattr(checker, name, module)
        modules[module.__name__] = module
    return modules


def _passes(*arguments: Any, **keywords: Any) -> None:
    """Return nothing: what is no question about two schemas is not asked here."""


def _attribute(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (Exception,), {})


def _suites(folder: Path) -> Iterator[unittest.TestSuite]:
    for file in sorted(folder.rglob("test_*.py")):
        specification = importlib.util.spec_from_file_location(f"subschema_cases.{file.stem}", file)
        assert specification is not None, "it is a file of Python"
        assert specification.loader is not None, "it is a file of Python"
        module = importlib.util.module_from_spec(specification)
        try:
            specification.loader.exec_module(module)
        except (AttributeError, ImportError) as error:
            print(f"left out: {file.name} ({error})")
            continue
        yield unittest.defaultTestLoader.loadTestsFromModule(module)
