"""Deployments of one Region, as they are declared: streams, and a subscription that comes, goes, or is rolled back."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from eventfabric.errors import (
    DeclarationRefusedError,
    EventFabricError,
    LastingError,
    NotDeclaredError,
    Problem,
)
from eventfabric.formats import OWN_FORMATS, Formats
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import (
    Catalogue,
    Declaration,
    Declared,
    DeclaredChange,
    State,
    SubscriptionFacts,
    as_elsewhere,
    deployed,
    formats_raised,
    in_state,
    redeployed,
    stream_deployed,
)
from eventfabric.ports import Ports
from eventfabric.services.catalogue.declare import Update, declare
from eventfabric.services.catalogue.facts import stream_facts, subscription_facts
from eventfabric.services.catalogue.lane import catalogue_of, readable_history
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.topology import Topology
from eventfabric.version import VERSION


@dataclass(frozen=True)
class Deployer:
    """A deployment of a definition in one Region: by whom, and the id of its request."""

    topology: Topology
    region: Region
    ports: Ports
    by: str
    request_id: str
    version: str = VERSION
    """Version of this library that is deployed."""
    formats: Formats = OWN_FORMATS
    """The newest formats that this version knows."""
    fences: bool = False
    """Declare also what is declared already: this request may come again, or an earlier one still be under way."""
    is_over: Callable[[], bool] = lambda: False
    """Tells if the request has had its answer: nothing is declared for it any more."""
    refuse: Callable[[Declaration], None] = lambda read: None
    """Called with what the next declaration follows, perhaps several times. What it raises keeps it from being made."""

    def declare_stream(self, stream: StreamTopology) -> Declared | None:
        """Declare a stream as it is deployed here. Errors as `declare`."""
        change = self.change("stream deployed")
        return self._declare(stream, lambda read: self._stream_deployed(stream, read, change))

    def declare_together(self, stream: StreamTopology) -> Declared | None:
        """Declare a stream and all its subscriptions as they are deployed here. Errors as `declare`."""
        change = self.change("all deployed")

        def update(read: Declaration | None) -> Declaration:
            declaration = self._stream_deployed(stream, read, change)
            catalogue = self.catalogue(stream) if stream.subscriptions else {}
            for own in stream.subscriptions:
                declaration = deployed(declaration, catalogue, self.region, self._facts(own), change)
            return declaration

        return self._declare(stream, update)

    def declare_stream_gone(self, stream: StreamTopology) -> Declared | None:
        """Declare that nothing is deployed of a stream here any more. Its table may have left the Region before."""
        change = self.change("stream undeployed")

        def gone(read: Declaration | None) -> Declaration | None:
            return read and read.with_stream(replace(read.stream, is_deployed=False), change)

        try:
            return self._declare(stream, gone)
        except LastingError as error:
            if not error.is_missing:
                raise
            return None

    def declare_subscription(
        self, subscription: SubscriptionTopology, *, rolls_back: bool = False, exists: bool = False
    ) -> Declared | None:
        """Declare a subscription as it is deployed here; `rolls_back`: as it was before. Errors as `declare`.

        `exists`: its stack was there before. What was retired meanwhile stays retired: only a new stack begins anew, or
        the definition of something else would bring back what an operator has ended.

        NotDeclaredError: its stream has to be declared first.
        """
        stream = self.topology.stream(subscription.definition.stream)
        facts = self._facts(subscription)
        change = self.change("rolled back" if rolls_back else "deployed", subscription.name)

        def update(read: Declaration | None) -> Declaration:
            if read is None:
                raise NotDeclaredError(stream.name, self.region)
            own = read.subscriptions.get(facts.name)
            if rolls_back and own is not None:
                return redeployed(read, self._history(stream), facts, change)
            # A lane that has lost it says nothing of its life: what the other Regions have declared does.
            if exists and own is not None and own.state is State.RETIRED:
                return read.with_subscription(own.retired(), change)
            return deployed(read, self.catalogue(stream), self.region, facts, change)

        return self._declare(stream, update)

    def declare_gone(self, subscription: SubscriptionTopology) -> Declared | None:
        """Declare that a subscription is not deployed here any more. It is not retired by that."""
        stream = self.topology.stream(subscription.definition.stream)
        return self.declare_state(stream, subscription.name, State.UNDEPLOYED)

    def declare_state(
        self,
        stream: StreamTopology,
        name: str,
        state: State,
        *,
        of: Collection[State] = tuple(State),
        incarnation: int | None = None,
        highest: int = 0,
    ) -> Declared | None:
        """Declare that a subscription is in another state here. One that is retired stays so. Errors as `declare`.

        `of`: states that are left for it. `incarnation`: the only one that is meant. `highest`: the highest that any
        Region knows of.
        """
        change = self.change(state.value, name)

        def update(read: Declaration | None) -> Declaration | None:
            if read is None:
                return None
            left = in_state(read, name, state, change, of=of, incarnation=incarnation, highest=highest)
            return left or replace(read, change=change)

        return self._declare(stream, update)

    def declare_formats(self, stream: StreamTopology, formats: Formats) -> Declared | None:
        """Declare that whoever reads and writes a stream must know these formats. Errors as `declare`.

        NotDeclaredError: the stream has to be declared first.
        """
        change = self.change("formats raised")

        def update(read: Declaration | None) -> Declaration:
            if read is None:
                raise NotDeclaredError(stream.name, self.region)
            return formats_raised(read, formats, change)

        return self._declare(stream, update)

    def catalogue(self, stream: StreamTopology) -> Catalogue:
        """Return what all Regions have declared of a stream, as far as it has come here."""
        regions = [Region(name) for name in stream.definition.regions]
        return catalogue_of(self.ports.log_of(stream), StreamName(stream.name), regions)

    def change(self, kind: str, of: str = "") -> DeclaredChange:
        """Describe a change that this deployment makes."""
        now_ms = self.ports.clock.now_ms()
        return DeclaredChange(
            kind=kind, of=of, by=self.by, request_id=self.request_id, version=self.version, at_ms=now_ms
        )

    def _stream_deployed(
        self, stream: StreamTopology, read: Declaration | None, change: DeclaredChange
    ) -> Declaration:
        facts = stream_facts(self.topology, stream, self.formats)
        if read is None or not read.stream.is_deployed:
            facts = as_elsewhere(self.catalogue(stream), facts)
        return stream_deployed(read, facts, change)

    def _facts(self, subscription: SubscriptionTopology) -> SubscriptionFacts:
        return subscription_facts(self.topology, subscription, version=self.version, formats=self.formats)

    def _history(self, stream: StreamTopology) -> Iterator[Declaration]:
        return readable_history(self.ports.log_of(stream), self._lane(stream))

    def _lane(self, stream: StreamTopology) -> DeclarationLane:
        return DeclarationLane.of(self.region, StreamName(stream.name))

    def _declare(self, stream: StreamTopology, update: Update) -> Declared | None:
        def checked(read: Declaration | None) -> Declaration | None:
            if self.is_over():
                allowed = "a request that waits for its answer"
                raise DeclarationRefusedError([Problem(f"request {self.request_id}", "answered", allowed)])
            if read is not None:
                self.refuse(read)
            return update(read)

        return declare(
            self.ports.log_of(stream),
            self._lane(stream),
            checked,
            clock=self.ports.clock,
            entropy=self.ports.entropy,
            source=stream.source,
            fences=self.fences,
        )


def declare_all(deployer: Deployer) -> None:
    """Declare everything that a definition deploys in a Region, each stream with its subscriptions at once."""
    for stream in deployer.topology.streams_in(deployer.region):
        deployer.declare_together(stream)


def declare_each(calls: Iterable[Callable[[], object]]) -> None:
    """Make all of these calls, and raise an error at the end: a stream that fails keeps back no other.

    That is the first one after which it is sensible to try again, if there is any, or nobody would for that stream.
    """
    failed: list[EventFabricError] = []
    for call in calls:
        try:
            call()
        except EventFabricError as error:
            failed.append(error)
    if failed:
        raise max(failed, key=lambda error: error.retryable)
