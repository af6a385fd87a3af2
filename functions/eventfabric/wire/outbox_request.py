"""A producer's transaction as DynamoDB's own requests, and the meaning of its refusal."""

from collections.abc import Sequence

from eventfabric.errors import RefusedError, ThrottledError
from eventfabric.model import Record, Write, WriteRefused
from eventfabric.wire import record_item
from eventfabric.wire.ledger_commit import Action, Refusal
from eventfabric.wire.service_errors import FAILED_CONDITION, NO_REASON


def actions_of(records: Sequence[tuple[str, Record]], writes: Sequence[Write]) -> list[Action]:
    """Return the actions of a transaction: the records first, then the writes."""
    return [
        *(("Put", {"TableName": table, **record_item.conditional_put(record)}) for table, record in records),
        *((write.action, write.request) for write in writes),
    ]


def outcome_of(refusals: Sequence[Refusal], records_count: int) -> tuple[int, Record] | WriteRefused:
    """Return the index of a record whose place is taken, and the record there; or the write that was refused.

    A place that is taken goes before all else: if the record there is the transaction's own, it was written.
    ThrottledError: a part is busy, so that the outcome of the rest is not known yet. RefusedError: a record cannot be
    written.
    """
    taken = _taken_place(refusals[:records_count])
    if taken is not None:
        return taken
    # While a part is busy, the reasons of the others are not final: the same
    # transaction may yet be refused for a write of its own, or go through.
    given = [refusal for refusal in refusals if refusal.code != NO_REASON]
    if not given or any(refusal.is_busy for refusal in given):
        raise ThrottledError("append", ", ".join(refusal.code for refusal in refusals))
    for index, refusal in enumerate(refusals[records_count:]):
        if refusal.code != NO_REASON:
            return WriteRefused(index, refusal.code, refusal.message, refusal.item)
    raise RefusedError("append", f"{given[0].code}: {given[0].message}")


def _taken_place(refusals: Sequence[Refusal]) -> tuple[int, Record] | None:
    """Return the first of the transaction's records in whose place another stands, by its index, and that other."""
    for index, refusal in enumerate(refusals):
        if refusal.code == FAILED_CONDITION and refusal.item is not None:
            return index, record_item.from_item(refusal.item)
    return None
