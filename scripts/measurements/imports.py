"""How the modules of a package import each other."""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import grimp


@dataclass(frozen=True)
class Imports:
    """The imports between the modules of a package."""

    direct: dict[str, frozenset[str]]
    """The modules that each module imports itself."""

    @property
    def count(self) -> int:
        return sum(len(imported) for imported in self.direct.values())

    @cached_property
    def cycles(self) -> list[frozenset[str]]:
        """The sets of modules that import each other, directly or by detours."""
        return sorted({circle for circle in self._circles.values() if len(circle) > 1}, key=sorted)

    @cached_property
    def longest_path(self) -> tuple[str, ...]:
        """The longest chain of modules of which each imports the next. A cycle counts with all its modules."""
        longest: dict[frozenset[str], tuple[str, ...]] = {}
        # Whoever imports reaches more than whoever is imported, so that the longest paths grow from the bottom.
        for module in sorted(self.direct, key=lambda module: (len(self._reached[module]), module)):
            circle = self._circles[module]
            below = {self._circles[imported] for member in circle for imported in self.direct[member]} - {
                circle
            }
            rest = max((longest[lower] for lower in below), key=lambda path: (len(path), path), default=())
            longest[circle] = (*sorted(circle), *rest)
        return max(longest.values(), key=lambda path: (len(path), path), default=())

    @cached_property
    def _reached(self) -> dict[str, frozenset[str]]:
        """The modules that each module imports, directly or by detours, and itself."""
        reached = {module: {module} for module in self.direct}
        for module, visited in reached.items():
            waiting = [module]
            while waiting:
                new = self.direct[waiting.pop()] - visited
                visited |= new
                waiting += new
        return {module: frozenset(visited) for module, visited in reached.items()}

    @cached_property
    def _circles(self) -> dict[str, frozenset[str]]:
        """The modules that each module shares a cycle with, itself included."""
        return {
            module: frozenset(candidate for candidate in visited if module in self._reached[candidate])
            for module, visited in self._reached.items()
        }


def imports_of(package: Path, *, for_typing: bool) -> Imports:
    """Read the imports of a package, with those under `if TYPE_CHECKING` or without."""
    sys.path.insert(0, str(package.parent))
    try:
        graph = grimp.build_graph(package.name, cache_dir=None, exclude_type_checking_imports=not for_typing)
    finally:
        sys.path.remove(str(package.parent))
    return Imports(
        {module: frozenset(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    )
