"""Limits of DynamoDB's transactions, checked before anything is sent: 100 actions, 4 MB, 400 KB an item."""

from collections.abc import Sequence
from typing import Any

from eventfabric import limits
from eventfabric.errors import TransactionTooLargeError
from eventfabric.model import Write
from eventfabric.wire.item_size import sent_bytes

Action = tuple[str, dict[str, Any]]
"""Put, Update, Delete or ConditionCheck, and the DynamoDB request for it."""


def check_writes(writes: Sequence[Write], *, beside_bytes: int = 0) -> None:
    """Refuse writes if one is larger than an item may be, or all together are too large. TransactionTooLargeError.

    Args:
        writes: the writes to be made.
        beside_bytes: size of everything else in the transaction.
    """
    total = beside_bytes
    for index, write in enumerate(writes):
        size = sent_bytes(write)
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
