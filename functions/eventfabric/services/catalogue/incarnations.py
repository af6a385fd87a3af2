"""Subscriptions as a Region declares them: their incarnations, and those that a definition lacks, read when needed."""

from collections.abc import Iterator, Mapping

from eventfabric.errors import SettingError, UndecodableRecordError
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import Declaration, State, SubscriptionFacts
from eventfabric.model.partly_read import readable_of, unread_of
from eventfabric.ports import Ports
from eventfabric.services.catalogue.facts import declared_subscription, incarnation_of
from eventfabric.services.catalogue.known import KnownDeclaration
from eventfabric.stream_topology import Incarnation, StreamTopology, SubscriptionTopology
from eventfabric.topology import Topology


class DeclaredIncarnations(Mapping[str, Incarnation]):
    """The incarnations of subscriptions in a Region, by name: one read of one item for each stream and minute.

    A look-up raises PortError or UndecodableRecordError if what is declared cannot be read, nor what was before. A
    subscription that is not declared is in its first incarnation.
    """

    def __init__(self, topology: Topology, region: Region, ports: Ports) -> None:
        self._topology, self._region, self._ports = topology, region, ports
        self._known: dict[str, KnownDeclaration] = {}

    def __getitem__(self, name: str) -> Incarnation:
        return incarnation_of(self.facts_in(self._topology.definition.subscriptions[name].stream).get(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._topology.definition.subscriptions)

    def __len__(self) -> int:
        return len(self._topology.definition.subscriptions)

    def __eq__(self, other: object) -> bool:
        return self is other  # comparing the content would read it

    __hash__ = object.__hash__

    def facts_in(self, stream: str) -> Mapping[str, SubscriptionFacts]:
        """Return all that is declared of a stream's subscriptions. Errors as a look-up."""
        declaration = self.declaration_of(stream)
        return {} if declaration is None else declaration.subscriptions

    def declaration_of(self, stream: str) -> Declaration | None:
        """Return all that is declared of a stream; None: nothing is. Errors as a look-up."""
        if self._region not in self._topology.stream(stream).definition.regions:
            return None
        if stream not in self._known:
            self._known[stream] = known_declaration(self._topology.stream(stream), self._region, self._ports)
        try:
            declared = self._known[stream].now()
        except UndecodableRecordError as error:
            if error.sequence:
                raise
            return None  # nothing was declared before it
        return None if declared is None else declared.declaration


class DeclaredTopology(Topology):
    """Topology of a definition, with all that a Region declares beside it: incarnations, and further subscriptions.

    That is read when somebody first needs it. Errors as DeclaredIncarnations.
    """

    def __init__(self, topology: Topology, region: Region, ports: Ports) -> None:
        self._declared = DeclaredIncarnations(topology, region, ports)
        self._region = region
        super().__init__(topology.definition, self._declared)

    def subscription(self, name: str) -> SubscriptionTopology:
        """Return the subscription of that name, in whatever state it is declared. UnknownNameError if there is none."""
        if name not in self.subscriptions:
            for stream in self.streams_in(self._region):
                facts = self._declared.facts_in(stream.name).get(name)
                if facts is not None:
                    return declared_subscription(self.fabric, stream.definition, facts)
        return super().subscription(name)

    def subscriptions_of(self, stream: StreamTopology) -> tuple[SubscriptionTopology, ...]:
        """Return the definition's subscriptions of a stream, and what else is declared there and was not retired."""
        others = (
            declared_subscription(self.fabric, stream.definition, facts)
            for name, facts in readable_of(self._declared.facts_in(stream.name)).items()
            if name not in self.subscriptions and facts.state is not State.RETIRED
        )
        return (*self.stream(stream.name).subscriptions, *others)

    def delivered_of(self, stream: StreamTopology) -> list[SubscriptionTopology]:
        """Return the subscriptions of a stream that are not retired, or of which nobody can read if they are."""
        defined = self.stream(stream.name).subscriptions
        try:
            every = self.subscriptions_of(stream)
        except UndecodableRecordError:  # of all: each says so when somebody needs more of it
            return list(defined)
        unread = unread_of(self._declared.facts_in(stream.name))
        return [own for own in every if own.name in unread or self.state_of(own) is not State.RETIRED]

    def facts_of(self, subscription: SubscriptionTopology) -> SubscriptionFacts | None:
        """Return what is declared of a subscription; None: nothing is."""
        return self._declared.facts_in(subscription.definition.stream).get(subscription.name)

    def state_of(self, subscription: SubscriptionTopology) -> State | None:
        """Return the state in which a subscription is declared; None: it is not."""
        facts = self.facts_of(subscription)
        return None if facts is None else facts.state

    def is_closing(self, stream: str) -> bool:
        """Tell if the Region is declared as closing for a stream, so that nothing is published in it."""
        declaration = self._declared.declaration_of(stream)
        return declaration is not None and self._region in declaration.stream.closing


def delivered_subscription(topology: Topology, name: str) -> SubscriptionTopology:
    """Return the subscription of that name. UnknownNameError if there is none; SettingError if it is retired."""
    subscription = topology.subscription(name)
    if isinstance(topology, DeclaredTopology) and topology.state_of(subscription) is State.RETIRED:
        raise SettingError("subscription", f"{name}, which is retired", "one that is not")
    return subscription


def delivered_subscriptions(topology: Topology) -> list[SubscriptionTopology]:
    """Return the subscriptions of a definition, and what else is declared; but none that is retired.

    One of which the declaration cannot be read is among them. Asking it for its incarnation raises that error.
    """
    if not isinstance(topology, DeclaredTopology):
        return list(topology.subscriptions.values())
    return [own for stream in topology.streams.values() for own in topology.delivered_of(stream)]


def known_declaration(stream: StreamTopology, region: Region, ports: Ports) -> KnownDeclaration:
    """Return what a Region declares of a stream, for operators, who go on if the newest declaration is spoilt."""
    lane = DeclarationLane.of(region, StreamName(stream.name))
    return KnownDeclaration(ports.log_of(stream), lane, ports.clock, goes_back=True)


def as_declared(topology: Topology, region: Region, ports: Ports) -> DeclaredTopology:
    """Return the topology with what a Region declares, which is read when it is needed."""
    return DeclaredTopology(topology, region, ports)
