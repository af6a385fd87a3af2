"""Retire: end a subscription in every Region, after what it has to deliver was delivered or given up.

    look        what is left for it, Region by Region and lane by lane
    drain       declared `draining`: what was published before is still delivered, and waited for
    end         declared `retired`: nothing is delivered any more; whoever takes the name begins anew

Each step may be repeated: what is declared stays, in the lane of its Region.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from eventfabric.errors import DrainError, EventFabricError, SettingError, UnknownNameError
from eventfabric.model import (
    DeclarationLane,
    Lane,
    ParkedState,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)
from eventfabric.model.catalogue import State, SubscriptionFacts, facts_of
from eventfabric.ports import Ports
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.catalogue.facts import declared_subscription
from eventfabric.services.catalogue.lane import catalogue_of, newest
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.lanes.tails import tails_of
from eventfabric.services.operations.parked_keys import parked_keys
from eventfabric.services.operations.survey import LaneStanding, ring_again, survey
from eventfabric.stream_topology import StreamTopology
from eventfabric.topology import Topology

WAIT_SECONDS = 5.0
"""Time between two looks at what is left, while a subscription drains."""


@dataclass(frozen=True, slots=True)
class LaneLeft:
    """Things that are left of a lane: events that wait, and parked keys that are retried or dead."""

    standing: LaneStanding
    retrying: int
    dead: int

    @property
    def lane(self) -> Lane:
        """Lane of which it is left."""
        return self.standing.lane

    @property
    def waiting(self) -> int:
        """Number of events from the first one on that waits."""
        return self.standing.lag

    @property
    def is_nothing(self) -> bool:
        """Tell if nothing is left."""
        return not (self.waiting or self.retrying or self.dead)


@dataclass(frozen=True, slots=True)
class RegionLeft:
    """State of a subscription in a Region, and what is left there. `error`: why nobody knows."""

    region: Region
    state: State | None = None
    lanes: tuple[LaneLeft, ...] = ()
    error: str = field(default="", repr=False)


@dataclass
class Retirement:
    """Retirement of one subscription. `by`: who ends it. `request_id`: tells this change from others."""

    topology: Topology
    stream: StreamTopology
    name: str
    ports: Ports
    by: str
    request_id: str
    unanswered: dict[Region, str] = field(default_factory=dict, repr=False)
    """Regions that did not answer the last step, and why."""

    @classmethod
    def of(cls, topology: Topology, name: str, ports: Ports, *, by: str) -> "Retirement":
        """Find the subscription in what is declared, as far as that has come to the Region of `ports`.

        UnknownNameError: no Region has declared it. SettingError: it is retired in all that have.
        """
        names: set[str] = set()
        for stream in topology.streams_in(ports.ledger.region):
            regions = [Region(region) for region in stream.definition.regions]
            catalogue = catalogue_of(ports.log_of(stream), StreamName(stream.name), regions)
            names |= {own for declaration in catalogue.values() for own in declaration.subscriptions}
            known = facts_of(catalogue, name).values()
            if known and all(facts.state is State.RETIRED for facts in known):
                raise SettingError("subscription", f"{name}, which is retired", "one that is not")
            if known:
                return cls(topology, stream, name, ports, by, ports.entropy.bytes(8).hex())
        raise UnknownNameError("subscription", name, sorted(names))

    @property
    def _regions(self) -> list[Region]:
        return [Region(region) for region in self.stream.definition.regions]

    def look(self) -> list[RegionLeft]:
        """Return what is left in each Region that knows the subscription and has not retired it."""
        looks = [self._look(region) for region in self._regions]
        self.unanswered = {look.region: look.error for look in looks if look.error}
        return [look for look in looks if look.error or look.state not in (None, State.RETIRED)]

    def _look(self, region: Region) -> RegionLeft:
        try:
            facts = self._facts(region)
            if facts is None or facts.state is State.RETIRED:
                return RegionLeft(region, None if facts is None else facts.state)
            return RegionLeft(region, facts.state, tuple(self._lanes(region, facts)))
        except EventFabricError as error:  # whatever it is, the other Regions are looked at
            return RegionLeft(region, error=str(error))

    def _facts(self, region: Region) -> SubscriptionFacts | None:
        log = self.ports.at(region).log_of(self.stream)
        known = newest(log, DeclarationLane.of(region, StreamName(self.stream.name)))
        return None if known is None else known.declaration.subscriptions.get(self.name)

    def _lanes(self, region: Region, facts: SubscriptionFacts) -> Iterator[LaneLeft]:
        ports = self.ports.at(region)
        log, ledger = ports.log_of(self.stream), ports.ledger
        subscription = declared_subscription(self.stream.fabric, self.stream.definition, facts)
        standing = ledger.standing(StreamName(self.stream.name), SubscriptionName(subscription.state_name))
        tails = tails_of(log, lanes_of(self.stream), now_ms=ports.clock.now_ms())
        keys = parked_keys(subscription, tails, ledger=ledger, log=log, standing=standing, clock=ports.clock)
        parked = Counter((key.lane, key.parked.state) for key in keys)
        for own in survey(subscription, tails, log=log, ledger=ledger, standing=standing):
            retrying, dead = (parked[own.lane, state] for state in (ParkedState.RETRYING, ParkedState.DEAD))
            yield LaneLeft(own, retrying, dead)

    def drain(
        self, wait: Callable[[float], None], *, advance: Callable[[list[RegionLeft]], None] = lambda _: None
    ) -> None:
        """Declare that it drains, and wait until what was published before that is delivered and no key is parked.

        `wait`: sleeps. `advance`: told what is left, at each look. DrainError: waiting longer is of no use.
        """
        self._declare(State.DRAINING, {State.ACTIVE})
        until: dict[tuple[Region, Lane], SequenceNumber] = {}
        while True:
            looks = self.look()
            if self.unanswered:
                raise DrainError(self.name, f"no answer of {', '.join(sorted(self.unanswered))}")
            left = [_left(look, until) for look in looks]
            left = [look for look in left if look.lanes]
            if not left:
                return
            advance(left)
            _check_waiting_helps(self.name, left)
            for look in left:
                ports = self.ports.at(look.region)
                standings = [own.standing for own in look.lanes]
                ring_again(standings, doorbells=ports.doorbells, now_ms=ports.clock.now_ms())
            wait(WAIT_SECONDS)

    def end(self) -> list[Region]:
        """Declare in each Region that it is retired. Return where that is so; `unanswered` says where it is not."""
        return self._declare(State.RETIRED, set(State) - {State.RETIRED})

    def _declare(self, state: State, before: set[State]) -> list[Region]:
        self.unanswered = {}
        done: list[Region] = []
        for region in self._regions:
            try:
                facts = self._facts(region)
                if facts is not None and facts.state in before:
                    ports = self.ports.at(region)
                    deployer = Deployer(self.topology, region, ports, self.by, self.request_id)
                    deployer.declare_state(self.stream, self.name, state)
                    done.append(region)
            except EventFabricError as error:  # what is declared elsewhere stays, and this can be repeated
                self.unanswered[region] = str(error)
        return done


def _left(look: RegionLeft, until: dict[tuple[Region, Lane], SequenceNumber]) -> RegionLeft:
    """Return what is left of that which had been published at the first look."""
    lanes = tuple(
        own
        for own in look.lanes
        if own.standing.ahead.sequence < until.setdefault((look.region, own.lane), own.standing.tail.sequence)
        or own.retrying
        or own.dead
    )
    return RegionLeft(look.region, look.state, lanes)


def _check_waiting_helps(name: str, left: list[RegionLeft]) -> None:
    gone = [look.region for look in left if look.state is State.UNDEPLOYED]
    if gone:
        raise DrainError(name, f"undeployed in {', '.join(gone)}, where something is left: deploy it again")
    lanes = [own for look in left for own in look.lanes]
    if all(own.dead and not (own.waiting or own.retrying) for own in lanes):
        raise DrainError(name, f"{sum(own.dead for own in lanes)} dead letters: redrive or discard them")
