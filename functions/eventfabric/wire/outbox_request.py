"""A producer's transaction as DynamoDB's own requests, and what its refusal means."""

from collections.abc import Sequence as Seq

from eventfabric.errors import ThrottledError
from eventfabric.model.commit import Write, WriteRefused
from eventfabric.model.record import Record
from eventfabric.wire import record_item
from eventfabric.wire.ledger_commit import CONFLICT, FAILED_CONDITION, Action, Refusal


def actions_of(records: Seq[tuple[str, Record]], writes: Seq[Write]) -> list[Action]:
    """The records first, then the writes."""
    return [
        *(("Put", {"TableName": table, **record_item.conditional_put(record)}) for table, record in records),
        *((write.action, write.request) for write in writes),
    ]


def outcome_of(refusals: Seq[Refusal], records_count: int) -> tuple[int, Record] | WriteRefused:
    """Which record's place is taken, and by which; or which write was refused.

    A place that is taken goes before all else: if what stands there is the transaction's own, it was written.
    Conflicts with other transactions and throttles raise ThrottledError: the same may go through later.
    """
    for index, refusal in enumerate(refusals[:records_count]):
        if refusal.code == FAILED_CONDITION and refusal.item is not None:
            return index, record_item.from_item(refusal.item)
    for index, refusal in enumerate(refusals[records_count:]):
        if refusal.code not in ("None", CONFLICT):
            return WriteRefused(index, refusal.code, refusal.message, refusal.item)
    raise ThrottledError("append", ", ".join(refusal.code for refusal in refusals))
