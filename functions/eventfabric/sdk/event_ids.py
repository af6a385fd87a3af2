"""Ids of new events: UUIDv7s, their random halves in blocks."""

from eventfabric.copies import when_copied
from eventfabric.model import uuid7_prefix, uuid7_suffixes
from eventfabric.ports import Entropy


class EventIds:
    """Source of UUIDv7s. Their random halves are made in blocks, so that one id costs a look-up and a concatenation."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._prefix = (-1, "")
        self._begin()
        when_copied(self._begin)

    def _begin(self) -> None:
        self._suffixes: list[str] = []

    def __reduce__(self) -> tuple[type["EventIds"], tuple[Entropy]]:
        return EventIds, (self._entropy,)

    def next(self, now_ms: int) -> str:
        """Return a new id."""
        made_ms, prefix = self._prefix
        if made_ms != now_ms:
            prefix = uuid7_prefix(now_ms)
            self._prefix = (now_ms, prefix)
        while True:
            try:
                return prefix + self._suffixes.pop()
            except IndexError:
                self._suffixes = uuid7_suffixes(self._entropy.bytes(10))

    def take(self, now_ms: int, count: int) -> list[str]:
        """Return `count` new ids in their order, from blocks of their own, of which nobody else takes any meanwhile."""
        prefix, taken = uuid7_prefix(now_ms), list[str]()
        while len(taken) < count:
            block = uuid7_suffixes(self._entropy.bytes(10), prefix)
            taken += block[: -1 - (count - len(taken)) : -1]
        return taken
