"""A Region in memory whose producers write to a table of their own and publish in one transaction."""

from eventfabric import Fabric
from eventfabric.definition.file import parse_definition
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import Faults
from eventfabric.testing.memory.requests import Requests
from eventfabric.topology import Topology
from tests.support.memory_fabric import MemoryFabric

US = "us-east-1"
TOPOLOGY = Topology(
    parse_definition(
        f'[fabric]\nname = "shop"\nregions = ["{US}"]\n'
        "[streams.orders]\nlanes = 2\nretention_days = 7\n[streams.audit]\nlanes = 1\n"
    )
)


class OutboxProducers(MemoryFabric):
    """Producers of one Region that share nothing but what is stored, with a table `own` beside the logs."""

    def __init__(self, *, seed: int = 1) -> None:
        super().__init__(TOPOLOGY, seed=seed)
        self.own = self.cloud.regions[US].create_table("own", key_names=("id",))
        self._seed = seed

    def fabric(self, faults: Faults | None = None, *, tries: int = 3, timeout_seconds: float = 30) -> Fabric:
        self._seed += 1
        requests = Requests(faults, tries=tries)
        return self.producer(
            log_of=lambda stream, region: self.cloud.log(stream.name, region, requests=requests),
            entropy=SeededEntropy(self._seed),
            outbox=self.cloud.outbox(US, requests=requests),
            append_timeout_seconds=timeout_seconds,
        )

    def ids(self, stream: str = "orders") -> list[str]:
        return sorted(str(event.id) for event in self.events(stream))
