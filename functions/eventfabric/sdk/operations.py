"""What operators do with subscriptions in one Region: look at dead letters and decide them, pause and resume."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Self

from eventfabric.errors import WrongRegionError
from eventfabric.model.circuit import Circuit
from eventfabric.model.identity import Region, StreamName, SubscriptionName
from eventfabric.ports import Ports
from eventfabric.services.breaker import Breaker
from eventfabric.services.dead_letters import DeadLetters
from eventfabric.services.survey import lanes_of
from eventfabric.telemetry import NoTelemetry
from eventfabric.topology import StreamTopology, SubscriptionTopology, Topology

if TYPE_CHECKING:
    from boto3.session import Session


class Operations:
    """A fabric in one Region, as its operators see it."""

    def __init__(self, topology: Topology, region: str, ports: Ports) -> None:
        self.topology = topology
        self.region = Region(region)
        self._ports = ports

    @classmethod
    def from_definition(
        cls,
        path: str | PathLike[str],
        *,
        region: str,
        session: "Session | None" = None,
        endpoint_url: str | None = None,
    ) -> Self:
        """The fabric of a definition file, in a Region. Errors as `Fabric.from_definition`."""
        from eventfabric.aws.clients import Clients
        from eventfabric.aws.region import aws_ports
        from eventfabric.definition_file import read_definition

        topology = Topology(read_definition(Path(path)))
        if region not in topology.regions:
            raise WrongRegionError(f"fabric {topology.fabric}", region, topology.regions)
        clients = Clients(region, session=session, endpoint_url=endpoint_url)
        return cls(topology, region, aws_ports(topology, clients))

    def dead_letters(self, subscription: str) -> DeadLetters:
        """The dead letters of a subscription; UnknownNameError."""
        found, ports = self.topology.subscription(subscription), self._ports
        stream = self._stream(found)
        return DeadLetters(
            found, lanes_of(stream),
            log=ports.log_of(stream), ledger=ports.ledger, doorbells=ports.doorbells, clock=ports.clock,
        )  # fmt: skip

    def circuit(self, subscription: str) -> Circuit:
        """Whether its deliveries run, and since when they do not."""
        found = self.topology.subscription(subscription)
        return self._ports.ledger.circuit(StreamName(found.definition.stream), SubscriptionName(found.name))

    def pause(self, subscription: str, reason: str = "") -> bool:
        """Stop its deliveries; functions that are warm notice within seconds. False: somebody was faster, try again."""
        return self._breaker(subscription).pause(reason)

    def resume(self, subscription: str) -> bool:
        """Let its deliveries go on, paused or with an open circuit, and ring every lane. False: try again."""
        return self._breaker(subscription).resume()

    def _breaker(self, subscription: str) -> Breaker:
        found, ports = self.topology.subscription(subscription), self._ports
        return Breaker(
            found, region=self.region, lanes=lanes_of(self._stream(found)), ledger=ports.ledger,
            doorbells=ports.doorbells, clock=ports.clock, telemetry=NoTelemetry(),
        )  # fmt: skip

    def _stream(self, subscription: SubscriptionTopology) -> StreamTopology:
        stream = self.topology.stream(subscription.definition.stream)
        stream.check_region(self.region)
        return stream
