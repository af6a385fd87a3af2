"""Declared: what the catalogue says of a function's streams in its Region, as one process knows it."""

from collections.abc import Sequence
from threading import Thread
from typing import Final

from eventfabric.deadline import Moment
from eventfabric.errors import (
    EventFabricError,
    FormatError,
    LogError,
    OlderCatalogueError,
)
from eventfabric.model import EMPTY_TAIL, DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import (
    CatalogueVersion,
    Declaration,
    State,
    SubscriptionFacts,
)
from eventfabric.ports import Ports
from eventfabric.services.catalogue.facts import rung_subscriptions
from eventfabric.services.catalogue.formats import check_formats
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS, KnownDeclaration
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology

UNREADABLE: Final = (LogError, FormatError, OlderCatalogueError)
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
        self._noted: Moment | None = None

    def of(self, stream: StreamTopology) -> Declaration | None:
        """Return what is declared of a stream; None: nothing is, or not yet.

        Raises:
            PortError: it cannot be read, and never was.
            UndecodableRecordError, FormatError, OlderCatalogueError: this function cannot go by what is there.
        """
        declared = self._lane_of(stream).now()
        tail = EMPTY_TAIL if declared is None else declared.tail
        if self._deployed_at is not None and self._deployed_at.is_after(tail):
            lane = DeclarationLane.of(self._region, StreamName(stream.name))
            ends_at = CatalogueVersion(tail.sequence, tail.chain)
            raise OlderCatalogueError(lane, ends_at, self._deployed_at)
        if declared is None:
            return None
        check_formats(declared.declaration.stream)
        return declared.declaration

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

    def forget(self, stream: StreamTopology) -> None:
        """Have the next caller read anew, because what is known seems to be out of date."""
        self._lane_of(stream).forget()

    def read_ahead(self, stream: StreamTopology) -> None:
        """Begin a first read in a thread, while the process loads what else it needs. `of` waits for that read."""
        if stream.name in self._known:
            return
        self._lane_of(stream)
        Thread(target=self._read, args=(stream,), daemon=True, name="eventfabric-catalogue").start()

    def _read(self, stream: StreamTopology) -> None:
        try:
            self._lane_of(stream).now()
        except EventFabricError:  # the caller of `of` meets it again
            return

    def is_to_be_logged(self) -> bool:
        """Tell if nothing was logged of what is declared within the last minute, and note that it is now."""
        now = Moment.of(self._ports.clock)
        if self._noted is not None and self._noted.is_within(CATALOGUE_SECONDS, now):
            return False
        self._noted = now
        return True

    def _lane_of(self, stream: StreamTopology) -> KnownDeclaration:
        known = self._known.get(stream.name)
        if known is None:
            lane = DeclarationLane.of(self._region, StreamName(stream.name))
            made = KnownDeclaration(self._ports.log_of(stream), lane, self._ports.clock)
            known = self._known.setdefault(stream.name, made)
        return known


def is_retired(facts: SubscriptionFacts | None) -> bool:
    """Tell if an operator has retired a subscription, so that nothing is delivered for it."""
    return facts is not None and facts.state is State.RETIRED
