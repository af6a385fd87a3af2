"""Says without a request whether there is something to read: pollers ask every queue and stream again and again.

Knows only moto of this process. Of a queue or table that is not in it, the answer is that a request must be made.
"""

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import StreamShard
from moto.sqs.models import sqs_backends

from eventfabric.testing.local.moto_fixes.queue import LocalQueue

Progress = tuple[StreamShard, int]
"""A table's stream, and the number of changes in it."""


def may_hold_messages(queue: str, region: str) -> bool:
    """Return False if the queue surely has no message: neither visible, nor in flight, nor delayed."""
    moto_queue = sqs_backends[DEFAULT_ACCOUNT_ID][region].queues.get(queue)
    return not (isinstance(moto_queue, LocalQueue) and moto_queue.is_empty)


def progress_of(table: str, region: str) -> Progress | None:
    """Return how far the table's stream has come; None if this process does not know."""
    moto_table = dynamodb_backends[DEFAULT_ACCOUNT_ID][region].tables.get(table)
    shard = None if moto_table is None else moto_table.stream_shard
    return None if shard is None else (shard, len(shard.items))
