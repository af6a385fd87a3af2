"""Plants a bug: one place of the code as it would be if somebody had written it wrong, for a while."""

import ast
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import dedent
from types import FunctionType
from typing import Any


@dataclass(frozen=True)
class Bug:
    """`before` stands once in the function `where` (module:qualified.name); with the bug, `after` stands there.

    `profile` finds it, by the checker `by`, first at `seed`, as far as is known. `seeds_max`: so many are tried.
    """

    name: str
    what: str
    where: str
    before: str
    after: str
    by: str
    seed: int
    profile: str = "default"
    seeds_max: int = 50


def bug_in_a_condition(name: str, where: str, before: str, after: str) -> Bug:
    """Return a bug that a named test finds, and no schedule has to."""
    return Bug(name, name, where, before, after, by="", seed=0)


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The code with the bug. ValueError where the code is no more as the bug says."""
    function = _function(bug.where)
    wrong = _compiled(bug, function)
    right = function.__code__
    function.__code__ = wrong.__code__
    try:
        yield
    finally:
        function.__code__ = right


def _function(where: str) -> FunctionType:
    module, _, name = where.partition(":")
    __import__(module)
    target: Any = sys.modules[module]
    for part in name.split("."):
        target = inspect.getattr_static(target, part)
    if isinstance(target, property):
        target = target.fget
    if isinstance(target, classmethod | staticmethod):
        target = target.__func__
    if not isinstance(target, FunctionType):
        raise ValueError(f"{where}: found {type(target).__name__}, allowed: a function")
    return target


def _compiled(bug: Bug, function: FunctionType) -> FunctionType:
    source = dedent(inspect.getsource(function))
    if source.count(bug.before) != 1:
        raise ValueError(
            f"{bug.name}: {bug.where} holds {source.count(bug.before)} times {bug.before!r}, allowed: once"
        )
    tree = ast.parse(source.replace(bug.before, bug.after))
    (definition,) = tree.body
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    made: dict[str, Any] = {}
    exec(compile(tree, f"<{bug.name}>", "exec"), function.__globals__, made)
    wrong: FunctionType = made[function.__name__]
    return wrong
