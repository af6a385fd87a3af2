"""Lookup of a function or class by `package.module:name`, without importing it, because that would run it.

The answer is what the source shows. If only running the code could tell (a star import, a compiled module), the
reference is believed.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from pathlib import Path
from typing import Literal

_STANDARD_LIBRARY = Path(ast.__file__).parent
WantedKind = Literal["function", "class"]
Kind = Literal["function", "class", "value", "anything"]
"""Kinds of names in a module. `value` includes imports; `anything` stands for a module whose source cannot tell."""


def missing(reference: str, *, wanted: WantedKind, search_path: Sequence[str]) -> str | None:
    """Say in words why `reference` is not what is `wanted`; None if it is, or if only running the code could tell."""
    module, _, name = reference.partition(":")
    spec, absent = find_module(module, search_path)
    if spec is None:
        return f"no module {absent}"
    if wanted == "function" and _is_standard(spec):
        return f"a function of Python's own module {module}"
    try:
        bindings = _bindings(spec)
    except (SyntaxError, ValueError) as error:
        return f"a module {module} that does not compile ({error})"
    if "*" in bindings:
        return None
    kind = bindings.get(name)
    if kind is None:
        return f"no {name} in module {module}"
    return None if kind in (wanted, "value") else f"a {kind} {name} in module {module}"


def _is_standard(spec: ModuleSpec) -> bool:
    """Tell if a module is of the standard library, whose functions are no handlers, even if they take two arguments.

    A user's module of the same name is none.
    """
    if spec.origin in ("built-in", "frozen"):
        return True
    origin = Path(spec.origin or "")
    return origin.is_relative_to(_STANDARD_LIBRARY) and "site-packages" not in origin.parts


def find_module(module: str, search_path: Sequence[str]) -> tuple[ModuleSpec | None, str]:
    """Find the spec of a module, without importing its packages. If there is none: None and the name that is absent."""
    path: Sequence[str] | None = list(search_path)
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        if path is None:
            return None, name
        spec = PathFinder.find_spec(name, path)
        if spec is None and end == 1:
            spec = BuiltinImporter.find_spec(name) or FrozenImporter.find_spec(name)
        if spec is None:
            return None, name
        path = None if spec.submodule_search_locations is None else list(spec.submodule_search_locations)
    return spec, module


def _bindings(spec: ModuleSpec) -> dict[str, Kind]:
    """List the names that a module binds at its top level, including those in conditional blocks."""
    if spec.origin is None or not spec.origin.endswith(".py"):
        return _standard_bindings(spec)
    return dict(_bound(ast.parse(Path(spec.origin).read_bytes(), spec.origin).body))


def _standard_bindings(spec: ModuleSpec) -> dict[str, Kind]:
    """List the names in a module without source: for a loaded built-in module its own, otherwise anything."""
    if spec.name in sys.builtin_module_names and spec.name in sys.modules:
        return {
            name: "class" if isinstance(value, type) else "function"
            for name, value in vars(sys.modules[spec.name]).items()
        }
    return {} if spec.submodule_search_locations is not None and spec.origin is None else {"*": "anything"}


def _bound(statements: Sequence[ast.stmt]) -> Iterator[tuple[str, Kind]]:
    """Yield the names that statements bind, with their kinds."""
    for statement in statements:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                # A decorator may return anything; it is trusted to return a function again.
                yield name, "function"
            case ast.ClassDef(name=name):
                yield name, "class"
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from ((alias.asname or alias.name.partition(".")[0], "value") for alias in names)
            case ast.Assign(targets=targets):
                yield from _targets(*targets)
            case ast.AnnAssign(target=target, value=value) if value is not None:
                yield from _targets(target)
            case ast.If() | ast.For() | ast.While() | ast.With() | ast.Try():
                for block in _blocks(statement):
                    yield from _bound(block)


def _blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        yield getattr(statement, name, [])
    for handler in getattr(statement, "handlers", []):
        yield handler.body


def _targets(*targets: ast.expr) -> Iterator[tuple[str, Kind]]:
    for target in targets:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id, "value"
