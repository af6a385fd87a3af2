"""Declared: what the catalogue says of a function's streams in its Region, as one process knows it.

A function goes by it for the stream that it reads, and as a producer does for those into which its handler publishes.
"""

from collections.abc import Sequence
from math import inf
from threading import Thread
from typing import Final

from eventfabric.deadline import Moment
from eventfabric.errors import (
    EventFabricError,
    FormatError,
    LogError,
    NotDeclaredError,
    OlderCatalogueError,
    UndecodableRecordError,
    WrongRegionError,
)
from eventfabric.model import EMPTY_TAIL, DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import (
    CatalogueVersion,
    Declaration,
    Declared,
    State,
    SubscriptionFacts,
)
from eventfabric.ports import Ports
from eventfabric.services.catalogue.facts import declared_stream, rung_subscriptions
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS, STALE_SECONDS_MAX, KnownDeclaration
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.wire.declaration import check_formats

UNREADABLE: Final = (LogError, FormatError, OlderCatalogueError, NotDeclaredError, WrongRegionError)
"""Errors of a declaration that last until somebody does something about them."""


class DeclaredHere:
    """The newest declarations of a Region. Each is read once by a process, and again after a minute, not by event."""

    def __init__(self, region: Region, ports: Ports, *, deployed_at: str = "") -> None:
        """`deployed_at`: where the lane of the function's stream ended when the function was deployed, as text."""
        self._region = region
        self._ports = ports
        self._deployed_at = CatalogueVersion.parse(deployed_at) if deployed_at else None
        self._known: dict[str, KnownDeclaration] = {}
        self._rung: dict[str, tuple[Declaration | None, Sequence[SubscriptionTopology]]] = {}
        self._targets: dict[str, _Target] = {}
        self._noted: Moment | None = None

    def of(self, stream: StreamTopology) -> Declaration | None:
        """Return what is declared of a stream; None: nothing is, or not yet.

        If the newest declaration cannot be read, what is known already holds, else the one before.

        Raises:
            PortError: it cannot be read, and never was.
            UndecodableRecordError, FormatError, OlderCatalogueError: this function cannot go by what is there.
        """
        declared = self._lane_of(stream).now()
        self._check_deployed(stream, declared)
        if declared is None:
            return None
        check_formats(declared.declaration.stream)
        return declared.declaration

    def unreadable(self, stream: StreamTopology) -> UndecodableRecordError | None:
        """Return why the newest declaration of a stream cannot be read, without a call; None: it can, or was not."""
        return self._lane_of(stream).unreadable

    def facts_of(self, stream: StreamTopology, name: str) -> SubscriptionFacts | None:
        """Return what is declared of a subscription; None: nothing is. Errors as `of`."""
        declaration = self.of(stream)
        return None if declaration is None else declaration.subscriptions.get(name)

    def rung(self, stream: StreamTopology) -> Sequence[SubscriptionTopology]:
        """Return the subscriptions of a stream for which doorbells are rung here. Errors as `of`."""
        declaration, known = self.of(stream), self._rung.get(stream.name)
        if known is None or known[0] is not declaration:
            known = self._rung[stream.name] = (declaration, rung_subscriptions(stream, declaration))
        return known[1]

    def target(self, stream: StreamTopology) -> StreamTopology:
        """Return a stream into which a handler publishes as it is declared; as it is given, if nothing is declared.

        Raises:
            PortError: it cannot be read, or not anew for `STALE_SECONDS_MAX`.
            UndecodableRecordError, FormatError: this function cannot go by what is there.
            NotDeclaredError, ClosingRegionError: nothing is to be published to it, or not in this Region any more.
        """
        return self._target_of(stream).now(self._region)

    def known_target(self, stream: StreamTopology) -> StreamTopology:
        """Return what `target` returned last, without a call."""
        return self._target_of(stream).known

    def forget(self, stream: StreamTopology) -> None:
        """Have the next caller read anew, because what is known seems to be out of date."""
        self._lane_of(stream).forget()

    def read_ahead(self, stream: StreamTopology) -> None:
        """Begin a first read in a thread, while the process loads what else it needs. `of` waits for that read."""
        if stream.name not in self._known:
            _read_ahead(self._lane_of(stream))

    def read_target_ahead(self, stream: StreamTopology) -> None:
        """Begin a first read of a stream into which a handler publishes, as `read_ahead`. `target` waits for it."""
        if stream.name not in self._targets:
            _read_ahead(self._target_of(stream).lane)

    def is_to_be_logged(self) -> bool:
        """Tell if nothing was logged of what is declared within the last minute, and note that it is now."""
        now = Moment.of(self._ports.clock)
        if self._noted is not None and self._noted.is_within(CATALOGUE_SECONDS, now):
            return False
        self._noted = now
        return True

    def _check_deployed(self, stream: StreamTopology, declared: Declared | None) -> None:
        """Raise OlderCatalogueError if the lane lacks what was declared when the function was deployed."""
        deployed_at, tail = self._deployed_at, EMPTY_TAIL if declared is None else declared.tail
        if deployed_at is None or not deployed_at.is_after(tail):
            return
        if (
            declared is not None
            and declared.unreadable is not None
            and deployed_at.sequence == tail.sequence + 1
        ):
            return  # it is the one that cannot be read
        lane = DeclarationLane.of(self._region, StreamName(stream.name))
        raise OlderCatalogueError(lane, CatalogueVersion(tail.sequence, tail.chain), deployed_at)

    def _lane_of(self, stream: StreamTopology) -> KnownDeclaration:
        known = self._known.get(stream.name)
        if known is None:
            known = self._known.setdefault(stream.name, self._unread(stream, goes_back=True))
        return known

    def _target_of(self, stream: StreamTopology) -> "_Target":
        target = self._targets.get(stream.name)
        if target is None:
            lane = self._unread(stream, stale_seconds_max=STALE_SECONDS_MAX)
            target = self._targets.setdefault(stream.name, _Target(stream, lane))
        return target

    def _unread(
        self, stream: StreamTopology, *, stale_seconds_max: float = inf, goes_back: bool = False
    ) -> KnownDeclaration:
        lane = DeclarationLane.of(self._region, StreamName(stream.name))
        log, clock = self._ports.log_of(stream), self._ports.clock
        return KnownDeclaration(log, lane, clock, stale_seconds_max=stale_seconds_max, goes_back=goes_back)


class _Target:
    """A stream into which a handler publishes. `known`: as it is, by the definition or its newest declaration."""

    def __init__(self, defined: StreamTopology, lane: KnownDeclaration) -> None:
        self.known = defined
        self.lane = lane
        self._declared: Declared | None = None

    def now(self, region: Region) -> StreamTopology:
        declared = self.lane.now()
        if declared is None:
            return self.known  # a fabric of an earlier version, which declares nothing
        if declared is not self._declared:
            check_formats(declared.declaration.stream)
            if not declared.declaration.stream.is_deployed:
                raise NotDeclaredError(self.known.name, region)
            self.known = declared_stream(self.known.fabric, declared.declaration)
            self._declared = declared
        self.known.check_open(region)
        return self.known


def _read_ahead(lane: KnownDeclaration) -> None:
    """Read a lane in a thread."""

    def read() -> None:
        try:
            lane.now()
        except EventFabricError:  # whoever needs it meets it again
            return

    Thread(target=read, daemon=True, name="eventfabric-catalogue").start()


def is_retired(facts: SubscriptionFacts | None) -> bool:
    """Tell if an operator has retired a subscription, so that nothing is delivered for it."""
    return facts is not None and facts.state is State.RETIRED
