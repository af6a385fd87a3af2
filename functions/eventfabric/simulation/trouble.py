"""What services refuse: conflicts now and then, tables and partitions throttled for hours, queues out of reach."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Final

from eventfabric.memory.table import CONFLICT, THROTTLE, MemoryTable, Refuser
from eventfabric.simulation import history

if TYPE_CHECKING:
    from eventfabric.simulation.world import World

_READS: Final = ("GetItem", "Query")
_FAULTS: Final = {CONFLICT: "conflict", THROTTLE: "no capacity"}
THROTTLED_SHARE: Final = 0.7
"""Of the calls to a throttled table or partition: those that it refuses."""


class Trouble:
    """What the services of one fabric refuse at this moment. Nothing of it has an effect, and all of it passes."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._random = Random(f"{world.plan.seed} trouble")
        self._throttled: list[tuple[str, str, str]] = []
        self._away: list[tuple[str, str]] = []

    def refuser_of(self, table: MemoryTable) -> Refuser:
        """Decide for a table which of its calls are refused."""

        def refuse(action: str, key: tuple[Any, ...]) -> str | None:
            world = self._world
            if world.healed or world.is_calm:
                return None
            code, rate = CONFLICT, 0.0 if action in _READS else world.rate("conflict")
            if any(self._is_of(one, table, key) for one in self._throttled):
                code, rate = THROTTLE, THROTTLED_SHARE
            if not rate or self._random.random() >= rate:
                return None
            world.note(history.Called, table.region, call=f"{action} {table.name}", fault=_FAULTS[code])
            return code

        return refuse

    @staticmethod
    def _is_of(throttled: tuple[str, str, str], table: MemoryTable, key: tuple[Any, ...]) -> bool:
        region, name, partition = throttled
        return (table.region, table.name) == (region, name) and partition in ("", key[0])

    @contextmanager
    def throttling(self, table: MemoryTable, partition: str) -> Iterator[None]:
        """Throttle a table, or (where it is named) one partition of it."""
        throttled = (table.region, table.name, partition)
        self._throttled.append(throttled)
        try:
            yield
        finally:
            self._throttled.remove(throttled)

    @contextmanager
    def away(self, region: str, queue: str) -> Iterator[None]:
        """Have the doorbells' or timers' queues of a Region take and give nothing; or the `replies` of both be lost."""
        self._away.append((region, queue))
        try:
            yield
        finally:
            self._away.remove((region, queue))

    def is_away(self, region: str, queue: str) -> bool:
        """Say whether a Region's `doorbells` or `timers` are out of reach, or the `replies` of both."""
        return not self._world.healed and (region, queue) in self._away
