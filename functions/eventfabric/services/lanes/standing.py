"""Standing: what the ledger says of a subscription as a whole, as one process knows it; and who owns lanes by that."""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace

from eventfabric import limits
from eventfabric.deadline import Moment
from eventfabric.errors import ChangedDeliverError, PortError
from eventfabric.model import (
    GENERATION_FIRST,
    Circuit,
    CircuitState,
    DeclarationLane,
    Lane,
    LaneIndex,
    Owner,
    Region,
    SchemaLane,
    Standing,
    StreamName,
    SubscriptionName,
)
from eventfabric.ports import Clock, Ledger, Ports
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology


class Standings:
    """A subscription's standing, read at most every few seconds while deliveries run."""

    def __init__(
        self,
        subscription: SubscriptionTopology,
        *,
        ledger: Ledger,
        clock: Clock,
        elsewhere: Callable[[Region], Ledger] | None = None,
    ) -> None:
        """`elsewhere`: returns the ledger of another Region, which may settle a doubt."""
        self._subscription = subscription
        self._stream = StreamName(subscription.definition.stream)
        self._name = SubscriptionName(subscription.state_name)
        self._ledger = ledger
        self._clock = clock
        self._known = Standing()
        self._read_at: Moment | None = None
        self._elsewhere = elsewhere
        self._asked: dict[tuple[Region, Region], Owner] = {}
        self._asked_at: Moment | None = None

    @classmethod
    def of(cls, subscription: SubscriptionTopology, ports: Ports) -> "Standings":
        """Return the standings of a subscription in the Region of these ports."""
        return cls(
            subscription,
            ledger=ports.ledger,
            clock=ports.clock,
            elsewhere=lambda region: ports.at(region).ledger,
        )

    @property
    def known(self) -> Standing:
        """The standing as it was last read, or as the last switch of the circuit left it."""
        return self._known

    @property
    def region(self) -> Region:
        """The Region whose standing it is."""
        return self._ledger.region

    def now(self) -> Standing:
        """Return the standing. If its circuit is closed, a read of the last few seconds is good enough.

        A circuit that is not closed is read each time: a lane that waits for one that was closed meanwhile has missed
        its ring.
        """
        read_at, seconds = self._read_at, limits.CIRCUIT_CACHE_SECONDS
        is_fresh = read_at is not None and read_at.is_within(seconds, Moment.of(self._clock))
        if is_fresh and self._known.circuit.state is CircuitState.CLOSED:
            return self._known
        return self.read()

    def read(self) -> Standing:
        """Read the standing anew."""
        standing = self._ledger.standing(self._stream, self._name)
        # Handovers that other Regions told of may not have been replicated yet; they must not be forgotten.
        self._known = replace(standing, owners=(*standing.owners, *self._asked.values()))
        self._read_at = Moment.of(self._clock)
        return self._known

    def switch(self, read: Circuit, circuit: Circuit) -> bool:
        """Move the circuit, unless another process moved it first. Tell if it was moved."""
        switched = self._ledger.switch(self._stream, self._name, read, circuit)
        if switched is None:
            self.read()
            return False
        self._known = replace(self._known, circuit=switched)
        self._read_at = Moment.of(self._clock)
        return True

    def owner(self, origin: Region) -> Owner | None:
        """Return who delivers an origin's lanes; None if every Region does, for itself."""
        return owner_of(self._subscription, origin, self.now())

    def read_owner(self, origin: Region) -> Owner | None:
        """Return who delivers an origin's lanes, read anew; None if every Region does."""
        return owner_of(self._subscription, origin, self.read())

    def ask(self, origin: Region) -> Owner | None:
        """Return who delivers an origin's lanes, by what all Regions know that answer. Asks them only once in a while.

        For a Region that did nothing for long: it may have been lost, and handovers may not have been replicated to it
        yet.
        """
        now, asked_at = Moment.of(self._clock), self._asked_at
        is_answered = asked_at is not None and asked_at.is_within(limits.OWNER_DOUBT_SECONDS, now)
        if self._elsewhere is not None and not is_answered:
            # Noted before the calls: Regions that do not answer are not to be waited for again in every lane.
            self._asked_at = now
            for region in self._subscription.regions:
                if region != self.region:
                    # A Region that gives no answer must not keep the others from being asked.
                    with suppress(PortError):
                        standing = self._elsewhere(Region(region)).standing(self._stream, self._name)
                        self._asked |= {(owner.origin, owner.by): owner for owner in standing.owners}
            self._known = replace(self._known, owners=(*self._known.owners, *self._asked.values()))
        return owner_of(self._subscription, origin, self._known)

    def begin(self, origin: Region) -> Owner | None:
        """Note that this Region delivers an origin's lanes first, unless another did. Return who delivers them.

        All Regions that answer are asked first: another Region's note may not be replicated yet.
        """
        # Asked anew, however lately that was: two Regions that both begin would hand everything out twice.
        self._asked_at = None
        self.ask(origin)
        # The first note stands, whichever Region wrote it: a later handover alone replaces it.
        if self._known.owner(origin) is None:
            first = Owner(origin, self.region, 0, self.region, since_ms=self._clock.now_ms())
            noted = self._ledger.hand_over(self._stream, self._name, None, first)
            if noted is None:
                self.read()  # another process of this Region was faster
            else:
                self._known = replace(self._known, owners=(*self._known.owners, noted))
        return owner_of(self._subscription, origin, self._known)

    def check_deliver(self, origin: Region) -> None:
        """Raise ChangedDeliverError if by the definition every Region delivers lanes that one delivers for all."""
        owner = self._known.owner(origin)
        if owner is not None and self._subscription.owner(origin) is None:
            raise ChangedDeliverError(
                f'subscription {self._name}, lanes of {origin}: deliver is "everywhere", but {owner.region} delivers '
                "them for all Regions: change `deliver` back, or name the subscription anew"
            )

    def is_in_doubt(self, written_ms: int) -> bool:
        """Tell if this Region may have been lost since a lane's state was written, because nobody looked at it since.

        Reconciliation asks the other Regions too, and notes each pass that learned nothing new.
        """
        doubt_ms = self._clock.now_ms() - 1000 * limits.OWNER_DOUBT_SECONDS
        return written_ms < doubt_ms and self._known.seen_ms < doubt_ms

    def owns(self, origin: Region) -> bool:
        """Tell if this Region delivers an origin's lanes."""
        return is_delivered_by(self.region, self._subscription, origin, self.now())


