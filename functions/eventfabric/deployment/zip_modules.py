"""Modules in the functions' zip: of one that is staged in a folder, and of one that is not built yet."""

import sys
from functools import cached_property
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Protocol

from eventfabric.definition.handler_lookup import find_module
from eventfabric.deployment.installed_packages import Packages, packages_of
from eventfabric.deployment.requirements import read_requirements, requirements_in
from eventfabric.deployment.shipped import LOCK, PACKAGE, is_left_out, own_names, pins_of


class ZipModules(Protocol):
    """Modules that functions can import. `own` are the names of those that the user's folder brings."""

    own: frozenset[str]
    search_path: list[str]
    """Folders to look modules up in; not all that is there is in the zip."""

    def spec(self, module: str) -> ModuleSpec | None:
        """Find a module, without importing anything; None if the zip lacks it."""
        ...


class StagedModules:
    """Modules in a folder that has the content of the zip. `functions` is the user's folder, if there is one."""

    def __init__(self, target: Path, functions: Path | None) -> None:
        self.own = own_names(functions)
        self.search_path = [str(target)]

    def spec(self, module: str) -> ModuleSpec | None:
        """See ZipModules."""
        return find_module(module, self.search_path)[0]


class ExpectedModules:
    """Modules that the zip will hold, as far as what is installed here can tell, with handlers from `functions`."""

    def __init__(self, functions: Path) -> None:
        self.functions = functions.resolve()
        self.own = own_names(functions)
        self.search_path = [str(self.functions), *sys.path]

    @cached_property
    def _packages(self) -> Packages:
        asked = pins_of(LOCK.read_text(encoding="utf-8")).split()
        asked += read_requirements(requirements_in(self.functions)).lines
        return packages_of(tuple(asked))

    def spec(self, module: str) -> ModuleSpec | None:
        """See ZipModules. What belongs to a requirement that is not installed here is believed to be there."""
        top = module.partition(".")[0]
        if top == PACKAGE:
            return None if is_left_out(module) else find_module(module, [str(LOCK.parents[2])])[0]
        if top in self.own:
            return find_module(module, [str(self.functions)])[0]
        spec, _ = find_module(module, sys.path)
        if top in self._packages.names and spec is not None:
            return spec
        if self._packages.unknown and PathFinder.find_spec(top, sys.path) is None:
            return ModuleSpec(module, None)
        return None

    def holds(self, module: str) -> bool:
        """Tell if functions can import a module."""
        return module.partition(".")[0] in sys.stdlib_module_names or self.spec(module) is not None
