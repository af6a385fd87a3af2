"""Deprecations: one warning a process for whoever still uses what will go, and the parts of this library that will.

A part is announced in one minor version, and goes in a later one; docs/upgrade.md says the rules. Event types are
announced in definitions, and warned of in the same way.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from inspect import currentframe
from logging import getLogger
from pathlib import Path
from typing import Final

_log = getLogger("eventfabric")
_warned: set[str] = set()
_OWN: Final = str(Path(__file__).parent)
"""Folder of this library: a warning is about the line outside of it."""


class FabricDeprecationWarning(DeprecationWarning):
    """Warning of something that will go: an event type, a key of the definition, a command, or a version."""


class PartKind(StrEnum):
    """The kind of a part of this library."""

    KEY = "key"
    """A key of the definition, such as `streams.*.express`; `*` stands for a name."""
    COMMAND = "command"
    """A command, such as `lanes mended`."""
    VERSION = "version"
    """A version, such as 0.1, which stands for all that begin like it."""


@dataclass(frozen=True, slots=True)
class DeprecatedPart:
    """A part of this library that will go: since which version that is announced, with which it goes, what to use."""

    kind: PartKind
    name: str
    since: str
    sunset: str
    use: str

    def __str__(self) -> str:
        return (
            f"{self.kind.value} {self.name} is deprecated since version {self.since}, and gone in {self.sunset}: "
            f"use {self.use}"
        )


PARTS: Final[tuple[DeprecatedPart, ...]] = ()
"""Every part that is deprecated in this version."""


def warn_once(message: str) -> bool:
    """Warn of something, in a log line and as a Python warning. False: this process was warned of it before.

    Raises FabricDeprecationWarning where the process makes errors of warnings.
    """
    if message in _warned:
        return False
    _warned.add(message)
    _log.warning("%s", message)
    warnings.warn(message, FabricDeprecationWarning, stacklevel=_level_of_user())
    return True


def _level_of_user() -> int:
    """Return how far above the caller the line is that called this library; the caller, if it has none above."""
    caller, level = currentframe(), 0
    while caller is not None and caller.f_code.co_filename.startswith(_OWN):
        caller, level = caller.f_back, level + 1
    return 1 if caller is None else level


def deprecated_among(
    kind: PartKind, names: Iterable[str], parts: Iterable[DeprecatedPart] | None = None
) -> Iterator[DeprecatedPart]:
    """Yield the deprecated parts of a kind that are named, each once. `parts`: default: PARTS."""
    used = list(names)
    for part in PARTS if parts is None else parts:
        if part.kind is kind and any(_is_named(part, name) for name in used):
            yield part


def deprecated_keys(tables: Mapping[str, object]) -> Iterator[DeprecatedPart]:
    """Yield the deprecated keys that a definition's tables have."""
    if PARTS:
        yield from deprecated_among(PartKind.KEY, _paths(tables))


def _is_named(part: DeprecatedPart, name: str) -> bool:
    if part.kind is PartKind.COMMAND:
        return part.name == name
    wanted, words = part.name.split("."), name.split(".")
    if part.kind is PartKind.VERSION:
        return words[: len(wanted)] == wanted
    pairs = zip(wanted, words, strict=False)
    return len(wanted) == len(words) and all(want in ("*", word) for want, word in pairs)


def _paths(tables: Mapping[str, object], above: str = "") -> Iterator[str]:
    """Yield the path of each key: `streams.orders.express`. A dot in a name counts as none."""
    for key, value in tables.items():
        path = above + key.replace(".", "_")
        yield path
        if isinstance(value, dict):
            yield from _paths(value, f"{path}.")
