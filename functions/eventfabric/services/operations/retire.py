"""Retire: end a subscription in every Region, after what it has to deliver was delivered or given up.

    look        what is left for it, Region by Region and lane by lane
    drain       declared `draining`: what was published before is still delivered, and waited for
    end         declared `retired`: nobody is delivered to or held back any more; whoever takes the name begins anew

Each step may be repeated: what is declared stays, in the lane of its Region.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from eventfabric.errors import DrainError, EventFabricError, LogError, SettingError, UnknownNameError
from eventfabric.formats import WITH_SEALS
from eventfabric.model import (
    CircuitState,
    DeclarationLane,
    Lane,
    Parked,
    ParkedState,
    Region,
    SequenceNumber,
    Standing,
    StreamName,
    SubscriptionName,
)
from eventfabric.model.catalogue import Catalogue, Declaration, State, SubscriptionFacts, facts_of, highest_of
from eventfabric.model.partly_read import readable_of
from eventfabric.ports import Ports
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.catalogue.facts import declared_stream, declared_subscription
from eventfabric.services.catalogue.lane import catalogue_of, newest
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.lanes.tails import tails_of
from eventfabric.services.operations.parked_keys import parked_keys
from eventfabric.services.operations.survey import LaneStanding, ring_again, survey
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.topology import Topology
from eventfabric.wire.keys import credit_parts

WAIT_SECONDS = 5.0
"""Time between two looks at what is left, while a subscription drains."""


@dataclass(frozen=True, slots=True)
class LaneLeft:
    """Things that are left of a lane: events that wait, and parked keys that are retried or dead."""

    standing: LaneStanding
    parked: tuple[Parked, ...] = ()

    @property
    def retrying(self) -> int:
        """Number of keys that are retried."""
        return sum(parked.state is ParkedState.RETRYING for parked in self.parked)

    @property
    def dead(self) -> int:
        """Number of keys that are dead."""
        return sum(parked.state is ParkedState.DEAD for parked in self.parked)

    @property
    def behind(self) -> int:
        """Number of events that wait behind parked keys, as far as these list them."""
        return sum(parked.behind for parked in self.parked)

    @property
    def is_more_behind(self) -> bool:
        """Tell if more events wait behind parked keys than these list."""
        return any(parked.rest for parked in self.parked)

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
        return not (self.waiting or self.parked)


@dataclass(frozen=True, slots=True)
class RegionLeft:
    """State of a subscription in a Region, and what is left there. `error`: why nobody knows."""

    region: Region
    state: State | None = None
    lanes: tuple[LaneLeft, ...] = ()
    is_paused: bool = False
    error: str = field(default="", repr=False)


@dataclass
class Retirement:
    """Retirement of one subscription. `by`: who ends it. `request_id`: tells this change from others.

    `incarnation`: the earliest that is not retired everywhere. Only that one is looked at and ended, in all Regions in
    which the stream is declared: the name may be deployed anew meanwhile. `highest`: the highest that any Region knows.
    """

    topology: Topology
    stream: StreamTopology
    name: str
    incarnation: int
    highest: int
    regions: tuple[Region, ...]
    ports: Ports
    by: str
    request_id: str
    unanswered: dict[Region, str] = field(default_factory=dict, repr=False)
    """Regions in which the last step was not done, and why."""
    _left: set[State] = field(default_factory=lambda: set(State), repr=False)
    """States in which it may be ended."""

    @classmethod
    def of(cls, topology: Topology, name: str, ports: Ports, *, by: str) -> "Retirement":
        """Find the subscription in what is declared, as far as that has come to the Region of `ports`.

        UnknownNameError: no Region has declared it. SettingError: it is retired in all that have.
        """
        names, is_retired = set[str](), False
        unread: LogError | None = None
        for stream in topology.streams_in(ports.ledger.region):
            try:
                catalogue = _declared(stream, ports)
            except LogError as error:  # it may be a subscription of another stream
                unread = error
                continue
            names |= {own for read in catalogue.values() for own in readable_of(read.subscriptions)}
            known = facts_of(catalogue, name).values()
            left = [facts.incarnation for facts in known if facts.state is not State.RETIRED]
            if left:
                highest, regions = highest_of(catalogue, name), tuple(_regions(stream, catalogue))
                request_id = ports.entropy.bytes(8).hex()
                return cls(topology, stream, name, min(left), highest, regions, ports, by, request_id)
            is_retired = is_retired or bool(known)  # another stream may have the name since
        if unread is not None:
            raise unread
        if is_retired:
            raise SettingError("subscription", f"{name}, which is retired", "one that is not")
        raise UnknownNameError("subscription", name, sorted(names))

    def look(self) -> list[RegionLeft]:
        """Return what is left in each Region that knows the subscription and has not retired it."""
        looks = [self._look(region) for region in self.regions]
        self.unanswered = {look.region: look.error for look in looks if look.error}
        return [look for look in looks if look.error or look.state is not None]

    def _look(self, region: Region) -> RegionLeft:
        try:
            declaration = self._declaration(region)
            facts = self._facts(declaration)
            if declaration is None or facts is None:
                return RegionLeft(region)
            return self._counted(region, declared_stream(self.stream.fabric, declaration), facts)
        except EventFabricError as error:  # whatever it is, the other Regions are looked at
            return RegionLeft(region, error=str(error))

    def _declaration(self, region: Region) -> Declaration | None:
        log = self.ports.at(region).log_of(self.stream)
        known = newest(log, DeclarationLane.of(region, StreamName(self.stream.name)))
        return None if known is None else known.declaration

    def _facts(self, declaration: Declaration | None) -> SubscriptionFacts | None:
        """Return what is declared of the incarnation that is to be retired; None: nothing, or that it is retired."""
        facts = None if declaration is None else declaration.subscriptions.get(self.name)
        is_meant = (
            facts is not None and facts.state is not State.RETIRED and facts.incarnation == self.incarnation
        )
        return facts if is_meant else None

    def _counted(self, region: Region, stream: StreamTopology, facts: SubscriptionFacts) -> RegionLeft:
        ports = self.ports.at(region)
        subscription = declared_subscription(stream.fabric, stream.definition, facts)
        standing = ports.ledger.standing(StreamName(stream.name), SubscriptionName(subscription.state_name))
        lanes = tuple(self._lanes(ports, stream, subscription, standing))
        return RegionLeft(region, facts.state, lanes, standing.circuit.state is CircuitState.PAUSED)

    def _lanes(
        self, ports: Ports, stream: StreamTopology, subscription: SubscriptionTopology, standing: Standing
    ) -> Iterator[LaneLeft]:
        log, ledger = ports.log_of(stream), ports.ledger
        tails = tails_of(log, lanes_of(stream), now_ms=ports.clock.now_ms())
        roots = [lane for lane in tails if lane.is_root]
        keys = parked_keys(subscription, roots, ledger=ledger, log=log, standing=standing, clock=ports.clock)
        parked = defaultdict[Lane, list[Parked]](list)
        for key in keys:
            parked[key.lane].append(key.parked)
        for own in survey(subscription, tails, log=log, ledger=ledger, standing=standing):
            yield LaneLeft(own, tuple(parked[own.lane]))

    def drain(
        self, wait: Callable[[float], None], *, advance: Callable[[list[RegionLeft]], None] = lambda _: None
    ) -> None:
        """Declare that it drains, and wait until what was published before that is delivered and no key is parked.

        `wait`: sleeps. `advance`: told what is left, at each look. DrainError: waiting longer is of no use.
        """
        self._declare(State.DRAINING, {State.ACTIVE})
        self._check_answers()
        self._left = {State.DRAINING, State.UNDEPLOYED}  # whoever deploys it now wants it
        until: dict[tuple[Region, Lane], SequenceNumber] = {}
        while True:
            looks = self.look()
            self._check_answers()
            left = [_from_before(look, until) for look in looks]
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

    def _check_answers(self) -> None:
        if self.unanswered:
            raise DrainError(self.name, f"no answer of {', '.join(sorted(self.unanswered))}")

    def end(self) -> list[Region]:
        """Declare in each Region that it is retired. Return where that is so; `unanswered` says where it is not."""
        return self._declare(State.RETIRED, self._left)

    def _declare(self, state: State, of: set[State]) -> list[Region]:
        self.unanswered = {}
        done: list[Region] = []
        for region in self.regions:
            try:
                declaration = self._declaration(region)
                facts = self._facts(declaration)
                if declaration is None or facts is None:
                    continue
                if state is State.RETIRED and facts.state in of:
                    self._forget_credits(region, declaration, facts)
                deployer = Deployer(self.topology, region, self.ports.at(region), self.by, self.request_id)
                declared = deployer.declare_state(
                    self.stream, self.name, state, of=of, incarnation=self.incarnation, highest=self.highest
                )
            except EventFabricError as error:  # what is declared elsewhere stays, and this can be repeated
                self.unanswered[region] = str(error)
                continue
            stands = None if declared is None else declared.declaration.subscriptions.get(self.name)
            if stands is not None and stands.state is state:
                done.append(region)
            elif state is State.RETIRED:
                self.unanswered[region] = "it was deployed again meanwhile"
        return done

    def _forget_credits(self, region: Region, declaration: Declaration, facts: SubscriptionFacts) -> None:
        """Delete what a Region's functions granted to producers. PortError.

        Before it is declared that it is retired, so that a failure can be made up for. A function that still runs may
        grant something once more, to which nobody pays attention any more.
        """
        stream = declared_stream(self.stream.fabric, declaration)
        name = SubscriptionName(declared_subscription(stream.fabric, stream.definition, facts).state_name)
        credits = self.ports.at(region).credits
        may_be_split = declaration.stream.required.suffices_for(WITH_SEALS)
        for origin in self.regions:
            for part in credit_parts(stream.definition.lanes, may_be_split=may_be_split):
                credits.forget(StreamName(stream.name), name, origin, part=part)


def _declared(stream: StreamTopology, ports: Ports) -> Catalogue:
    """Return what is declared of a stream in the Regions that the definition names, and in those that it lacks."""
    log, name = ports.log_of(stream), StreamName(stream.name)
    catalogue = catalogue_of(log, name, map(Region, stream.definition.regions))
    others = [region for region in _regions(stream, catalogue) if region not in stream.definition.regions]
    return {**catalogue, **catalogue_of(log, name, others)}


def _regions(stream: StreamTopology, catalogue: Catalogue) -> list[Region]:
    declared = [region for read in catalogue.values() for region in read.stream.regions]
    return [Region(name) for name in dict.fromkeys([*stream.definition.regions, *declared])]


def _from_before(look: RegionLeft, until: dict[tuple[Region, Lane], SequenceNumber]) -> RegionLeft:
    """Return what is left of that which had been published at the first look."""
    lanes = tuple(
        own
        for own in look.lanes
        if own.standing.ahead.sequence < until.setdefault((look.region, own.lane), own.standing.tail.sequence)
        or own.parked
    )
    return replace(look, lanes=lanes)


def _check_waiting_helps(name: str, left: list[RegionLeft]) -> None:
    in_way = [f"{own} in {look.region}: {to_do}" for look in left for own, to_do in _in_way(look)]
    if in_way:
        raise DrainError(name, "; ".join(in_way))
    lanes = [own for look in left for own in look.lanes]
    if all(own.dead and not (own.waiting or own.retrying) for own in lanes):
        raise DrainError(name, f"{sum(own.dead for own in lanes)} dead letters: redrive or discard them")


def _in_way(look: RegionLeft) -> Iterator[tuple[str, str]]:
    """Yield why a Region delivers nothing more, or that somebody wants it to go on; and what is to be done."""
    if look.state is State.UNDEPLOYED:
        yield "undeployed, and something is left", "deploy it again"
    if look.state is State.ACTIVE:
        yield "deployed again", "leave it out of the definition"
    if look.is_paused:
        yield "paused, and something is left", "resume it"
