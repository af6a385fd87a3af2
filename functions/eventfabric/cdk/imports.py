"""Check that everything which the user's handlers import is in the zip. Reads the staged folder; runs nothing.

A package that only this machine has would make every invocation of the function fail. Imports in a `try` with an
`except ImportError`, and imports for type checkers alone, may be missing.
"""

import ast
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

from eventfabric.cdk.library import PACKAGE
from eventfabric.definition.handler_lookup import WantedKind, find_module, missing
from eventfabric.definition.schema import Definition
from eventfabric.errors import DefinitionError, Problem

_OPTIONAL = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_ALLOWED = "what stands in functions/, or in a requirements.txt there or in a folder of it"


def check_imports(definition: Definition, target: Path, *, functions: Path | None, where: str) -> None:
    """Raise DefinitionError if the folder `target` lacks a handler, or something that a handler imports.

    `functions` is the user's folder, if there is one; by it, the user's modules in `target` are told from others.
    """
    zip_of = _Zip(target, functions)
    problems: list[Problem] = []
    for name, subscription in definition.subscriptions.items():
        references: list[tuple[str, str, WantedKind]] = [("handler", subscription.handler, "function")]
        references += [
            (f"retry.permanent[{index}]", reference, "class")
            for index, reference in enumerate(subscription.retry.permanent)
        ]
        for key, reference, wanted in references:
            problems += [
                Problem(f"subscriptions.{name}.{key}", f'"{reference}", but {lack}', _ALLOWED)
                for lack in zip_of.lacks(reference, wanted)
            ]
    if problems:
        raise DefinitionError(problems, where=where)


class _Zip:
    """The content of the staged folder, and the names of the user's modules in it."""

    def __init__(self, target: Path, functions: Path | None) -> None:
        self._path = [str(target)]
        paths = [] if functions is None else functions.iterdir()
        self._own = {path.stem for path in paths if path.name != PACKAGE}

    def lacks(self, reference: str, wanted: WantedKind) -> Iterator[str]:
        """Say in words why a reference cannot be used in the zip. Yields nothing if it can."""
        module, _, name = reference.partition(":")
        if _is_standard(module):
            return
        lack = missing(reference, wanted=wanted, search_path=self._path)
        if lack is not None:
            yield f"the zip has {lack}"
            return
        for importer, imported in self._missing_from(module):
            yield f"module {importer} imports {imported}, which the zip lacks"
        if wanted == "function" and self._spec("pydantic") is None and self._is_one_of_several(module, name):
            yield "pydantic tells which of several classes its payload is, and the zip lacks that"

    def _missing_from(self, module: str) -> Iterator[tuple[str, str]]:
        """Yield each import that the zip lacks, preceded by the module that imports it.

        The module itself is checked, and all of the user's modules that it imports.
        """
        waiting, visited = [module], set[str]()
        while waiting:
            importer = waiting.pop()
            if importer in visited:
                continue
            visited.add(importer)
            for imported, may_be_value in self._imports(importer):
                if _is_standard(imported):
                    continue
                if self._spec(imported) is None:
                    if not may_be_value:
                        yield importer, imported
                elif imported.partition(".")[0] in self._own:
                    parts = imported.split(".")
                    waiting += [".".join(parts[:end]) for end in range(1, len(parts) + 1)]

    def _imports(self, module: str) -> Iterator[tuple[str, bool]]:
        """Yield the modules that a module imports, each with True if it may be a value within a module instead."""
        tree = self._tree(module)
        if tree is None:
            return
        for node in _surely_imported(tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, False) for alias in node.names)
            elif base := self._base(module, node):
                yield base, False
                yield from ((f"{base}.{alias.name}", True) for alias in node.names if alias.name != "*")

    def _base(self, module: str, node: ast.ImportFrom) -> str:
        """Full name of the module that an import statement imports from."""
        if not node.level:
            return node.module or ""
        spec = self._spec(module)
        is_package = spec is not None and spec.submodule_search_locations is not None
        parts = module.split(".")
        package = parts[: len(parts) - node.level + (1 if is_package else 0)]
        return ".".join([*package, *([node.module] if node.module else [])])

    def _is_one_of_several(self, module: str, name: str) -> bool:
        """Tell if a handler's payload is one of several classes that msgspec cannot tell apart."""
        hint = self._payload_hint(module, name)
        if hint is None:
            return False
        members = [node.id for node in ast.walk(hint) if isinstance(node, ast.Name)]
        is_union = any(isinstance(node, ast.BinOp) for node in ast.walk(hint)) or "Union" in members
        definitions = [self._definition_of(module, member) for member in members]
        classes = [node for node in definitions if isinstance(node, ast.ClassDef)]
        return is_union and sum(not _is_struct(node) for node in classes) > 1

    def _payload_hint(self, module: str, name: str) -> ast.expr | None:
        """Return the annotation of a handler's first parameter, without quotation marks, and aliases resolved."""
        function = self._definition_of(module, name)
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            return None
        parameters = [*function.args.posonlyargs, *function.args.args]
        hint = parameters[0].annotation if parameters else None
        if isinstance(hint, ast.Constant) and isinstance(hint.value, str):
            hint = ast.parse(hint.value, mode="eval").body
        if isinstance(hint, ast.Name):  # it may be an alias that the module defines
            hint = next((node.value for node in self._assignments(module, hint.id)), hint)
        return hint

    def _assignments(self, module: str, name: str) -> Iterator[ast.Assign]:
        tree = self._tree(module)
        for node in tree.body if tree is not None else []:
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == name for target in node.targets
            ):
                yield node

    def _definition_of(self, module: str, name: str) -> ast.stmt | None:
        """Find the definition of a name in a module, or in the user's module from which it is imported."""
        tree = self._tree(module)
        for node in tree.body if tree is not None else []:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
                return node
            if isinstance(node, ast.ImportFrom) and (origin := self._origin(module, node, name)):
                return self._definition_of(*origin)
        return None

    def _origin(self, module: str, node: ast.ImportFrom, name: str) -> tuple[str, str] | None:
        """Return the user's module from which a statement imports a name, and its name there; None: it does not."""
        base = self._base(module, node)
        if base.partition(".")[0] not in self._own or base == module:
            return None
        names = [alias.name for alias in node.names if (alias.asname or alias.name) == name]
        return (base, names[0]) if names else None

    def _tree(self, module: str) -> ast.Module | None:
        spec = self._spec(module)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return None
        return ast.parse(Path(spec.origin).read_bytes(), spec.origin)

    def _spec(self, module: str) -> ModuleSpec | None:
        return find_module(module, self._path)[0]


def _surely_imported(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield all imports, at any depth, except those that may fail and those that never run."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.Try) and any(_catches_absence(handler) for handler in node.handlers):
            for child in (*node.handlers, *node.orelse, *node.finalbody):
                yield from _surely_imported(child)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for statement in node.orelse:
                yield from _surely_imported(ast.Module([statement], []))
        else:
            yield from _surely_imported(node)


def _catches_absence(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return any(isinstance(node, ast.Name) and node.id in _OPTIONAL for node in ast.walk(handler.type))


def _is_struct(node: ast.ClassDef) -> bool:
    return any("Struct" in ast.unparse(base) for base in node.bases)


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names
