"""Subscriptions of a declaration of which a version cannot read each, because a later version has declared some."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from eventfabric.errors import LogError

Facts = TypeVar("Facts")


@dataclass(frozen=True)
class Unread:
    """Declared members of a subscription that a version cannot read, as they stand, and the reason."""

    members: object = field(repr=False)
    error: LogError


@dataclass(frozen=True)
class PartlyRead(Mapping[str, Facts]):
    """Subscriptions by name. Looking up an unread one raises its error, and so does going through all of them.

    So nobody takes an unread subscription for one that is not there. `readable` is for whoever can do without it.
    """

    readable: Mapping[str, Facts]
    unread: Mapping[str, Unread]

    def __getitem__(self, name: str) -> Facts:
        if name in self.unread:
            raise self.unread[name].error.with_traceback(None)
        return self.readable[name]

    def __iter__(self) -> Iterator[str]:
        for unread in self.unread.values():
            raise unread.error.with_traceback(None)
        return iter(self.readable)

    def __len__(self) -> int:
        return len(self.readable) + len(self.unread)


def readable_of(subscriptions: Mapping[str, Facts]) -> Mapping[str, Facts]:
    """Return the subscriptions without those that are unread."""
    return subscriptions.readable if isinstance(subscriptions, PartlyRead) else subscriptions


def unread_of(subscriptions: Mapping[str, Facts]) -> Mapping[str, Unread]:
    """Return those that are unread; most often none."""
    return subscriptions.unread if isinstance(subscriptions, PartlyRead) else {}


def with_facts(subscriptions: Mapping[str, Facts], name: str, facts: Facts) -> Mapping[str, Facts]:
    """Return subscriptions with another content for one of them, which must not be unread; the unread stay."""
    changed = {**readable_of(subscriptions), name: facts}
    return PartlyRead(changed, subscriptions.unread) if isinstance(subscriptions, PartlyRead) else changed
