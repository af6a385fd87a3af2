"""Failover: hand the lanes that one Region delivers over to another, and tell beforehand what that means.

    source answers    pause it ── its invocations end ── all of it is replicated ── hand over ── ring    nothing twice
    source is lost                                                                  hand over ── ring    twice: what was
                                                                                                   not replicated

A handover is one item for each subscription and origin, written by the target, with an epoch above all that are known.
The source stops as soon as it sees that item, and at each lane whose state has a higher epoch than it knows of.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from eventfabric import limits
from eventfabric.errors import FailoverError, PortError, UndecodableItemError, UndecodableRecordError
from eventfabric.model import (
    ANY_TAIL,
    Circuit,
    CircuitState,
    Doorbell,
    Lane,
    LaneKey,
    Owner,
    Region,
    Standing,
    StreamName,
    SubscriptionName,
    operator_text,
)
from eventfabric.ports import Ports
from eventfabric.services.catalogue.incarnations import DeclaredTopology, delivered_subscriptions
from eventfabric.services.delivery.side_by_side import SideBySide, one_after_another, results_of
from eventfabric.services.lanes.standing import lanes_of, owner_of
from eventfabric.services.operations.arrival import Advance, Arrival, ignore
from eventfabric.services.operations.published_ends import PublishedEnd, published_ends
from eventfabric.services.operations.readiness import Readiness, ReadinessReader
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.topology import Topology

_PAUSED_BY = "failover to "
_Unread = UndecodableItemError | UndecodableRecordError
"""Errors of a subscription whose state cannot be read, or whose declaration, which says where that is."""


class Failover:
    """A handover to `target` of all that `source` delivers; `own_only`: of what the definition gives to the target."""

    def __init__(
        self,
        topology: Topology,
        *,
        source: Region,
        target: Region,
        ports: Ports,
        own_only: bool = False,
        side_by_side: SideBySide = one_after_another,
    ) -> None:
        """`ports`: the target's. `side_by_side`: reads several lanes at the same time.

        FailoverError if the target can have no data of what the source delivers.
        """
        self._topology = topology
        self._source = source
        self._target = target
        self._own_only = own_only
        self._ports = ports
        self._check()
        self._source_ports = ports.at(source)
        self._side_by_side = side_by_side
        self._arrival = Arrival(
            topology, ports=ports, source_ports=self._source_ports, side_by_side=side_by_side
        )
        self._drained: list[SubscriptionTopology] = []
        """Subscriptions whose deliveries in the source were paused, and have ended."""
        self.written: list[Owner] = []
        """Handovers that were written, also if an error ended the rest."""
        self.unreadable: dict[str, _Unread] = {}
        """Subscriptions that are left out, because the target cannot read their state, nor deliver them."""

    def _check(self) -> None:
        """Refuse a handover that makes no sense by the definition."""
        if self._source == self._target:
            raise FailoverError(f"to {self._target}: allowed: another Region than the source")
        for name in (self._source, self._target):
            if name not in self._topology.regions and (name == self._target or not self._removed_owns()):
                regions = ", ".join(self._topology.regions)
                raise FailoverError(
                    f"Region {name}: allowed: one of fabric {self._topology.fabric}: {regions}"
                )
        shared = [
            subscription.name
            for subscription in delivered_subscriptions(self._topology)
            if ({self._source, self._target} & {*self._topology.regions}) <= {*subscription.regions}
        ]
        if not shared:
            raise FailoverError(
                f"no subscription's stream is in both {self._source} and {self._target}: "
                "the data is not where it would be delivered"
            )

    def _removed_owns(self) -> bool:
        """Tell if the source, though no longer in the definition, still delivers lanes by what is known here."""
        return any(
            owner is not None and owner.region == self._source
            for subscription in delivered_subscriptions(self._topology)
            if self._target in subscription.regions
            for standing in [self._standing(subscription)]
            if isinstance(standing, Standing)
            for owner in map(standing.owner, map(Region, subscription.regions))
        )

    def readiness(self, advance: Advance = ignore) -> list[Readiness]:
        """Tell what would be handed over, and how much of it is here. Two reads for each lane and Region.

        `advance`: told how many of its parts (a subscription and an origin) have been read, and how many there are.
        """
        reader = ReadinessReader(
            self._topology,
            self._source,
            ports=self._ports,
            source_ports=self._source_ports,
            side_by_side=self._side_by_side,
        )
        handed, readiness = [*self.handed()], list[Readiness]()
        for subscription, owner in handed:
            readiness.append(reader.of(subscription, owner))
            advance(len(readiness), len(handed))
        return readiness

    def handed(self) -> Iterator[tuple[SubscriptionTopology, Owner]]:
        """Yield each subscription and origin whose lanes the source delivers, as far as both Regions know."""
        subscriptions = [
            subscription
            for subscription in delivered_subscriptions(self._topology)
            if self._target in subscription.regions
        ]
        calls = [partial(self._standing, subscription) for subscription in subscriptions]
        standings = results_of(calls, self._side_by_side)
        for subscription, standing in zip(subscriptions, standings, strict=True):
            if isinstance(standing, _Unread):
                self.unreadable[subscription.name] = standing
                continue
            for origin in subscription.regions:
                owner = owner_of(subscription, Region(origin), standing)
                wanted = not self._own_only or subscription.owner(origin) == self._target
                if owner is not None and owner.region == self._source and wanted:
                    yield subscription, owner

    def closed_to(self, subscription: SubscriptionTopology) -> list[str]:
        """Return the streams into which a handler publishes, and which the target is closing for.

        Its lanes would stop at the first event that is published.
        """
        topology, publishes = self._topology, subscription.definition.publishes
        if not isinstance(topology, DeclaredTopology):
            return []
        return [stream for stream in publishes if stream in topology.streams and topology.is_closing(stream)]

    def hand_over(self, reason: str = "") -> list[Owner]:
        """Write the handovers and ring every lane. Return what was written, as `written` does.

        After a FailoverError some may be written; then a source that was drained goes on with those that are left.
        """
        # Listed before the first is written: each handover changes what `handed` yields.
        remaining, reason = list(self.handed()), operator_text("reason", reason)
        try:
            while remaining:
                self._hand_over(*remaining[0], reason)
                del remaining[0]
        except BaseException as error:  # after an interruption too, the rest must not stay paused
            names = {subscription.name for subscription, _ in remaining}
            self._give_up(
                [subscription for subscription in self._drained if subscription.name in names], error
            )
            raise
        return self.written

    def _hand_over(self, subscription: SubscriptionTopology, owner: Owner, reason: str) -> None:
        """Write one handover, and ring its lanes."""
        stream, name = _names(subscription)
        standing = self._ports.ledger.standing(stream, name)
        before, latest = standing.written(owner.origin, self._target), standing.owner(owner.origin)
        # By the same read as `before`, because the lanes may have been handed over since they were listed.
        read_epoch = latest.epoch if latest is not None else 0
        epoch = 1 + max(owner.epoch, read_epoch, self._epoch_of_lanes(subscription, owner.origin))
        if epoch > limits.SEQUENCE_MAX:
            raise FailoverError(
                f"{name}, lanes of {owner.origin}: epoch {epoch - 1} leaves no room for another: nothing here "
                "counts so far, so find out who wrote it, and set a smaller one in the handover and in the cursors"
            )
        now_ms = self._ports.clock.now_ms()
        handover = Owner(owner.origin, self._target, epoch, self._target, since_ms=now_ms, reason=reason)
        written = self._ports.ledger.hand_over(stream, name, before, handover)
        if written is None:
            raise FailoverError(f"{name}, lanes of {owner.origin}: somebody else hands them over: look again")
        # The handover stands. A ring that is lost costs time only: reconciliation rings, too.
        self.written.append(written)
        self._ring(subscription, owner.origin)

    def drain(
        self,
        wait: Callable[[float], None],
        *,
        patience_seconds: float = limits.DRAIN_SECONDS,
        advance: Advance = ignore,
    ) -> None:
        """Stop the source's deliveries, and wait until the target has all of their state. Then hand over.

        `advance`: told how many lanes have arrived, and how many there are. After that comes `release`.

        FailoverError if the patience ends first: nothing is handed over, and the source goes on.
        """
        paused: list[SubscriptionTopology] = []
        try:
            self._pause(paused)
            # Warm functions notice the pause within the first time, and running ones end within the second.
            longest = max(
                (subscription.definition.function.timeout_seconds for subscription in paused), default=0
            )
            wait(limits.CIRCUIT_CACHE_SECONDS + longest)
            waited = 0.0
            handed = [subscription for subscription, _ in self.handed()]
            # Read once: others may go on to publish into the same lanes.
            ends = [*published_ends(self._topology, handed, self._source_ports, self._source)]
            while lagging := self._arrival.lagging(self.handed(), advance) or self._unpublished(ends):
                if waited >= patience_seconds:
                    raise FailoverError(
                        f"after {waited:.0f} s {lagging} is not in {self._target} yet: nothing is done"
                    )
                wait(1.0)
                waited += 1.0
        except BaseException as error:  # after an interruption too, the source must not stay paused
            self._give_up(paused, error)
            raise
        self._drained = paused

    def release(
        self, wait: Callable[[float], None], *, patience_seconds: float = limits.DRAIN_SECONDS
    ) -> None:
        """Take back the pause of `drain` once the source sees the handover. FailoverError if not: it stays paused."""
        paused, waited = [subscription for subscription, _ in self._paused()], 0.0
        # Resumed any earlier, the source would go on with lanes that are no longer its own.
        while unseen := [subscription.name for subscription in paused if not self._is_seen(subscription)]:
            if waited >= patience_seconds:
                raise FailoverError(
                    f"{self._source} does not see the handover of {', '.join(unseen)}, which stay paused there: when "
                    "it does, resume them"
                )
            wait(1.0)
            waited += 1.0
        self._resume(paused)

    def _is_seen(self, subscription: SubscriptionTopology) -> bool:
        """Tell if the source knows of all handovers that the target wrote."""
        known = self._source_ports.ledger.standing(*_names(subscription)).owners
        owners = self._ports.ledger.standing(*_names(subscription)).owners
        return all(owner in known for owner in owners if owner.by == self._target)

    def _pause(self, paused: list[SubscriptionTopology]) -> None:
        """Pause what the source delivers, and list in `paused` what was paused here."""
        for subscription in {subscription.name: subscription for subscription, _ in self.handed()}.values():
            circuit = self._circuit(subscription)
            # An operator's own pause stays, and is not taken back afterwards.
            if circuit is None or circuit.state is CircuitState.PAUSED:
                continue
            pause = Circuit(CircuitState.PAUSED, f"{_PAUSED_BY}{self._target}", self._ports.clock.now_ms())
            paused.append(subscription)  # before the write, because its reply may be lost
            if self._source_ports.ledger.switch(*_names(subscription), circuit, pause) is None:
                paused.remove(subscription)
                raise FailoverError(f"{subscription.name}: somebody else switches its circuit: look again")

    def _paused(self) -> Iterator[tuple[SubscriptionTopology, Circuit]]:
        """Yield the subscriptions that an earlier drain to this target has paused in the source."""
        paused = CircuitState.PAUSED, f"{_PAUSED_BY}{self._target}"
        for subscription in delivered_subscriptions(self._topology):
            if self._source in subscription.regions:
                circuit = self._circuit(subscription)
                if circuit and (circuit.state, circuit.reason) == paused:
                    yield subscription, circuit

    def _give_up(self, paused: list[SubscriptionTopology], error: BaseException) -> None:
        """Have the source go on with what was paused. FailoverError if it is not known to go on."""
        try:
            self._resume(paused)
        except PortError as unreached:
            names = ", ".join(subscription.name for subscription in paused)
            raise FailoverError(
                f"{error}; {self._source} does not answer, and {names} may stay paused there: resume them later "
                "(eventfabric subscriptions resume)"
            ) from unreached

    def _resume(self, paused: list[SubscriptionTopology]) -> None:
        """Close the circuits that a failover has paused in the source."""
        for subscription in paused:
            circuit = self._circuit(subscription)
            if circuit and circuit.state is CircuitState.PAUSED and circuit.reason.startswith(_PAUSED_BY):
                closed = Circuit(since_ms=self._ports.clock.now_ms(), rings_owed=True)
                self._source_ports.ledger.switch(*_names(subscription), circuit, closed)

    def _circuit(self, subscription: SubscriptionTopology) -> Circuit | None:
        """Return the source's circuit; None if it cannot be read: then the source's functions do nothing either."""
        try:
            return self._source_ports.ledger.standing(*_names(subscription)).circuit
        except (UndecodableItemError, UndecodableRecordError):
            return None

    def _unpublished(self, ends: Iterable[PublishedEnd]) -> str:
        """Name the first lane of which the target lacks what handlers published. Empty if it has everything."""
        lagging = (end for end in ends if end.missing_from(self._ports))
        return next((f"the end of lane {end.lane} of {end.stream.name}" for end in lagging), "")

    def _ring(self, subscription: SubscriptionTopology, origin: Region) -> None:
        """Ring every root at once, and again when no function can still believe that this Region is not the owner."""
        # Rung without a tail: how far the log goes here is for the delivery to find out.
        now_ms, stream = self._ports.clock.now_ms(), StreamName(subscription.definition.stream)
        lanes = self._lanes(subscription, origin)
        bells = [Doorbell(stream, lane, ANY_TAIL, again=now_ms) for lane in lanes]
        self._ports.doorbells.ring(subscription.name, bells)
        later = [Doorbell(stream, lane, ANY_TAIL, again=now_ms + 1) for lane in lanes]
        seconds = 2 * limits.CIRCUIT_CACHE_SECONDS
        ring_later = self._ports.doorbells.ring_later
        calls = [partial(ring_later, subscription.name, bell, seconds) for bell in later]
        results_of(calls, self._side_by_side)

    def _standing(self, subscription: SubscriptionTopology) -> Standing | _Unread:
        """Return what both Regions know of its owners; if the source does not say it, what the target knows.

        A source that does not have the stream is not asked: it knows nothing of it, and no role may look there.
        """
        try:
            standing = self._ports.ledger.standing(*_names(subscription))
        except (UndecodableItemError, UndecodableRecordError) as error:
            return error
        if self._source not in subscription.regions:
            return standing
        try:
            source_owners = self._source_ports.ledger.standing(*_names(subscription)).owners
        except (PortError, UndecodableItemError):
            source_owners = ()
        return Standing(standing.circuit, (*standing.owners, *source_owners))

    def _epoch_of_lanes(self, subscription: SubscriptionTopology, origin: Region) -> int:
        """Return the highest epoch that the state of any of an origin's lanes has here."""
        calls = [
            partial(self._epoch_of, LaneKey(*_names(subscription), lane))
            for lane in self._lanes(subscription, origin)
        ]
        return max(results_of(calls, self._side_by_side), default=0)

    def _epoch_of(self, key: LaneKey) -> int:
        """Return the highest epoch of a lane's state, and of those of all lanes that were begun beneath it."""
        try:
            state = self._ports.ledger.state(key)
        except UndecodableItemError:
            return 0  # it is unknown, but such a lane stops in any case
        is_past = any(cursor.past_seal is not None for cursor in state.cursors.values())
        beneath = [replace(key, lane=child) for child in key.lane.children] if is_past else []
        return max(state.epoch, *map(self._epoch_of, beneath)) if beneath else state.epoch

    def _lanes(self, subscription: SubscriptionTopology, origin: Region) -> list[Lane]:
        stream = self._topology.stream(subscription.definition.stream)
        return [lane for lane in lanes_of(stream) if lane.origin == origin]


def _names(subscription: SubscriptionTopology) -> tuple[StreamName, SubscriptionName]:
    return StreamName(subscription.definition.stream), SubscriptionName(subscription.state_name)


def regions_beside(topology: Topology, region: Region) -> list[Region]:
    """List the other Regions in which a subscription of a Region is delivered as well."""
    return [
        Region(name)
        for name in topology.regions
        if name != region
        and any(
            {name, region} <= {*subscription.regions} for subscription in delivered_subscriptions(topology)
        )
    ]