def ledger_of(ledger: Ledger, subscription: SubscriptionTopology, origin: Region) -> Ledger:
    """Return the ledger that keeps the state of an origin's lanes.

    If all Regions share one state, it is kept under the lanes' origin, whichever Region delivers.
    """
    home = subscription.home(origin)
    return ledger if home in (None, ledger.region) else ledger.acting_for(Region(home))


def is_delivered_by(
    region: Region, subscription: SubscriptionTopology, origin: Region, standing: Standing
) -> bool:
    """Tell if a Region delivers an origin's lanes."""
    owner = owner_of(subscription, origin, standing)
    return region in subscription.regions if owner is None else owner.region == region


def is_pinned(
    subscription: SubscriptionTopology, origin: Region, standing: Standing, *, region: Region
) -> bool:
    """Tell if a Region knows with which time an origin's lanes begin, if they begin with the latest. A pin stays.

    The time of its declaration is one, as well: the first delivery pins that.
    """
    if subscription.incarnation.since_ms:
        return True
    default = subscription.owner(origin)
    first = region if default is None else standing.first(origin, Region(default))
    return not standing.starts.keys().isdisjoint({first, region})


def owner_of(subscription: SubscriptionTopology, origin: Region, standing: Standing) -> Owner | None:
    """Return who delivers an origin's lanes; None if every Region does.

    That is the Region of the latest handover, else the one that delivered them first. The definition decides only if
    they were never delivered: it reaches Regions one after the other, and says nothing of how far a former owner came.
    """
    default = subscription.owner(origin)
    if default is None:
        return None
    return standing.owner(origin) or Owner(origin, Region(default), 0, Region(default))


def declaration_lanes_of(stream: StreamTopology) -> list[DeclarationLane]:
    """List the lanes in which the Regions of a stream declare what is deployed of it, each with that of its schemas.

    Of Regions that it was in once, only that of schemas: these are of use to all others for good.
    """
    name = StreamName(stream.name)
    own = [
        kind.of(Region(region), name)
        for region in stream.definition.regions
        for kind in (DeclarationLane, SchemaLane)
    ]
    return [*own, *(SchemaLane.of(Region(region), name) for region in stream.former)]


def is_written_in(lane: Lane, region: Region, former: Collection[str]) -> bool:
    """Tell if a Region may mend a lane: its own, or one beside the stream of a Region that the stream was in once."""
    return lane.origin == region or (isinstance(lane, DeclarationLane) and lane.origin in former)


def lanes_of(stream: StreamTopology) -> list[Lane]:
    """List every lane that a stream can have, origin by origin. Those of declarations are none of them."""
    return [
        Lane(Region(origin), GENERATION_FIRST, LaneIndex(index))
        for origin in stream.definition.regions
        for index in range(stream.definition.lanes)
    ]
