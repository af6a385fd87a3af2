"""Refusals of services: occasional conflicts, tables and partitions throttled for hours, unreachable queues."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol, TypeVar

from eventfabric.testing.memory.refusals import CONFLICT, DENIED, KEY_DENIED, THROTTLE, Refuser
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history_entry import Entry
from eventfabric.testing.simulation.plan import Plan

_READS: Final = ("GetItem", "Query")
_FAULTS: Final = {CONFLICT: "conflict", THROTTLE: "no capacity", DENIED: "denied", KEY_DENIED: "key denied"}
T = TypeVar("T")
THROTTLED_SHARE: Final = 0.7
"""Share of the calls to a throttled table or partition that are refused."""


@dataclass(frozen=True)
class Denial:
    """Calls that are denied in one Region: to some tables, writes only or all calls, for some partitions or all.

    `part`: text in the keys of these partitions; empty: all.
    """

    region: str
    tables: frozenset[str]
    code: str = DENIED
    writes_only: bool = False
    part: str = ""

    def is_of(self, table: MemoryTable, action: str, key: tuple[Any, ...]) -> bool:
        """Tell if it covers a call."""
        if self.writes_only and action in _READS:
            return False
        return (table.region, table.name in self.tables) == (self.region, True) and self.part in str(key[0])


class TroubledFabric(Protocol):
    """The part of the simulated fabric that is needed here; see world.World."""

    plan: Plan
    healed: bool
    is_calm: bool

    def rate(self, fault: str) -> float:
        """Return how often a fault happens now."""
        ...

    def note(self, kind: type[Entry], actor: str, **about: object) -> None:
        """Add an entry to the history."""
        ...


class Trouble:
    """Refusals of one fabric's services at this moment. Refused calls have no effect, and all refusals end."""

    def __init__(self, world: TroubledFabric) -> None:
        self._world = world
        self._random = Random(f"{world.plan.seed} trouble")
        self._throttled: list[tuple[str, str, str]] = []
        self._denied: list[Denial] = []
        self._away: list[tuple[str, str]] = []

    def refuser_of(self, table: MemoryTable) -> Refuser:
        """Return a function that decides which of a table's calls are refused."""

        def refuse(action: str, key: tuple[Any, ...]) -> str | None:
            world = self._world
            if world.healed or world.is_calm:
                return None
            code, rate = CONFLICT, 0.0 if action in _READS else world.rate("conflict")
            if any(self._is_of(place, table, key) for place in self._throttled):
                code, rate = THROTTLE, THROTTLED_SHARE
            for denial in self._denied:
                if denial.is_of(table, action, key):
                    code, rate = denial.code, 1.0
            if not rate or self._random.random() >= rate:
                return None
            world.note(history.Called, table.region, call=f"{action} {table.name}", fault=_FAULTS[code])
            return code

        return refuse

    @staticmethod
    def _is_of(throttled: tuple[str, str, str], table: MemoryTable, key: tuple[Any, ...]) -> bool:
        region, name, partition = throttled
        return (table.region, table.name) == (region, name) and partition in ("", key[0])

    def throttling(self, table: MemoryTable, partition: str) -> AbstractContextManager[None]:
        """Throttle a table, or one partition of it (empty: all)."""
        return _listed(self._throttled, (table.region, table.name, partition))

    def denying(self, denial: Denial) -> AbstractContextManager[None]:
        """Deny calls. To the caller, a denial looks permanent."""
        return _listed(self._denied, denial)

    def away(self, region: str, queue: str) -> AbstractContextManager[None]:
        """Make a Region's `doorbells` or `timers` queues unreachable, or lose the `replies` of both."""
        return _listed(self._away, (region, queue))

    def is_away(self, region: str, queue: str) -> bool:
        """Tell if a Region's `doorbells` or `timers` queues are unreachable, or the `replies` of both are lost."""
        return not self._world.healed and (region, queue) in self._away


@contextmanager
def _listed(trouble: list[T], entry: T) -> Iterator[None]:
    trouble.append(entry)
    try:
        yield
    finally:
        trouble.remove(entry)
