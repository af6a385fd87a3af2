"""Imports in the local fabric: handlers find the modules that the functions' zip will hold, and no others.

Whatever a module of the user's imports while a function runs, by a statement or by `import_module`, is looked at, even
if something else has imported it before. What ran before the fabric started is left to the check of the source.
"""

import builtins
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from eventfabric.deployment.shipped import PACKAGE, is_left_out
from eventfabric.deployment.zip_imports import ZipImports
from eventfabric.deployment.zip_modules import ExpectedModules
from eventfabric.testing.contexts import setting

_ON_BEHALF: Final = "eventfabric.sdk.wants"
"""The module of ours that imports pydantic if a payload needs it."""

_in_function: ContextVar[bool] = ContextVar("eventfabric_in_function", default=False)


class NotInZipError(ModuleNotFoundError):
    """A handler imports a module that the functions' zip will not hold. As deployed, it is a ModuleNotFoundError."""


def in_function(*, has_layers: bool) -> AbstractContextManager[None]:
    """Hold what is imported in this context to the zip, unless layers may bring it."""
    return setting(_in_function, not has_layers)


class ZipGuard:
    """Refuses imports of what the zip lacks. `functions`: the user's folder, of which it is made."""

    def __init__(self, functions: Path) -> None:
        self._modules = ExpectedModules(functions)
        self._imports = ZipImports(self._modules, functions)
        self._known: dict[str, bool] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at all imports of this process meanwhile."""
        import_statement, import_module = builtins.__import__, importlib.import_module
        builtins.__import__ = self._statement(import_statement)
        importlib.import_module = self._call(import_module)
        try:
            yield
        finally:
            builtins.__import__, importlib.import_module = import_statement, import_module

    def _statement(self, inner: Callable[..., ModuleType]) -> Callable[..., ModuleType]:
        def import_statement(
            name: str,
            globals: Mapping[str, object] | None = None,
            locals: Mapping[str, object] | None = None,
            fromlist: Sequence[str] | None = (),
            level: int = 0,
        ) -> ModuleType:
            if level == 0 and _in_function.get():
                importer = sys._getframe(1).f_globals if globals is None else globals
                self._look(importer, [name, *(f"{name}.{member}" for member in fromlist or ())])
            return inner(name, globals, locals, fromlist, level)

        return import_statement

    def _call(self, inner: Callable[..., ModuleType]) -> Callable[..., ModuleType]:
        def import_module(name: str, package: str | None = None) -> ModuleType:
            if not name.startswith(".") and _in_function.get():
                self._look(sys._getframe(1).f_globals, [name])
            return inner(name, package)

        return import_module

    def _look(self, importer: Mapping[str, Any], names: Sequence[str]) -> None:
        """Refuse an import by one of the user's modules if the zip lacks it: a module, then what may be one in it."""
        if not self._is_watched(importer):
            return
        name, *members = names
        lacking = next(filter(is_left_out, members), None) if self._holds(name) else name
        if lacking is not None:
            module = str(importer.get("__name__"))
            raise NotInZipError(
                f"No module named {lacking!r}: module {module} imports {lacking}, which the zip lacks; "
                f"allowed: {self._imports.allowed(lacking, module)}",
                name=lacking,
            )

    def _holds(self, name: str) -> bool:
        held = self._known.get(name)
        if held is None:
            held = self._known[name] = self._modules.holds(name)
        return held

    def _is_watched(self, importer: Mapping[str, Any]) -> bool:
        name, file = importer.get("__name__"), importer.get("__file__")
        if name == _ON_BEHALF:
            return True
        top = str(name).partition(".")[0]
        if top == PACKAGE or top not in self._modules.own or not isinstance(file, str):
            return False
        return Path(file).resolve().is_relative_to(self._modules.functions)
