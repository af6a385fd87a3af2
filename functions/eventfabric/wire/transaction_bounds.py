"""What DynamoDB takes in one transaction, found out before anything is sent: 100 actions, 4 MB, 400 KB an item."""

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from typing import Final

from eventfabric import limits
from eventfabric.errors import TransactionTooLargeError
from eventfabric.model.commit import Write
from eventfabric.model.identity import Chain, HybridTime, Lane, Sequence
from eventfabric.model.record import Batch, Tail, record_at
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.record_item import to_item

_FAR_TAIL: Final = Tail(
    Sequence(limits.SEQUENCE_MAX - limits.RECORD_EVENTS_MAX), Chain(bytes(16)), HybridTime(2**62)
)
"""Numbers of a record take no more bytes anywhere than behind this one."""


def check_transaction(batches: Iterable[tuple[Lane, Batch]], writes: Seq[Write]) -> None:
    """Refuse a producer's transaction that cannot be written, wherever its batches will stand.

    TransactionTooLargeError. How large an item becomes by an update only DynamoDB knows: counted is what is sent.
    """
    records = [
        record_at(_FAR_TAIL, lane, batch, now_ms=2**40, retention_seconds=0) for lane, batch in batches
    ]
    check_count(len(records) + len(writes))
    check_writes(writes, beside_bytes=sum(item_bytes(to_item(record)) for record in records))


def check_writes(writes: Seq[Write], *, beside_bytes: int = 0) -> None:
    """Refuse writes of which one is larger than an item may be, or all are together. TransactionTooLargeError.

    Args:
        writes: what somebody wants written.
        beside_bytes: what else the transaction holds.
    """
    total = beside_bytes
    for index, write in enumerate(writes):
        size = bytes_of(write)
        if size > limits.ITEM_BYTES_MAX:
            reason = f"found {size:,} bytes, allowed: at most {limits.ITEM_BYTES_MAX:,} an item"
            raise TransactionTooLargeError(index, "ItemTooLarge", reason, None)
        total += size
    if total > limits.TRANSACTION_BYTES_MAX:
        reason = f"found {total:,} bytes, allowed: at most {limits.TRANSACTION_BYTES_MAX:,} in all"
        raise TransactionTooLargeError(-1, "TooManyBytes", reason, None)


def check_count(actions: int, *, most: int = limits.TRANSACTION_ACTIONS_MAX) -> None:
    """Refuse more actions than a transaction takes. TransactionTooLargeError."""
    if actions > most:
        raise TransactionTooLargeError(
            -1, "TooManyActions", f"found {actions} actions, allowed: at most {most}", None
        )


def bytes_of(write: Write) -> int:
    """What is sent of an item. Nothing where the request has none as it must be: the service will say so."""
    names = ("Key", "ExpressionAttributeValues") if write.action == "Update" else ("Item", "Key")
    parts = (write.request.get(name) for name in names)
    return sum(item_bytes(part) for part in parts if isinstance(part, dict))
