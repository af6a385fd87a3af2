"""The source of the user's modules in the functions' zip, read and never run."""

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from eventfabric.deployment.zip_modules import ZipModules


class Sources:
    """Syntax trees of the user's modules, and definitions of names in them."""

    def __init__(self, modules: ZipModules) -> None:
        self._modules = modules

    def is_own(self, module: str) -> bool:
        """Tell if a module is one of the user's."""
        return module.partition(".")[0] in self._modules.own

    def tree(self, module: str) -> ast.Module | None:
        """Parse a module; None if the zip lacks it, or has it without source."""
        spec = self._modules.spec(module)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return None
        return _parsed(Path(spec.origin).read_bytes(), spec.origin)

    def imports_in(self, module: str) -> Iterator[tuple[str, bool]]:
        """Yield the modules that a module imports, each with True if it may be a value within a module instead."""
        tree = self.tree(module)
        for node in _surely_imported(tree) if tree is not None else ():
            if isinstance(node, ast.Call):
                yield _argument(node), False
            elif isinstance(node, ast.Import):
                yield from ((alias.name, False) for alias in node.names)
            elif base := self.base(module, node):
                yield base, False
                yield from ((f"{base}.{alias.name}", True) for alias in node.names if alias.name != "*")

    def base(self, module: str, node: ast.ImportFrom) -> str:
        """Return the full name of the module that an import statement imports from."""
        if not node.level:
            return node.module or ""
        spec = self._modules.spec(module)
        is_package = spec is not None and spec.submodule_search_locations is not None
        parts = module.split(".")
        package = parts[: len(parts) - node.level + (1 if is_package else 0)]
        return ".".join([*package, *([node.module] if node.module else [])])

    def definition_of(self, module: str, name: str) -> tuple[str, ast.stmt] | None:
        """Find the definition of a name, and its module: the given one, or the user's from which it is imported."""
        tree = self.tree(module)
        for node in tree.body if tree is not None else []:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
                return module, node
            if isinstance(node, ast.ImportFrom) and (origin := self._origin(module, node, name)):
                return self.definition_of(*origin)
        return None

    def assigned(self, module: str, name: str) -> ast.expr | None:
        """Find the value that a module, or the user's module from which it is imported, assigns to a name."""
        tree = self.tree(module)
        for node in tree.body if tree is not None else []:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                    return node.value
            if isinstance(node, ast.ImportFrom) and (origin := self._origin(module, node, name)):
                return self.assigned(*origin)
        return None

    def module_called(self, module: str, name: str) -> str | None:
        """Return the user's module that is imported into a module under a name, if any."""
        tree = self.tree(module)
        for node in ast.walk(tree) if tree is not None else ():
            for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
                full = (
                    f"{self.base(module, node)}.{alias.name}"
                    if isinstance(node, ast.ImportFrom)
                    else alias.name
                )
                if (alias.asname or alias.name) == name and self.is_own(full) and self.tree(full) is not None:
                    return full
        return None

    def _origin(self, module: str, node: ast.ImportFrom, name: str) -> tuple[str, str] | None:
        """Return the user's module from which a statement imports a name, and its name there; None: it does not."""
        base = self.base(module, node)
        if not self.is_own(base) or base == module:
            return None
        names = [alias.name for alias in node.names if (alias.asname or alias.name) == name]
        return (base, names[0]) if names else None


_OPTIONAL = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@lru_cache(maxsize=256)
def _parsed(content: bytes, file: str) -> ast.Module:
    """Parse a file, once for each of its contents."""
    return ast.parse(content, file)


def _argument(call: ast.Call) -> str:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _imports_by_name(call: ast.Call) -> bool:
    """Tell if a call is one such as `import_module("json")`."""
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    argument = _argument(call)
    return called in ("import_module", "__import__") and bool(argument) and not argument.startswith(".")


def _surely_imported(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom | ast.Call]:
    """Yield all imports, at any depth, except those that may fail and those that never run."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Call) and _imports_by_name(node)
        ):
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
