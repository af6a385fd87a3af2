"""Streams of a fabric as they are declared: all that a producer must know of them, without the definition.

A stream is read once, with one read of one item, and again every minute, whatever is published meanwhile.
"""

from collections.abc import Callable, Sequence
from re import fullmatch
from typing import Final

from eventfabric.definition.schema import Stream
from eventfabric.errors import (
    LastingError,
    NotDeclaredError,
    OutcomeUnknownError,
    ThrottledError,
    UnknownStreamError,
    UnreadCatalogueError,
)
from eventfabric.limits import NAME_CHARACTERS_MAX
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import Declared
from eventfabric.ports import Clock, Log
from eventfabric.resources import TableTopology
from eventfabric.services.catalogue.facts import declared_stream
from eventfabric.services.catalogue.known import STALE_SECONDS_MAX, KnownDeclaration
from eventfabric.stream_topology import StreamTopology, ledger_table
from eventfabric.wire.declaration import check_formats

STREAM_NAME: Final = rf"[a-z][a-z0-9-]{{0,{NAME_CHARACTERS_MAX - 1}}}"
"""Pattern of the names that a stream can have."""

LogOf = Callable[[StreamTopology, Region], Log]


class DeclaredStreams:
    """Streams of a fabric, as one of its Regions declares them. Threads may share it."""

    streams_without_transactions: Final = frozenset[str]()
    """Not known, and of no use to somebody who commits no delivery."""

    def __init__(
        self,
        fabric: str,
        read_in: Sequence[Region],
        *,
        log_of: LogOf,
        clock: Clock,
        regions: Sequence[str] = (),
    ) -> None:
        """`fabric`: its name with its stage. `regions`: the fabric's, if they are known.

        `read_in`: Regions whose declarations are read, each only if those before it have given no reply at first.
        """
        self.fabric = fabric
        self.regions = tuple(regions)
        self.ledger = ledger_table(fabric, self.regions)
        self._read_in = tuple(read_in)
        self._log_of = log_of
        self._clock = clock
        self._known: dict[str, _KnownStream] = {}

    def stream(self, name: str) -> StreamTopology:
        """Return a stream by its newest declaration, which is at most a minute old.

        Raises:
            UnknownStreamError: the Region has no table of that name.
            NotDeclaredError: the table is there, but nothing is declared in it, or the stream is not deployed any more.
            FormatError: this version cannot read or write the stream.
            UnreadCatalogueError: no Region gives a reply, and what was known holds no more.
            PortError, UndecodableRecordError: as of KnownDeclaration.
        """
        return self._of(name).now()

    def forget(self, name: str) -> None:
        """Have a stream read anew at the next call, because what is known of it seems to be out of date."""
        self._of(name).forget()

    def ledger_of(self, name: str) -> TableTopology:
        """Return the table with the state of a stream's subscriptions. Errors as `stream`, except FormatError."""
        return self._of(name).in_any_format()[1].own_ledger or self.ledger

    def _of(self, name: str) -> "_KnownStream":
        known = self._known.get(name)
        if known is None:
            if not isinstance(name, str) or not fullmatch(STREAM_NAME, name):
                raise UnknownStreamError(self.fabric, name, self._read_in[0])
            made = _KnownStream(self.fabric, name, self._read_in, self._log_of, self._clock)
            known = self._known.setdefault(name, made)
        return known


class _KnownStream:
    """One stream, as the first of these Regions that answers declares it."""

    def __init__(
        self, fabric: str, name: str, read_in: Sequence[Region], log_of: LogOf, clock: Clock
    ) -> None:
        bare = StreamTopology(fabric, name, Stream(name=name), ())  # enough to find its table
        self._fabric, self._name, self._read_in = fabric, name, read_in
        self._lanes = [
            KnownDeclaration(
                log_of(bare, region),
                DeclarationLane.of(region, StreamName(name)),
                clock,
                stale_seconds_max=STALE_SECONDS_MAX,
            )
            for region in read_in
        ]
        self._answering = 0
        self._made: tuple[Declared, StreamTopology] | None = None
        self._checked: Declared | None = None

    def now(self) -> StreamTopology:
        declared, made = self.in_any_format()
        if declared is not self._checked:  # once for each declaration, not for each event
            check_formats(declared.declaration.stream)
            self._checked = declared
        return made

    def in_any_format(self) -> tuple[Declared, StreamTopology]:
        """Return the stream also if this version cannot read or write it: what is declared can be shown."""
        declared = self._declared()
        made = self._made
        if made is None or made[0] is not declared:
            region = self._read_in[self._answering]
            if declared is None or not declared.declaration.stream.is_deployed:
                self.forget()  # it may be declared at any time
                raise NotDeclaredError(self._name, region)
            made = self._made = (declared, declared_stream(self._fabric, declared.declaration))
        return made

    def forget(self) -> None:
        self._lanes[self._answering].forget()

    def _declared(self) -> Declared | None:
        """Return the declaration of the Region that answered last, or of the next that answers: all say the same."""
        count = len(self._lanes)
        last = (self._answering - 1) % count
        for index in ((self._answering + step) % count for step in range(count)):
            try:
                declared = self._lanes[index].now()
            except (OutcomeUnknownError, ThrottledError) as error:
                if index != last:
                    continue
                if isinstance(error, OutcomeUnknownError):
                    raise UnreadCatalogueError(self._name, error.reason) from error
                raise
            except LastingError as error:
                if not error.is_missing:
                    raise
                raise UnknownStreamError(self._fabric, self._name, self._read_in[index]) from error
            self._answering = index
            return declared
        raise AssertionError("a fabric is read in a Region at least")
