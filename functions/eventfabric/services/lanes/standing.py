"""Standing: what the ledger says of a subscription as a whole, as one process knows it; and who owns a lane by it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from eventfabric import limits
from eventfabric.errors import ChangedDeliverError, PortError
from eventfabric.model.circuit import Circuit, CircuitState
from eventfabric.model.identity import Region, StreamName, SubscriptionName
from eventfabric.model.owner import Owner, Standing
from eventfabric.ports import Clock, Ledger
from eventfabric.topology import SubscriptionTopology


@dataclass(frozen=True, slots=True)
class _Moment:
    """A moment by both clocks: one may have been set back since, the other may stand while a function is frozen."""

    wall_ms: int
    steady_ms: int

    @classmethod
    def of(cls, clock: Clock) -> "_Moment":
        return cls(clock.now_ms(), clock.steady_ms())

    def is_within(self, seconds: float, now: "_Moment") -> bool:
        """Whether less time has gone by, by either clock."""
        most_ms = 1000 * seconds
        return 0 <= now.wall_ms - self.wall_ms < most_ms and now.steady_ms - self.steady_ms < most_ms


class Standings:
    """Reads a subscription's standing at most every few seconds, as long as deliveries run."""

    def __init__(
        self,
        subscription: SubscriptionTopology,
        *,
        ledger: Ledger,
        clock: Clock,
        elsewhere: Callable[[Region], Ledger] | None = None,
    ) -> None:
        """`elsewhere`: the ledgers of other Regions, where a doubt may be settled."""
        self._subscription = subscription
        self._stream = StreamName(subscription.definition.stream)
        self._name = SubscriptionName(subscription.name)
        self._ledger = ledger
        self._clock = clock
        self._known = Standing()
        self._read_at: _Moment | None = None
        self._elsewhere = elsewhere
        self._asked: dict[tuple[Region, Region], Owner] = {}
        self._asked_at: _Moment | None = None

    @property
    def known(self) -> Standing:
        """The standing as it was read last, or as the last switch left it."""
        return self._known

    @property
    def region(self) -> Region:
        """Whose standing it is."""
        return self._ledger.region

    def now(self) -> Standing:
        """The standing: with a closed circuit, by a read of the last few seconds.

        That the circuit is not closed is read each time: who waits for one that was closed meanwhile has missed its
        ring.
        """
        read_at, seconds = self._read_at, limits.CIRCUIT_CACHE_SECONDS
        is_fresh = read_at is not None and read_at.is_within(seconds, _Moment.of(self._clock))
        if is_fresh and self._known.circuit.state is CircuitState.CLOSED:
            return self._known
        return self.read()

    def read(self) -> Standing:
        """The standing, read anew."""
        found = self._ledger.standing(self._stream, self._name)
        self._known = replace(found, owners=(*found.owners, *self._asked.values()))
        self._read_at = _Moment.of(self._clock)
        return self._known

    def switch(self, read: Circuit, to: Circuit) -> bool:
        """Move the circuit unless somebody else did."""
        stands = self._ledger.switch(self._stream, self._name, read, to)
        if stands is None:
            self.read()
            return False
        self._known = replace(self._known, circuit=stands)
        self._read_at = _Moment.of(self._clock)
        return True

    def owner(self, origin: Region) -> Owner | None:
        """Who delivers an origin's lanes; None where every Region does, for itself."""
        return owner_of(self._subscription, origin, self.now())

    def read_owner(self, origin: Region) -> Owner | None:
        """The same, read anew."""
        return owner_of(self._subscription, origin, self.read())

    def ask(self, origin: Region) -> Owner | None:
        """Who delivers an origin's lanes, by what every Region that answers knows; asked once in a while.

        For a Region that did nothing for long: it may have been lost, and handovers not be replicated to it yet.
        """
        now, asked_at = _Moment.of(self._clock), self._asked_at
        is_answered = asked_at is not None and asked_at.is_within(limits.OWNER_DOUBT_SECONDS, now)
        if self._elsewhere is not None and not is_answered:
            self._asked_at = now
            for region in self._subscription.regions:
                if region != self.region:
                    with suppress(PortError):
                        found = self._elsewhere(Region(region)).standing(self._stream, self._name)
                        self._asked |= {(one.origin, one.by): one for one in found.owners}
            self._known = replace(self._known, owners=(*self._known.owners, *self._asked.values()))
        return owner_of(self._subscription, origin, self._known)

    def begin(self, origin: Region) -> Owner | None:
        """Note that this Region delivers an origin's lanes first, unless another did; returns who delivers them.

        Asked of all Regions that answer: the note of another may not be replicated yet.
        """
        self._asked_at = None
        self.ask(origin)
        if self._known.owner(origin) is None:
            first = Owner(origin, self.region, 0, self.region, since_ms=self._clock.now_ms())
            stands = self._ledger.hand_over(self._stream, self._name, None, first)
            if stands is None:
                self.read()  # another process of this Region was faster
            else:
                self._known = replace(self._known, owners=(*self._known.owners, stands))
        return owner_of(self._subscription, origin, self._known)

    def check_deliver(self, origin: Region) -> None:
        """Raise ChangedDeliverError where every Region is to deliver lanes that one delivers for all."""
        owner = self._known.owner(origin)
        if owner is not None and self._subscription.owner(origin) is None:
            raise ChangedDeliverError(
                f'subscription {self._name}, lanes of {origin}: deliver is "everywhere", but {owner.region} delivers '
                "them for all Regions: change `deliver` back, or name the subscription anew"
            )

    def is_in_doubt(self, written_ms: int) -> bool:
        """Whether this Region may have been lost since a lane's state was written: nobody looked at it for long either.

        Reconciliation, which asks the other Regions, notes each pass that found nothing new.
        """
        doubt_ms = self._clock.now_ms() - 1000 * limits.OWNER_DOUBT_SECONDS
        return written_ms < doubt_ms and self._known.seen_ms < doubt_ms

    def owns(self, origin: Region) -> bool:
        """Whether this Region delivers an origin's lanes."""
        return is_delivered_by(self.region, self._subscription, origin, self.now())


def ledger_of(ledger: Ledger, subscription: SubscriptionTopology, origin: Region) -> Ledger:
    """The ledger as an origin's lanes keep their state: where all Regions share one state, under the origin."""
    home = subscription.home(origin)
    return ledger if home in (None, ledger.region) else ledger.acting_for(Region(home))


def is_delivered_by(
    region: Region, subscription: SubscriptionTopology, origin: Region, standing: Standing
) -> bool:
    """Whether a Region delivers an origin's lanes."""
    owner = owner_of(subscription, origin, standing)
    return region in subscription.regions if owner is None else owner.region == region


def owner_of(subscription: SubscriptionTopology, origin: Region, standing: Standing) -> Owner | None:
    """Who delivers an origin's lanes; None where every Region does.

    By the latest handover, else as they were delivered first, and by the definition only where they never were: a
    definition reaches Regions one after the other, and says nothing of how far the former owner came.
    """
    default = subscription.owner(origin)
    if default is None:
        return None
    return standing.owner(origin) or Owner(origin, Region(default), 0, Region(default))
