"""Published ends: how far the handlers of a Region have published into other streams, and what another Region lacks."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from eventfabric.errors import LogError, UndecodableItemError
from eventfabric.model import EMPTY_TAIL, Lane, Region, SequenceNumber, Tail, tail_behind
from eventfabric.ports import Log, Ports
from eventfabric.services.lanes.lane_end import tail_from
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.topology import Topology


@dataclass(frozen=True, slots=True)
class PublishedEnd:
    """The end of a lane into which handlers may have published: everything that they did stands before `sequence`."""

    stream: StreamTopology
    lane: Lane
    sequence: SequenceNumber
    start: Tail = EMPTY_TAIL

    def missing_from(self, ports: Ports) -> int:
        """Return how many events before it a Region lacks; 0 for a lane that cannot be read there, where it stops."""
        with suppress(LogError, UndecodableItemError):
            return max(
                0, self.sequence - tail_from(ports.log_of(self.stream), self.lane, self.start).sequence
            )
        return 0


def published_ends(
    topology: Topology, subscriptions: Iterable[SubscriptionTopology], ports: Ports, region: Region
) -> Iterator[PublishedEnd]:
    """Yield the end of each lane into which these subscriptions' handlers publish in a Region, by a read of each.

    Lanes that were split are followed by their children.

    Lanes that cannot be read are left out. PortError if the Region does not answer.
    """
    names = {name for subscription in subscriptions for name in subscription.definition.publishes}
    for name in sorted(names):
        stream = topology.stream(name)
        for lane in lanes_of(stream):
            # A handler publishes into lanes of its own Region alone, whoever delivers the source's lanes.
            if lane.origin == region:
                yield from _ends(stream, lane, ports.log_of(stream))


def _ends(stream: StreamTopology, lane: Lane, log: Log, start: Tail = EMPTY_TAIL) -> Iterator[PublishedEnd]:
    """Yield the end of a lane, and of all that were split off from it."""
    with suppress(LogError, UndecodableItemError):
        tail = tail_from(log, lane, start)
        yield PublishedEnd(stream, lane, tail.sequence, start)
        for child in lane.children if tail.is_sealed else ():
            yield from _ends(stream, child, log, tail_behind(tail))
