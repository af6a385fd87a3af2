"""Lanes of declarations: the newest one, those before it, and what all Regions of a stream have declared."""

from collections.abc import Iterable, Iterator
from typing import Final

from eventfabric.errors import UndecodableRecordError
from eventfabric.model import DeclarationLane, Region, SequenceNumber, StreamName
from eventfabric.model.catalogue import Catalogue, Declaration, Declared
from eventfabric.ports import Log
from eventfabric.wire.declaration import declaration_of

_PAGE_RECORDS: Final = 20


def newest(log: Log, lane: DeclarationLane) -> Declared | None:
    """Return the newest declaration of a lane (one consistent read of one item); None: nothing was declared.

    UndecodableRecordError: this version cannot read it.
    """
    recent = log.recent(lane, records_max=1)
    if recent.unreadable:
        raise UndecodableRecordError(
            lane, recent.unreadable[0], "is no declaration that this version can read"
        )
    if not recent.records:
        return None
    [record] = recent.records
    return Declared(declaration_of(record), record.tail)


def history(log: Log, lane: DeclarationLane) -> Iterator[Declaration]:
    """Yield all declarations of a lane, newest first, page by page. UndecodableRecordError if one is unreadable."""
    before: SequenceNumber | None = None
    while True:
        recent = log.recent(lane, records_max=_PAGE_RECORDS, before=before)
        for record in recent.records:
            yield declaration_of(record)
        if recent.unreadable:
            raise UndecodableRecordError(lane, recent.unreadable[0], "is no declaration")
        if not recent.more or not recent.records:
            return
        before = recent.records[-1].sequence


def catalogue_of(log: Log, stream: StreamName, regions: Iterable[Region]) -> Catalogue:
    """Return what these Regions have declared of a stream, as far as it has come to the log's own Region."""
    declared = {region: newest(log, DeclarationLane.of(region, stream)) for region in regions}
    return {region: known.declaration for region, known in declared.items() if known is not None}
