"""Doorbells on queues in memory."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import ceil

from eventfabric.errors import RefusedError
from eventfabric.model import Doorbell
from eventfabric.model.doorbell import QueueName
from eventfabric.testing.memory.region import MemoryRegion
from eventfabric.wire.doorbell import to_body


class MemoryDoorbells:
    """ports.Doorbells on the queues of one Region. Two functions give the names of a subscription's queues."""

    def __init__(self, region: MemoryRegion, queue_name: QueueName, timers_name: QueueName) -> None:
        self._region = region
        self._queue_name = queue_name
        self._timers_name = timers_name

    def ring(self, subscription: str, doorbells: Sequence[Doorbell]) -> list[Doorbell]:
        """See ports.Doorbells."""
        queue = self._region.queues.get(self._queue_name(subscription))
        if queue is None:
            return list(doorbells)
        for doorbell in doorbells:
            queue.send(to_body(doorbell), group=doorbell.group, deduplication_id=doorbell.deduplication_id)
        return []

    def answer(self, subscription: str, receipt_handles: Sequence[str]) -> None:
        """See ports.Doorbells."""
        for handle in receipt_handles:
            with suppress(RefusedError):
                self._region.queues[self._queue_name(subscription)].delete(handle)

    def hide(self, subscription: str, receipt_handles: Sequence[str], seconds: int) -> None:
        """See ports.Doorbells."""
        for handle in receipt_handles:
            with suppress(RefusedError):
                self._region.queues[self._queue_name(subscription)].change_visibility(handle, seconds)

    def ring_later(self, subscription: str, doorbell: Doorbell, delay_seconds: float) -> bool:
        """See ports.Doorbells."""
        timers = self._region.timers.get(self._timers_name(subscription))
        if timers is None:
            return False
        timers.send(to_body(doorbell, timer_of=subscription), delay_seconds=ceil(delay_seconds))
        return True

    def put_off(self, subscription: str, seconds_of: Mapping[str, int]) -> None:
        """See ports.Doorbells."""
        timers = self._region.timers.get(self._timers_name(subscription))
        if timers is None:
            return
        for handle, seconds in seconds_of.items():
            with suppress(RefusedError):
                timers.change_visibility(handle, seconds)
