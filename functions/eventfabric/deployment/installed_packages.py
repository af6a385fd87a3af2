"""Packages of a zip that is not built yet, by what is installed here: requirements, and all that these need."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from typing import Final

_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^]]*)])?[^;]*;?(.*)")


@dataclass(frozen=True)
class Packages:
    """Names of the packages and modules that requirements bring.

    `unknown` is True if one of them is not installed here, so that nobody can tell what it holds.
    """

    names: frozenset[str]
    unknown: bool


@lru_cache(maxsize=16)
def packages_of(requirements: tuple[str, ...]) -> Packages:
    """Return what requirements bring, with all that they need in turn."""
    waiting, visited = list(requirements), set[str]()
    names: set[str] = set()
    unknown = False
    while waiting:
        text = waiting.pop()
        if text in visited:
            continue
        visited.add(text)
        parts = _REQUIREMENT.match(text)
        try:
            brought = distribution(parts[1]) if parts else None
        except PackageNotFoundError:
            brought = None
        if brought is None:
            unknown = True
            names.update([normalised(parts[1]).replace("-", "_")] if parts else [])
        else:
            names.update(_top_level(brought))
            waiting += _needed_by(brought, set(re.findall(r"[^\s,]+", parts[2] or "")) if parts else set())
    return Packages(frozenset(names), unknown)


def distribution_with(module: str) -> str | None:
    """Return the name of an installed distribution that brings a module, for messages."""
    return next(iter(packages_distributions().get(module.partition(".")[0], ())), None)


def normalised(name: str) -> str:
    """Return the name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _needed_by(brought: Distribution, extras: set[str]) -> Iterator[str]:
    """Yield what an installed distribution needs here. Markers are read as far as they name an extra or are absent."""
    for text in brought.requires or ():
        parts = _REQUIREMENT.match(text)
        assert parts is not None
        wanted = re.findall(r"extra\s*==\s*[\"']([^\"']+)", parts[3])
        if (wanted and extras.isdisjoint(wanted)) or (parts[3] and not _is_installed(parts[1])):
            continue
        yield text.partition(";")[0]


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _top_level(brought: Distribution) -> Iterator[str]:
    """Yield the names that a distribution adds to the path."""
    for file in brought.files or ():
        if len(file.parts) > 1:
            if file.parts[0].isidentifier():
                yield file.parts[0]
        elif file.suffix in (".py", ".so", ".pyd"):
            yield file.name.partition(".")[0]
