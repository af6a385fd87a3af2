"""Routes of a fabric's streams from one Region: where each appends, and what is known of its lanes there."""

from collections.abc import Callable, Sequence
from functools import cache, partial

from eventfabric.errors import SettingError, WrongRegionError
from eventfabric.model import Region, StreamName
from eventfabric.ports import Clock, Entropy, Ledger, Log
from eventfabric.sdk.route import Health, Route
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.services.lanes.tree import LaneTree, LaneTrees
from eventfabric.services.publishing.append import Appender
from eventfabric.services.publishing.gates import CreditsOf, Gating, ungated
from eventfabric.services.publishing.lane_ends import Known, KnownMarks
from eventfabric.stream_topology import StreamTopology
from eventfabric.topology import Topology


class Routes:
    """Maker of routes from a Region, which share what they learn of each Region's health."""

    def __init__(
        self,
        streams: Topology | DeclaredStreams,
        region: Region,
        failover: Sequence[str],
        *,
        log_of: Callable[[StreamTopology, Region], Log],
        ledger_of: Callable[[Region], Ledger] | None,
        clock: Clock,
        entropy: Entropy,
        append_timeout_seconds: float,
        gating: Gating | None = None,
    ) -> None:
        """`failover`: Regions to publish in after `region`. WrongRegionError, SettingError."""
        self.health = Health(clock)
        self.log_of = log_of
        self._regions = (region, *_checked_failover(streams, region, failover))
        self._ledger_of = ledger_of
        self._clock = clock
        self._entropy = entropy
        self._append_timeout_seconds = append_timeout_seconds
        self._streams = streams
        self._gating = gating
        self._trees = LaneTrees()

    def of(self, stream: StreamTopology) -> Route:
        """Return the route of a stream as it is deployed now."""

        @cache
        def appender_of(region: Region) -> Appender:
            return Appender(
                self.log_of(stream, region),
                stream=stream.name,
                clock=self._clock,
                entropy=self._entropy,
                retention_seconds=stream.retention_seconds,
                timeout_seconds=self._append_timeout_seconds,
                known=self.known(stream, region),
                credits=self.credits(stream, region),
                seals=self.tree(stream, region),
            )

        regions = [Region(region) for region in stream.definition.regions]
        to = [region for region in self._regions if region in regions and region not in stream.closing]
        return Route(
            stream.name,
            to,
            others=[region for region in regions if region not in to],
            appender_of=appender_of,
            log_of=lambda region: self.log_of(stream, region),
            health=self.health,
            tree_of=partial(self.tree, stream),
        )

    def tree(self, stream: StreamTopology, region: Region) -> LaneTree:
        """Return the lanes of a stream in a Region, as far as they were met: by all that publishes there."""
        return self._trees.of(stream.name, region, stream.definition.lanes)

    def known(self, stream: StreamTopology, region: Region) -> Known | None:
        """Return what looks up what reconciliation remembers of a stream's lanes; None if nothing can."""
        if self._ledger_of is None:
            return None
        return KnownMarks(self._ledger_of(region), StreamName(stream.name), clock=self._clock).of

    def credits(self, stream: StreamTopology, region: Region) -> CreditsOf:
        """Return what to ask for the credits of a stream in a Region."""
        if self._gating is None:
            return ungated
        return self._gating.of(partial(self._streams.stream, stream.name), region)


def _checked_failover(
    fabric: Topology | DeclaredStreams, home: Region, failover: Sequence[str]
) -> tuple[Region, ...]:
    """Return the Regions to publish in after `home`, once they are checked. WrongRegionError, SettingError."""
    for number, region in enumerate(failover):
        if fabric.regions and region not in fabric.regions:
            raise WrongRegionError(f"fabric {fabric.fabric}", region, fabric.regions)
        if region == home or region in failover[:number]:
            raise SettingError(f"failover[{number}]", region, f"each other Region than {home} once")
    return tuple(Region(region) for region in failover)
