"""Owns finding a function or a class by `package.module:name`; must not import it: that would run it.

It answers what it can see in the source. What only running could tell (a star import, a compiled module) it
believes.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from pathlib import Path
from typing import Literal

Wanted = Literal["function", "class"]
Kind = Literal["function", "class", "value", "anything"]
"""How a module binds a name; `value` covers imports too, `anything` a module whose source cannot tell."""


def missing(reference: str, *, wanted: Wanted, search_path: Sequence[str]) -> str | None:
    """Why `reference` is not what is `wanted`, in words; None if it is, or if only running could tell."""
    module, _, name = reference.partition(":")
    spec, absent = find_module(module, search_path)
    if spec is None:
        return f"no module {absent}"
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


def find_module(module: str, search_path: Sequence[str]) -> tuple[ModuleSpec | None, str]:
    """The spec of a module, or None and the name that is absent; imports no package on the way."""
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
    """Names that the module binds at its top level, conditional blocks included."""
    if spec.origin is None or not spec.origin.endswith(".py"):
        return _standard_bindings(spec)
    return dict(_bound(ast.parse(Path(spec.origin).read_bytes(), spec.origin).body))


def _standard_bindings(spec: ModuleSpec) -> dict[str, Kind]:
    """Of a module without source: what is loaded of the interpreter's own, else anything."""
    if spec.name in sys.builtin_module_names and spec.name in sys.modules:
        return {
            name: "class" if isinstance(value, type) else "function"
            for name, value in vars(sys.modules[spec.name]).items()
        }
    return {} if spec.submodule_search_locations is not None and spec.origin is None else {"*": "anything"}


def _bound(statements: Sequence[ast.stmt]) -> Iterator[tuple[str, Kind]]:
    for statement in statements:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                # A decorator may return anything: it is believed to keep the shape.
                yield name, "function"
            case ast.ClassDef(name=name):
                yield name, "class"
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                for alias in names:
                    yield (alias.asname or alias.name.partition(".")[0]), "value"
            case ast.Assign(targets=targets):
                for target in targets:
                    yield from _targets(target)
            case ast.AnnAssign(target=target, value=value) if value is not None:
                yield from _targets(target)
            case ast.If() | ast.For() | ast.While() | ast.With() | ast.Try():
                for block in ("body", "orelse", "finalbody"):
                    yield from _bound(getattr(statement, block, []))
                for handler in getattr(statement, "handlers", []):
                    yield from _bound(handler.body)


def _targets(target: ast.expr) -> Iterator[tuple[str, Kind]]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, "value"
