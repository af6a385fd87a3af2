"""Replication in the simulation: couriers between Regions, who take their time and keep no order across items."""

from eventfabric.simulation.world import World


class Courier:
    """Takes changes from one Region to another."""

    def __init__(self, world: World, source: str, target: str) -> None:
        self._world = world
        self._source = source
        self._links = [
            link for link in world.cloud.links if (link.source.region, link.target.region) == (source, target)
        ]
        self._name = f"replication {source} {target}"

    def start(self) -> None:
        """Begin."""
        if self._links:
            self._world.schedule.spawn(self._name, self._run)

    def _run(self) -> None:
        world = self._world
        while True:
            open_links = [link for link in self._links if not link.cut and link.has_news]
            if not open_links:
                cut = any(link.cut for link in self._links)
                world.schedule.wait("links" if cut else f"changes/{self._source}")
                continue
            world.schedule.pause(self._lag_seconds())
            for link in open_links:
                # Some changes at a time: what stands behind them, in other items, may well be there before.
                link.pass_on(world.random.randint(1, 8), world.random.randrange)
                world.look(self._name)

    def _lag_seconds(self) -> float:
        world = self._world
        lag = world.random.uniform(0.05, 1.5)
        if world.rate("lag") and world.random.random() < world.rate("lag"):
            lag += world.random.choice([5.0, 40.0, 200.0])
        return lag
