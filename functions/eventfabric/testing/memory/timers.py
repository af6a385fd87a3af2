"""One standard SQS queue of one Region whose messages are delayed one by one; in no order, at least once."""

from dataclasses import dataclass

from eventfabric import limits
from eventfabric.errors import RefusedError
from eventfabric.ports import Clock
from eventfabric.testing.memory.queue import Received
from eventfabric.testing.memory.stream import Chooser, first


@dataclass(slots=True)
class _Timer:
    message_id: str
    body: str
    sent_ms: int
    visible_ms: int
    receive_count: int = 0

    @property
    def receipt_handle(self) -> str:
        return f"{self.message_id}#{self.receive_count}"


class MemoryTimers:
    """A timer queue."""

    def __init__(self, name: str, *, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._timers: list[_Timer] = []
        self._count = 0

    def __len__(self) -> int:
        """Return the number of messages in the queue, in flight or not."""
        return len(self._timers)

    def send(self, body: str, *, delay_seconds: int) -> None:
        """Add a message that comes after its delay, of at most 15 minutes."""
        now_ms = self._clock.now_ms()
        delay_ms = 1000 * min(delay_seconds, limits.TIMER_DELAY_SECONDS_MAX)
        self._count += 1
        self._timers.append(_Timer(f"{self.name}-{self._count}", body, now_ms, now_ms + delay_ms))

    def next_due_ms(self) -> int | None:
        """Return the time at which the next message comes, in flight or not; None: the queue is empty."""
        return min((timer.visible_ms for timer in self._timers), default=None)

    def receive(self, choose: Chooser = first) -> Received | None:
        """Receive one message that is due, or None. It comes again unless it is deleted."""
        now_ms = self._clock.now_ms()
        ready = [timer for timer in self._timers if timer.visible_ms <= now_ms]
        if not ready:
            return None
        timer = ready[choose(len(ready))]
        timer.receive_count += 1
        timer.visible_ms = now_ms + 1000 * limits.VISIBILITY_TIMEOUT_SECONDS
        return Received(
            message_id=timer.message_id,
            receipt_handle=timer.receipt_handle,
            body=timer.body,
            group="",
            deduplication_id="",
            receive_count=timer.receive_count,
            sent_ms=timer.sent_ms,
        )

    def take(self, choose: Chooser = first) -> str | None:
        """Delete one message that is due, and return its body; None if none is due."""
        received = self.receive(choose)
        if received is None:
            return None
        self.delete(received.receipt_handle)
        return received.body

    def delete(self, receipt_handle: str) -> None:
        """Delete a message that was received. RefusedError if it was received again since, or is gone."""
        self._timers.remove(self._received(receipt_handle, "delete"))

    def change_visibility(self, receipt_handle: str, seconds: int) -> None:
        """Let a received message come again after `seconds`. RefusedError if it was received again, or is gone."""
        timer = self._received(receipt_handle, "change visibility")
        timer.visible_ms = self._clock.now_ms() + seconds * 1000

    def _received(self, receipt_handle: str, operation: str) -> _Timer:
        for timer in self._timers:
            if timer.receipt_handle == receipt_handle:
                return timer
        raise RefusedError(operation, f"receipt handle {receipt_handle} is no longer good")
