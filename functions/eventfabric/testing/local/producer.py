"""A producer of a local fabric: it takes its streams from the catalogue, as one that was connected by name."""

from collections.abc import Sequence

from eventfabric.contracts.checks import SchemaChecks
from eventfabric.contracts.folder import SchemaFolder
from eventfabric.model import Region
from eventfabric.ports import Clock, Entropy, Log, Ports
from eventfabric.sdk.fabric import Fabric
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import Faults
from eventfabric.topology import Topology


def producer(
    topology: Topology,
    region: str,
    ports: Ports,
    *,
    clock: Clock,
    entropy: Entropy,
    failover: Sequence[str] = (),
    losses: Faults | None = None,
    schemas: SchemaFolder | None = None,
) -> Fabric:
    """Make a producer of a Region that appends in the caller's thread. Of the topology it knows name and Regions.

    `losses`: what becomes of its calls to logs. `schemas`: those to which events are held.
    """
    faults = losses or Faults()

    def log_of(stream: StreamTopology, region: Region) -> Log:
        return faults.log(ports.at(region).log_of(stream))

    read_in = [Region(name) for name in (region, *failover)]
    return Fabric(
        DeclaredStreams(topology.fabric, read_in, log_of=log_of, clock=clock, regions=topology.regions),
        region,
        failover=failover,
        log_of=log_of,
        clock=clock,
        entropy=entropy,
        outbox=ports.outbox,
        ledger_of=lambda region: ports.at(region).ledger,
        doorbells_of=lambda region: ports.at(region).doorbells,
        credits_of=lambda region: ports.at(region).credits,
        parallel_lanes=0,
        schemas=closed(schemas),
    )


def closed(schemas: SchemaFolder | None) -> SchemaChecks | None:
    """Return how what is published is held to the schemas of a folder, if there is one."""
    return None if schemas is None else SchemaChecks(schemas, is_closed=True)
