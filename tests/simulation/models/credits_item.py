"""A clock, and the credit item of one subscription as it stood at any time: reads may see it late."""

from bisect import bisect_right
from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil, inf

SLOT_BYTES, ITEM_BYTES = 8, 64
"""Usual size of one slot, and of the rest of an item."""
SLICE_LANES = 64
"""Lanes of one item. It has less than a KiB, so that a write of a slot is one write unit."""


def read_units(lanes: int) -> float:
    """Return the units of an eventually consistent query of one Region's items."""
    slices = ceil(lanes / SLICE_LANES)
    return 0.5 * max(1, ceil((slices * ITEM_BYTES + lanes * SLOT_BYTES) / 4096))


class Clock:
    """A clock on which calls are due."""

    def __init__(self) -> None:
        self.now = 0.0
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Have something called later."""
        self._count += 1
        heappush(self._calls, (self.now + seconds, self._count, call))

    def run(self, until: float) -> None:
        """Make all calls that are due by then."""
        while self._calls and self._calls[0][0] <= until:
            self.now, _, call = heappop(self._calls)
            call()
        self.now = until


class CreditItem:
    """The credit items of one subscription in the Region that writes them, with all that their slots ever held."""

    def __init__(self) -> None:
        self.slots: dict[int, int] = {}
        self._past: dict[int, tuple[list[float], list[int]]] = {}
        self.writes = 0
        self.shrunk = 0

    def write(self, changes: dict[int, int], now: float) -> None:
        """Change slots. Every call is a write unit, whether its condition holds or not."""
        self.writes += 1
        for lane, grant in changes.items():
            if grant < self.slots.get(lane, -1):
                self.shrunk += 1
            self.slots[lane] = grant
            times, grants = self._past.setdefault(lane, ([], []))
            times.append(now)
            grants.append(grant)

    def read(self, as_of: float) -> dict[int, int]:
        """Return the slots as they stood at a time."""
        slots: dict[int, int] = {}
        for lane, (times, grants) in self._past.items():
            index = bisect_right(times, as_of)
            if index:
                slots[lane] = grants[index - 1]
        return slots

    def since(self, lane: int) -> float:
        """Return when a slot was written first."""
        return self._past[lane][0][0] if lane in self._past else inf
