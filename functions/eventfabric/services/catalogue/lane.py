"""Lanes of declarations: the newest one, those before it, and what all Regions of a stream have declared."""

from collections.abc import Iterable, Iterator
from typing import Final

from eventfabric.errors import UndecodableRecordError
from eventfabric.model import DeclarationLane, Region, SequenceNumber, StreamName
from eventfabric.model.catalogue import Catalogue, Declaration, Declared
from eventfabric.ports import Log
from eventfabric.wire.declaration import declaration_of

_PAGE_RECORDS: Final = 20
_REMEDY: Final = (
    "install the version that declared it, or mend it: docs/runbook.md, A declaration that cannot be read"
)


def newest(log: Log, lane: DeclarationLane) -> Declared | None:
    """Return the newest declaration of a lane (one consistent read of one item); None: nothing was declared.

    UndecodableRecordError, FormatError: this version cannot read it.
    """
    recent = log.recent(lane, records_max=1)
    if recent.unreadable:
        raise undecodable(lane, recent.unreadable[0], "no record is there")
    if not recent.records:
        return None
    [record] = recent.records
    try:
        return Declared(declaration_of(record), record.tail)
    except UndecodableRecordError as error:
        raise undecodable(lane, record.sequence, error.reason) from error


def before_unreadable(log: Log, lane: DeclarationLane, error: UndecodableRecordError) -> Declared:
    """Return the declaration right before the newest, which cannot be read: for whoever goes on in spite of that.

    Raises `error` if there is none, or if it cannot be read either.
    """
    recent = log.recent(lane, records_max=1, before=SequenceNumber(error.sequence))
    if not recent.records or recent.records[0].tail.sequence != error.sequence:
        raise error
    [record] = recent.records
    try:
        return Declared(declaration_of(record), record.tail, unreadable=error)
    except UndecodableRecordError:
        raise error from None


def undecodable(lane: DeclarationLane, sequence: SequenceNumber, reason: str) -> UndecodableRecordError:
    """Make the error that says why the newest record of a lane cannot be read, and what to do about it."""
    return UndecodableRecordError(lane, sequence, f"{reason}; {_REMEDY}")


def history(log: Log, lane: DeclarationLane) -> Iterator[Declaration]:
    """Yield all declarations of a lane, newest first, page by page. UndecodableRecordError if one is unreadable."""
    for declaration in _known(log, lane):
        if isinstance(declaration, UndecodableRecordError):
            raise declaration
        yield declaration


def readable_history(log: Log, lane: DeclarationLane) -> Iterator[Declaration]:
    """Yield the declarations of a lane that can be read, newest first, page by page."""
    return (own for own in _known(log, lane) if not isinstance(own, UndecodableRecordError))


def _known(log: Log, lane: DeclarationLane) -> Iterator[Declaration | UndecodableRecordError]:
    before: SequenceNumber | None = None
    while True:
        recent = log.recent(lane, records_max=_PAGE_RECORDS, before=before)
        for record in recent.records:
            try:
                yield declaration_of(record)
            except UndecodableRecordError as error:
                yield error
        for sequence in recent.unreadable:
            yield UndecodableRecordError(lane, sequence, "is no declaration")
        places = [*(record.sequence for record in recent.records), *recent.unreadable]
        if not recent.more or not places:
            return
        before = min(places)


def catalogue_of(log: Log, stream: StreamName, regions: Iterable[Region]) -> Catalogue:
    """Return what these Regions have declared of a stream, as far as it has come to the log's own Region."""
    declared = {region: newest(log, DeclarationLane.of(region, stream)) for region in regions}
    return {region: known.declaration for region, known in declared.items() if known is not None}
