"""Requirements, and the distributions that they bring, as they are installed in this environment."""

import tomllib
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

Find = Callable[[str], Distribution]


def closure(requirements: Iterable[str], *, find: Find = distribution) -> set[str]:
    """Return the names of all distributions that these requirements install on this machine.

    PackageNotFoundError, AssertionError: one of the requirements is not met here.
    """
    waiting = list(map(Requirement, requirements))
    names, visited = set[str](), set[str]()
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in visited:
            continue
        visited.add(str(wanted))
        names.add(canonicalize_name(wanted.name))
        assert wanted.specifier.contains(find(wanted.name).version, prereleases=True), wanted
        waiting += _needed_by(wanted, find)
    return names


def _needed_by(wanted: Requirement, find: Find) -> Iterator[Requirement]:
    for text in find(wanted.name).requires or ():
        needed = Requirement(text)
        chosen = ["", *wanted.extras]
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in chosen):
            needed.marker = None
            yield needed


def dependencies_of(pyproject: Path, group: str | None = None) -> list[str]:
    """Return what a project needs: its dependencies, or one of its groups with those that it includes."""
    content = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    if group is None:
        needed: list[str] = content["project"]["dependencies"]
        return needed
    entries = content["dependency-groups"][group]
    included = [entry["include-group"] for entry in entries if not isinstance(entry, str)]
    own = [entry for entry in entries if isinstance(entry, str)]
    return own + [text for name in included for text in dependencies_of(pyproject, name)]
