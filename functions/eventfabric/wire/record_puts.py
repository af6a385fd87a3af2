"""Records in a transaction beside other writes: their puts, and which of them found its place taken."""

from collections.abc import Sequence

from eventfabric.model import Occupied, Record, Write
from eventfabric.wire import record_item
from eventfabric.wire.service_errors import FAILED_CONDITION, Refusal
from eventfabric.wire.transaction_bounds import Action


def actions_of(records: Sequence[tuple[str, Record]], writes: Sequence[Write]) -> list[Action]:
    """Return the actions of records, each with its table, and of writes: the records first."""
    return [
        *(("Put", {"TableName": table, **record_item.conditional_put(record)}) for table, record in records),
        *((write.action, write.request) for write in writes),
    ]


def taken_place(refusals: Sequence[Refusal]) -> Occupied | None:
    """Return the first record, by its index, in whose place another stands, and that other."""
    for index, refusal in enumerate(refusals):
        if refusal.code == FAILED_CONDITION and refusal.item is not None:
            return Occupied(index, record_item.from_item(refusal.item))
    return None
