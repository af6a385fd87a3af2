"""Check that everything which the user's handlers import is in the functions' zip. It reads source, and runs nothing.

A package that only this machine has would make every invocation of the function fail. Imports in a `try` with an
`except ImportError`, and imports for type checkers alone, may be missing.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from eventfabric.definition.handler_lookup import WantedKind, missing
from eventfabric.deployment.installed_packages import distribution_with
from eventfabric.deployment.requirements import requirements_for
from eventfabric.deployment.shipped import PACKAGE, is_left_out
from eventfabric.deployment.sources import Sources
from eventfabric.deployment.zip_modules import ZipModules

_PAYLOADS = "pydantic"


class ZipImports:
    """Imports of handlers, held against the modules in a zip. `functions` is the user's folder, if there is one."""

    def __init__(self, modules: ZipModules, functions: Path | None) -> None:
        self._modules = modules
        self._sources = Sources(modules)
        self._functions = functions

    def lacks(self, reference: str, wanted: WantedKind) -> Iterator[tuple[str, str]]:
        """Say in words why a reference cannot be used in the zip, and what is allowed. Yields nothing if it can."""
        module, _, name = reference.partition(":")
        if _is_standard(module):
            return
        lack = missing(reference, wanted=wanted, search_path=self._modules.search_path)
        if lack is None and self._modules.spec(module) is None:
            lack = f"no module {module}"
        if lack is not None:
            yield f"the zip has {lack}", self.allowed(module, module)
            return
        for importer, imported in self._missing_from(module):
            yield (
                f"module {importer} imports {imported}, which the zip lacks",
                self.allowed(imported, importer),
            )
        is_told_apart = wanted != "function" or self._modules.spec(_PAYLOADS) is not None
        if not is_told_apart and self._is_one_of_several(module, name):
            lack = f"{_PAYLOADS} tells which of several classes its payload is, and the zip lacks that"
            yield lack, self.allowed(_PAYLOADS, module)

    def allowed(self, lacking: str, importer: str) -> str:
        """Say where a module that the zip lacks belongs, if one of the user's modules needs it."""
        if is_left_out(lacking):
            return f"of {PACKAGE} what functions run with"
        if self._functions is None:
            return "what stands in a folder functions beside the definition"
        file = requirements_for(importer, self._functions)
        shown = f"{self._functions.name}/{file.relative_to(self._functions).as_posix()}"
        brought = distribution_with(lacking)
        return f"what stands in {self._functions.name}/, or what {shown} lists" + (
            f" ({brought} does not stand there)" if brought and brought.partition("-")[0] != PACKAGE else ""
        )

    def _missing_from(self, module: str) -> Iterator[tuple[str, str]]:
        """Yield each import that the zip lacks, preceded by the module that imports it.

        The module itself is checked, and all of the user's modules that it imports.
        """
        waiting, visited = [module], set[str]()
        while waiting:
            importer = waiting.pop()
            if importer in visited or not self._sources.is_own(importer):
                continue
            visited.add(importer)
            for imported, may_be_value in self._sources.imports_in(importer):
                if _is_standard(imported):
                    continue
                if self._modules.spec(imported) is None:
                    if not may_be_value or is_left_out(imported):
                        yield importer, imported
                elif self._sources.is_own(imported):
                    parts = imported.split(".")
                    waiting += [".".join(parts[:end]) for end in range(1, len(parts) + 1)]

    def _is_one_of_several(self, module: str, name: str) -> bool:
        """Tell if a handler's payload is one of several classes that msgspec cannot tell apart."""
        hint = self._payload_hint(module, name)
        if hint is None:
            return False
        members = [node.id for node in ast.walk(hint) if isinstance(node, ast.Name)]
        is_union = any(isinstance(node, ast.BinOp) for node in ast.walk(hint)) or "Union" in members
        definitions = [self._sources.definition_of(module, member) for member in members]
        classes = [
            place[1] for place in definitions if place is not None and isinstance(place[1], ast.ClassDef)
        ]
        return is_union and sum(not _is_struct(node) for node in classes) > 1

    def _payload_hint(self, module: str, name: str) -> ast.expr | None:
        """Return the annotation of a handler's first parameter, without quotation marks, and aliases resolved."""
        place = self._sources.definition_of(module, name)
        if place is None or not isinstance(place[1], ast.FunctionDef | ast.AsyncFunctionDef):
            return None
        arguments = place[1].args
        parameters = [*arguments.posonlyargs, *arguments.args]
        hint = parameters[0].annotation if parameters else None
        if isinstance(hint, ast.Constant) and isinstance(hint.value, str):
            hint = ast.parse(hint.value, mode="eval").body
        if isinstance(hint, ast.Name):  # it may be an alias that the module defines
            hint = self._sources.assigned(module, hint.id) or hint
        return hint


def _is_struct(node: ast.ClassDef) -> bool:
    return any("Struct" in ast.unparse(base) for base in node.bases)


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names
