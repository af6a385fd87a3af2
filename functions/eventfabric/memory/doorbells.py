"""The doorbells on queues in memory."""

from collections.abc import Callable
from collections.abc import Sequence as Seq

from eventfabric.errors import RefusedError
from eventfabric.memory.queue import MemoryQueue
from eventfabric.memory.region import MemoryRegion
from eventfabric.wire.doorbell import Doorbell, to_body


class MemoryDoorbells:
    """ports.Doorbells on the queues of one Region; `queue_name` gives the queue of a subscription."""

    def __init__(self, region: MemoryRegion, queue_name: Callable[[str], str]) -> None:
        self._region = region
        self._queue_name = queue_name

    def ring(self, subscription: str, doorbells: Seq[Doorbell]) -> list[Doorbell]:
        """See ports.Doorbells."""
        queue = self._region.queues.get(self._queue_name(subscription))
        if queue is None:
            return list(doorbells)
        for doorbell in doorbells:
            queue.send(to_body(doorbell), group=doorbell.group, deduplication_id=doorbell.deduplication_id)
        return []

    def release(self, subscription: str, receipt_handle: str) -> None:
        """See ports.Doorbells."""
        self._queue(subscription).change_visibility(receipt_handle, 0)

    def _queue(self, subscription: str) -> MemoryQueue:
        name = self._queue_name(subscription)
        try:
            return self._region.queues[name]
        except KeyError:
            raise RefusedError("release a doorbell", f"QueueDoesNotExist: {name}") from None
