"""Limits of DynamoDB's transactions, checked before anything is sent: 100 actions, 4 MB, 400 KB an item."""

from collections.abc import Iterable, Sequence
from typing import Final

from eventfabric import limits
from eventfabric.errors import TransactionTooLargeError
from eventfabric.model import Batch, Chain, HybridTime, Lane, SequenceNumber, Tail, Write, record_at
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.record_item import to_item

_FAR_TAIL: Final = Tail(
    SequenceNumber(limits.SEQUENCE_MAX - limits.RECORD_EVENTS_MAX), Chain(bytes(16)), HybridTime(2**62)
)
"""After this tail, the numbers of a record take as many bytes as they can anywhere."""


def check_transaction(batches: Iterable[tuple[Lane, Batch]], writes: Sequence[Write]) -> None:
    """Refuse a producer's transaction that cannot be written, wherever its batches will stand.

    TransactionTooLargeError. Only DynamoDB knows how large an update makes an item: counted is what is sent.
    """
    # Any retention: an expiry takes its bytes as well.
    records = [
        record_at(_FAR_TAIL, lane, batch, now_ms=2**40, retention_seconds=0) for lane, batch in batches
    ]
    check_count(len(records) + len(writes))
    check_writes(writes, beside_bytes=sum(item_bytes(to_item(record)) for record in records))


def check_writes(writes: Sequence[Write], *, beside_bytes: int = 0) -> None:
    """Refuse writes if one is larger than an item may be, or all together are too large. TransactionTooLargeError.

    Args:
        writes: the writes to be made.
        beside_bytes: size of everything else in the transaction.
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
    """Refuse more actions than a transaction can hold. TransactionTooLargeError."""
    if actions > most:
        raise TransactionTooLargeError(
            -1, "TooManyActions", f"found {actions} actions, allowed: at most {most}", None
        )


def bytes_of(write: Write) -> int:
    """Return the bytes of an item that are sent; 0 if the request lacks what it must have: the service will say so."""
    # All that is known: an update does not send the rest of its item.
    names = ("Key", "ExpressionAttributeValues") if write.action == "Update" else ("Item", "Key")
    parts = (write.request.get(name) for name in names)
    return sum(item_bytes(part) for part in parts if isinstance(part, dict))
