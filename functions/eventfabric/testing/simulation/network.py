"""Replication in the simulation: a courier for each table and pair of Regions, late and in no order across items."""

from typing import Final

from eventfabric.testing.memory.replication import TableLink
from eventfabric.testing.simulation.world import World

_LATE_SHARE: Final = 0.5
_LATE_SECONDS: Final = (5.0, 40.0, 200.0)


class Courier:
    """Takes the changes of one table from one Region to another. Some tables are later than others."""

    def __init__(self, world: World, link: TableLink) -> None:
        self._world = world
        self._link = link
        self._source = link.source.region
        self._name = f"replication {link.source.name} {self._source} {link.target.region}"
        self._is_late = world.rate("lag") > 0 and world.random.random() < 0.5

    def start(self) -> None:
        """Begin to copy."""
        self._world.schedule.spawn(self._name, self._run)

    def _run(self) -> None:
        world, link = self._world, self._link
        while True:
            if link.cut:
                world.schedule.wait("links")
            elif not link.has_news:
                world.schedule.wait(f"changes/{self._source}")
            else:
                world.schedule.pause(self._lag_seconds())
                # Only some changes at a time: later changes of other items may arrive before earlier ones.
                link.pass_on(world.random.randint(1, 8), world.random.randrange)
                world.look(self._name)

    def _lag_seconds(self) -> float:
        world = self._world
        lag = world.random.uniform(0.05, 1.5)
        share = _LATE_SHARE if self._is_late else world.rate("lag")
        if world.rate("lag") and world.random.random() < share:
            lag += world.random.choice(_LATE_SECONDS)
        return lag
