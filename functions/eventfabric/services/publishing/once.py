"""Once: append an event together with a note of its id, unless the note stands there already."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eventfabric.errors import OnceConflictError, TransactionRefusedError
from eventfabric.model import Lane, Record, SequenceNumber, Write
from eventfabric.services.publishing.outbox import OutboxAppend, WritesOf
from eventfabric.services.publishing.posted_tails import Posting
from eventfabric.wire import once_item
from eventfabric.wire.payload_codec import Row

MakeAppend = Callable[[Sequence[Posting], WritesOf], OutboxAppend]
"""Maker of appends with their time-out and ports."""


@dataclass(frozen=True, slots=True)
class StandsAlready:
    """The event was published before: its first place in the log."""

    lane: Lane
    sequence: SequenceNumber


def append_once(posting: Posting, row: Row, append: MakeAppend) -> Record | StandsAlready:
    """Append the posting's only event unless one of its source and id was published once in this Region.

    OnceConflictError: the earlier event has another key, type or data. Raises as OutboxAppend.run.
    """
    event_id, source = row[0], row[4]

    def note(records: Sequence[Record]) -> list[Write]:
        (record,) = records
        put = {
            "TableName": posting.table,
            "Item": once_item.to_item(record, row),
            "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        return [Write("Put", put)]

    try:
        (record,) = append([posting], note).run()
    except TransactionRefusedError as refused:
        if refused.item is None:
            raise
        first, sequence = once_item.place_of(refused.item)
        differs = once_item.differing(refused.item, row)
        if differs:
            raise OnceConflictError(event_id, source, differs, lane=first, sequence=sequence) from None
        return StandsAlready(first, sequence)
    return record
