"""Values of a definition's raw tables, for the rules between keys, and how a broken rule is reported."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import NamedTuple

from eventfabric.definition.annotations import KeyPath
from eventfabric.definition.guarantee import Guarantee
from eventfabric.definition.schema import FabricSection, Stream, Subscription
from eventfabric.definition.sections import Retry

_TABLES = {"fabric": FabricSection, "streams": Stream, "subscriptions": Subscription}


class BrokenRule(NamedTuple):
    """A broken rule: where, what was found, what is allowed."""

    path: KeyPath
    found: str
    allowed: str


class Facts:
    """Values of the file, or their defaults. None stands for no value, and for one that is wrong by itself."""

    def __init__(self, raw: Mapping[str, object], wrong: frozenset[KeyPath]) -> None:
        self._raw, self._wrong = raw, wrong

    def names(self, section: str) -> tuple[str, ...]:
        """List the names of the tables in a section."""
        tables = self._raw.get(section)
        return tuple(tables) if isinstance(tables, dict) else ()

    def text(self, *path: str) -> str | None:
        value = self._value(path)
        return value if isinstance(value, str) else None

    def number(self, *path: str) -> float | None:
        value = self._value(path)
        return value if isinstance(value, int | float) else None

    def texts(self, *path: str) -> tuple[str, ...] | None:
        value = self._value(path)
        return tuple(str(item) for item in value) if isinstance(value, list | tuple) else None

    def regions(self, stream: str | None) -> tuple[str, ...] | None:
        """Regions of a stream, or of the fabric if the stream names none; None if these or the stream are unknown."""
        if stream is None or stream not in self.names("streams"):
            return None
        own = self.texts("streams", stream, "regions")
        return self.texts("fabric", "regions") if own == () else own

    def guarantee(self, subscription: str) -> Guarantee | None:
        """Guarantee of a subscription."""
        text = self.text("subscriptions", subscription, "guarantee")
        return None if text is None else Guarantee(text)

    def given(self, *path: str) -> object:
        """Return the value of a key that the file has, without a default."""
        return self._value(path, default=False)

    def is_wrong(self, *path: str) -> bool:
        """Tell if a value is wrong by itself."""
        return any(_is_prefix(wrong, path) or _is_prefix(path, wrong) for wrong in self._wrong)

    def _value(self, path: Sequence[str], *, default: bool = True) -> object:
        if self.is_wrong(*path):
            return None
        table: object = self._raw
        for key in path[:-1]:
            table = table.get(key, {}) if isinstance(table, dict) else None
        if not isinstance(table, dict):
            return None
        if path[-1] in table:
            return table[path[-1]]
        return _default(path) if default else None


def _is_prefix(path: KeyPath, of: Sequence[str | int]) -> bool:
    return path == tuple(of[: len(path)])


def _default(path: Sequence[str]) -> object:
    kind = Retry if "retry" in path else _TABLES[path[0]]
    for field in fields(kind):
        if field.name == path[-1]:
            return None if field.default is MISSING else field.default
    return None


def duplicates(path: KeyPath, values: Sequence[str] | None) -> Iterator[BrokenRule]:
    """Yield each value of a list that has come before."""
    for place, value in enumerate(values or ()):
        if values is not None and value in values[:place]:
            yield BrokenRule((*path, place), f"{quoted(value)} again", "each value once")


def quoted(text: str) -> str:
    """Write a text as the file has it."""
    return f'"{text}"'


def listed(texts: Sequence[str]) -> str:
    """Write texts one after the other."""
    return ", ".join(texts)
