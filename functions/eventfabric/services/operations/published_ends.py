"""Published ends: how far the handlers of a Region have published into other streams, and what another Region lacks."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from eventfabric.errors import LogError, UndecodableItemError
from eventfabric.model import Lane, Region, SequenceNumber
from eventfabric.ports import Ports
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.topology import Topology


@dataclass(frozen=True, slots=True)
class PublishedEnd:
    """The end of a lane into which handlers may have published: everything that they did stands before `sequence`."""

    stream: StreamTopology
    lane: Lane
    sequence: SequenceNumber

    def missing_from(self, ports: Ports) -> int:
        """Return how many events before it a Region lacks; 0 for a lane that cannot be read there, where it stops."""
        with suppress(LogError, UndecodableItemError):
            return max(0, self.sequence - ports.log_of(self.stream).tail(self.lane).sequence)
        return 0


def published_ends(
    topology: Topology, subscriptions: Iterable[SubscriptionTopology], ports: Ports, region: Region
) -> Iterator[PublishedEnd]:
    """Yield the end of each lane into which these subscriptions' handlers publish in a Region, by a read of each.

    Lanes that cannot be read are left out. PortError if the Region does not answer.
    """
    names = {name for subscription in subscriptions for name in subscription.definition.publishes}
    for name in sorted(names):
        stream = topology.stream(name)
        for lane in lanes_of(stream):
            # A handler publishes into lanes of its own Region alone, whoever delivers the source's lanes.
            if lane.origin != region:
                continue
            with suppress(LogError, UndecodableItemError):
                yield PublishedEnd(stream, lane, ports.log_of(stream).tail(lane).sequence)
