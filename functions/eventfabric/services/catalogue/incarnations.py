"""Incarnations of a definition's subscriptions, read from the catalogue when somebody first asks for one."""

from collections.abc import Iterator, Mapping

from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import SubscriptionFacts
from eventfabric.ports import Ports
from eventfabric.services.catalogue.facts import incarnation_of
from eventfabric.services.catalogue.lane import newest
from eventfabric.stream_topology import Incarnation
from eventfabric.topology import Topology


class DeclaredIncarnations(Mapping[str, Incarnation]):
    """The incarnations of subscriptions in a Region, by name: one read of one item for each stream.

    A look-up raises PortError or UndecodableRecordError if what is declared cannot be read. A subscription that is not
    declared is in its first incarnation.
    """

    def __init__(self, topology: Topology, region: Region, ports: Ports) -> None:
        self._topology, self._region, self._ports = topology, region, ports
        self._facts: dict[str, Mapping[str, SubscriptionFacts]] = {}

    def __getitem__(self, name: str) -> Incarnation:
        stream = self._topology.definition.subscriptions[name].stream
        if stream not in self._facts:
            self._facts[stream] = self._declared(stream)
        return incarnation_of(self._facts[stream].get(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._topology.definition.subscriptions)

    def __len__(self) -> int:
        return len(self._topology.definition.subscriptions)

    def __eq__(self, other: object) -> bool:
        return self is other  # comparing the content would read it

    __hash__ = object.__hash__

    def _declared(self, name: str) -> Mapping[str, SubscriptionFacts]:
        stream = self._topology.stream(name)
        if self._region not in stream.definition.regions:
            return {}
        lane = DeclarationLane.of(self._region, StreamName(name))
        declared = newest(self._ports.log_of(stream), lane)
        return {} if declared is None else declared.declaration.subscriptions


def as_declared(topology: Topology, region: Region, ports: Ports) -> Topology:
    """Return the topology with the incarnations that a Region declares, which are read when they are needed."""
    return Topology(topology.definition, DeclaredIncarnations(topology, region, ports))
