"""A producer's transaction: its bounds, and the meaning of its refusal."""

from collections.abc import Iterable, Sequence
from typing import Final

from eventfabric import limits
from eventfabric.errors import RefusedError, ThrottledError
from eventfabric.model import (
    Batch,
    Chain,
    HybridTime,
    Lane,
    Occupied,
    SequenceNumber,
    Tail,
    Write,
    WriteRefused,
    record_at,
)
from eventfabric.wire import record_item
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.record_puts import taken_place
from eventfabric.wire.service_errors import NO_REASON, Refusal
from eventfabric.wire.transaction_bounds import check_count, check_writes

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
    check_writes(writes, beside_bytes=sum(item_bytes(record_item.to_item(record)) for record in records))


def outcome_of(refusals: Sequence[Refusal], records_count: int) -> Occupied | WriteRefused:
    """Return the place that is taken, or the write that was refused.

    A place that is taken goes before all else: if the record there is the transaction's own, it was written.
    ThrottledError: a part is busy, so that the outcome of the rest is not known yet. RefusedError: a record cannot be
    written.
    """
    taken = taken_place(refusals[:records_count])
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
