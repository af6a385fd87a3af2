"""Formats that are required of whoever reads and writes a stream, by what is declared of it in a Region.

Producers and functions look at each declaration that they read. People's commands go through `format_checked`.
"""

from dataclasses import replace
from typing import Any, cast

from eventfabric.errors import LastingError, UndecodableRecordError
from eventfabric.model import DeclarationLane, StreamName
from eventfabric.ports import Clock, Log, Ports
from eventfabric.services.catalogue.known import STALE_SECONDS_MAX, KnownDeclaration
from eventfabric.stream_topology import StreamTopology
from eventfabric.wire.declaration import check_formats


def format_checked(ports: Ports) -> Ports:
    """Return ports of which a call to a log of their own Region raises FormatError if this version is too old for it.

    Each log is checked by its first call, and again after a minute.
    """
    made: dict[str, Log] = {}

    def log_of(stream: StreamTopology) -> Log:
        if stream.table.name not in made:
            lane = DeclarationLane.of(ports.ledger.region, StreamName(stream.name))
            checked = _CheckedLog(ports.log_of(stream), lane, ports.clock)
            made[stream.table.name] = cast(Log, checked)
        return made[stream.table.name]

    return replace(ports, log_of=log_of)


class _CheckedLog:
    """A log that calls nothing before it knows that this version is new enough for the stream."""

    def __init__(self, log: Log, lane: DeclarationLane, clock: Clock) -> None:
        self._log = log
        self._known = KnownDeclaration(log, lane, clock, stale_seconds_max=STALE_SECONDS_MAX)

    def __getattr__(self, name: str) -> Any:
        try:
            declared = self._known.now()
        except UndecodableRecordError:
            declared = None  # whoever mends that lane has to get at it
        except LastingError as error:
            if not error.is_missing:
                raise
            declared = None  # there is no such table, as the call itself says
        if declared is not None:
            check_formats(declared.declaration.stream)
        return getattr(self._log, name)
