"""Declared: what each Region of a stream has declared, read in that Region, and which of its tables are not there."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from re import fullmatch

from eventfabric.errors import (
    LastingError,
    LogError,
    NotDeclaredError,
    PortError,
    UndecodableRecordError,
    UnknownStreamError,
)
from eventfabric.model import DeclarationLane, Region, StreamName, SubscriptionName
from eventfabric.model.catalogue import Declaration, Declared
from eventfabric.model.partly_read import readable_of
from eventfabric.ports import Ports
from eventfabric.services.catalogue.lane import before_unreadable, newest
from eventfabric.services.catalogue.streams import STREAM_NAME
from eventfabric.services.delivery.side_by_side import SideBySide, results_of
from eventfabric.stream_topology import StreamTopology


class Presence(Enum):
    """Knowledge of a thing that should be there."""

    THERE = auto()
    MISSING = auto()
    DENIED = auto()
    """Perhaps missing: policies recognise queues by a tag, which one that is not there does not have."""
    UNKNOWN = auto()
    """The service gave no answer."""


@dataclass(frozen=True, slots=True)
class RegionDeclared:
    """A stream in one Region: what is declared, if anything, and what is there. `is_former`: it has left the Region."""

    region: Region
    declaration: Declaration | None
    is_former: bool = False
    log: Presence = Presence.THERE
    ledger: Presence = Presence.THERE
    error: str = ""
    """Why the Region was not read; what is known of its declarations is then what has come to the reader's Region."""
    unreadable: LogError | None = None
    """Why its newest declaration cannot be read; what is known is then the one before, or nothing."""


@dataclass(frozen=True)
class DeclaredReader:
    """Reads what is declared, beginning with the Region of `ports`."""

    ports: Ports
    side_by_side: SideBySide

    def read(self, stream: StreamTopology, regions: Iterable[str] = ()) -> list[RegionDeclared]:
        """Read a stream in these Regions, and in those that it is or was declared in.

        UnknownStreamError, NotDeclaredError: there is no such table, or nothing in it, and no Region is known.
        PortError: the own Region cannot be read.
        """
        here = self.ports.ledger.region
        if not fullmatch(STREAM_NAME, stream.name):
            raise UnknownStreamError(stream.fabric, stream.name, here)
        own = self._own(stream, here)
        facts = own.declaration.stream if own.declaration is not None else None
        wanted = dict.fromkeys(map(Region, [*regions, *(facts.regions if facts else ())]))
        if not wanted and own.log is Presence.MISSING:
            raise UnknownStreamError(stream.fabric, stream.name, here)
        if not wanted:
            raise NotDeclaredError(stream.name, here)
        former = [Region(name) for name in (facts.former_regions if facts else ()) if name not in wanted]
        calls = [partial(self._in, stream, region, own) for region in wanted]
        calls += [partial(self._former, stream, region) for region in former]
        return results_of(calls, self.side_by_side)

    def _in(self, stream: StreamTopology, region: Region, own: RegionDeclared) -> RegionDeclared:
        if region == own.region:
            return own
        try:
            return self._of(stream, region, self.ports.at(region))
        except PortError as error:
            known = self._former(stream, region) if own.log is Presence.THERE else own
            unknown = Presence.UNKNOWN
            return replace(known, is_former=False, log=unknown, ledger=unknown, error=str(error))

    def _own(self, stream: StreamTopology, region: Region) -> RegionDeclared:
        return self._of(stream, region, self.ports)

    def _former(self, stream: StreamTopology, region: Region) -> RegionDeclared:
        return replace(self._declared(stream, region, self.ports), is_former=True)

    def _of(self, stream: StreamTopology, region: Region, ports: Ports) -> RegionDeclared:
        """Read a Region by its own ports. PortError unless all that is wrong is that a table is not there."""
        own = RegionDeclared(region, None)

        def read() -> None:
            nonlocal own
            own = self._declared(stream, region, ports)

        log, ledger = presence(read), Presence.THERE
        declaration = own.declaration
        if declaration is not None and declaration.stream.is_deployed:
            name = SubscriptionName(next(iter(readable_of(declaration.subscriptions)), stream.name))
            ledger = presence(lambda: ports.ledger.standing(StreamName(stream.name), name))
        return replace(own, log=log, ledger=ledger)

    def _declared(self, stream: StreamTopology, region: Region, ports: Ports) -> RegionDeclared:
        log, lane = ports.log_of(stream), DeclarationLane.of(region, StreamName(stream.name))
        known: Declared | None = None
        try:
            try:
                known = newest(log, lane)
            except UndecodableRecordError as error:
                known = before_unreadable(log, lane, error)
        except UndecodableRecordError as error:
            return RegionDeclared(region, None, unreadable=error)
        if known is None:
            return RegionDeclared(region, None)
        return RegionDeclared(region, known.declaration, unreadable=known.unreadable)


def presence(look: Callable[[], object]) -> Presence:
    """Tell if something is there, by a call that fails if it is not. Raises any PortError that says something else."""
    try:
        look()
    except LastingError as error:
        if not error.is_missing:
            raise
        return Presence.MISSING
    return Presence.THERE


def presence_of_queue(look: Callable[[], object]) -> Presence:
    """Tell if a queue is there, or why nobody knows."""
    try:
        return presence(look)
    except LastingError as error:
        return Presence.DENIED if error.cause == "denied" else Presence.UNKNOWN
    except PortError:
        return Presence.UNKNOWN
