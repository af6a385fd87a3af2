"""Deprecations: one warning a process for whoever still uses what will go, and the parts of this library that will.

A part is announced in one version and goes in a later one, never sooner than two minor versions after; docs/upgrade.md
says the rules. Event types are announced in definitions, and warned of in the same way.
"""

import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
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
    if sys.version_info >= (3, 12):
        warnings.warn(message, FabricDeprecationWarning, skip_file_prefixes=(_OWN,))
    else:
        warnings.warn(message, FabricDeprecationWarning, stacklevel=2)
    return True


def deprecated_among(
    kind: PartKind, names: Iterable[str], parts: Iterable[DeprecatedPart] = PARTS
) -> Iterator[DeprecatedPart]:
    """Yield the deprecated parts of a kind that are named; each once."""
    used = {name: name.split(".") for name in names}
    for part in parts:
        if part.kind is kind and any(_fits(part, name, words) for name, words in used.items()):
            yield part


def _fits(part: DeprecatedPart, name: str, words: list[str]) -> bool:
    if part.kind is PartKind.COMMAND:
        return part.name == name
    wanted = part.name.split(".")
    if part.kind is PartKind.VERSION:
        return words[: len(wanted)] == wanted
    pairs = zip(wanted, words, strict=False)
    return len(wanted) == len(words) and all(want in ("*", word) for want, word in pairs)
