"""A simulated machine: it lives until it dies, others run while it waits, and it has its own clock."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import Random

from eventfabric.testing.contexts import environment, variables_now
from eventfabric.testing.memory.faults import SimulatedCrash
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history_entry import Entry
from eventfabric.testing.simulation.schedule import ProcessClock
from eventfabric.testing.simulation.world import World

_BASE_LATENCY_SECONDS = 0.004


class Machine:
    """One machine of a Region. `is_dead`: it has no effect any more, whatever its code still tries."""

    def __init__(self, world: World, name: str, region: str) -> None:
        self.world = world
        self.name = name
        self.region = region
        self.random = Random(f"{world.plan.seed} {name}")
        self.torn = Random(f"{world.plan.seed} {name} torn")
        self.clock = ProcessClock(world.schedule, world.skew_ms(region, self.random))
        self.is_dead = False
        self.is_stalled = False
        self.until_us: int | None = None
        self._outside: Mapping[str, str | None] | None = None
        """While the project's code runs: the values, for all others, of the variables that it finds."""
        world.processes.append(self)

    def tell(self, kind: type[Entry], **about: object) -> None:
        """Note in the history what happened here."""
        self.world.note(kind, self.name, **about)

    def die(self, reason: str) -> None:
        """End the process at once: note it, and raise SimulatedCrash."""
        if not self.is_dead:
            self.is_dead = True
            self.tell(history.Crashed, reason=reason)
        raise SimulatedCrash(reason)

    def breathe(self, seconds: float) -> None:
        """Let others run for `seconds`. SimulatedCrash if the process did not survive that."""
        if not self.is_dead and self._outside is not None:
            self._pause_own_code(seconds, self._outside)
        elif not self.is_dead:
            self.world.schedule.pause(seconds)
        if self.is_dead:
            raise SimulatedCrash(self.name)
        if self.until_us is not None and self.world.schedule.now_us > self.until_us and not self.is_stalled:
            self.die("its time was up")

    @contextmanager
    def own_code(self, variables: Mapping[str, str]) -> Iterator[None]:
        """Run the project's code with its function's variables; what runs while it pauses does not find them."""
        self._outside = variables_now(variables)
        try:
            with environment(variables):
                yield
        finally:
            self._outside = None

    def _pause_own_code(self, seconds: float, outside: Mapping[str, str | None]) -> None:
        """Pause while others run in this thread, and restore the event loop and environment of the project's code."""
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            with environment(outside):
                self.world.schedule.pause(seconds)
        finally:
            asyncio._set_running_loop(loop)

    def draws(self, fault: str) -> bool:
        """Tell if a fault happens now."""
        rate = self.world.rate(fault)
        return rate > 0 and self.random.random() < rate

    def latency_seconds(self) -> float:
        """Draw the duration of one call."""
        return _BASE_LATENCY_SECONDS * (0.25 + self.random.expovariate(1.0)) * self.world.plan.slowness

    def tears(self) -> bool:
        """Tell if reads are to see this machine's next transaction item by item."""
        rate = self.world.rate("torn")
        return rate > 0 and self.torn.random() < rate
