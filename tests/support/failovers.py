"""Failovers, and how long they wait."""

from collections.abc import Callable
from dataclasses import replace

from eventfabric.model import Region
from eventfabric.ports import Ports
from eventfabric.services.operations.failover import Failover
from eventfabric.testing.memory.faults import Faults, Rule
from tests.support.failing_handlers import Failing, fabric_of, named, retry
from tests.support.memory_fabric import AWAY, HOME, event, lane
from tests.support.subscribed_stream import SubscribedStream


def failover(
    fabric: SubscribedStream,
    *rules: Rule,
    source: Region = HOME,
    target: Region = AWAY,
    own_only: bool = False,
) -> Failover:
    """Return a failover between two Regions. `rules` apply to calls to the source."""
    faults = Faults(*rules)

    def ports_in(region: Region) -> Ports:
        theirs = fabric.ports(region)
        return replace(
            theirs,
            ledger=faults.ledger(theirs.ledger),
            log_of=lambda stream: faults.log(theirs.log_of(stream)),
        )

    ports = replace(fabric.ports(target if target in fabric.topology.regions else source), at=ports_in)
    return Failover(fabric.topology, source=source, target=target, ports=ports, own_only=own_only)


class Waiting:
    """Waits by moving the clock on. `then`: calls to make during a wait, by its number."""

    def __init__(self, fabric: SubscribedStream, then: dict[int, Callable[[], object]] | None = None) -> None:
        self.seconds: list[float] = []
        self._world = fabric
        self._then = then or {}

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._world.clock.advance(seconds)
        self._then.get(len(self.seconds), lambda: None)()


def with_load() -> SubscribedStream:
    """Return a stream with a dead key, one to be tried again, and two events that nobody read, all replicated."""
    failing = Failing({"a1": 99, "b1": 99})
    fabric = fabric_of(failing, *named("a1"), **retry(immediate=0, attempts=1))
    fabric.deliver()
    fabric.put(*named("c1", "c2"))
    fabric.put(event("z"), of=lane(1))
    fabric.cloud.replicate()
    return fabric
