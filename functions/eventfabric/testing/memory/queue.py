"""SQS queues of one Region: a FIFO queue, and a standard queue whose messages are delayed one by one.

The first is at-least-once, in order within a group, with deduplication for five minutes; the other keeps no order.

While a message of a group is in flight, no other message of that group is received. Deduplication is per group, and an
id stays known even after its message is deleted. A message that was received too often moves to the dead-letter queue,
and its group goes on without it.
"""

from dataclasses import dataclass
from typing import Any

from eventfabric import limits
from eventfabric.errors import RefusedError
from eventfabric.ports import Clock
from eventfabric.testing.memory.stream import Chooser, first


@dataclass(slots=True)
class _Message:
    message_id: str
    body: str
    group: str
    deduplication_id: str
    sent_ms: int
    receive_count: int = 0
    receipt_handle: str | None = None
    visible_ms: int = 0


@dataclass(frozen=True, slots=True)
class Received:
    """A message as one receive returned it."""

    message_id: str
    receipt_handle: str
    body: str
    group: str
    deduplication_id: str
    receive_count: int
    sent_ms: int

    def event(self) -> dict[str, Any]:
        """Return the message in the form in which Lambda passes it to a function."""
        return {
            "messageId": self.message_id,
            "receiptHandle": self.receipt_handle,
            "body": self.body,
            "attributes": {
                "ApproximateReceiveCount": str(self.receive_count),
                "SentTimestamp": str(self.sent_ms),
                "MessageGroupId": self.group,
                "MessageDeduplicationId": self.deduplication_id,
            },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
        }


class MemoryQueue:
    """A FIFO queue. Invariant: nothing of a group is received while a message of that group is in flight."""

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        visibility_timeout_seconds: int = limits.VISIBILITY_TIMEOUT_SECONDS,
        receive_count_max: int = limits.RECEIVE_COUNT_MAX,
        dead_letters: "MemoryQueue | None" = None,
    ) -> None:
        self.name = name
        self.dead_letters = dead_letters
        self._clock = clock
        self._visibility_ms = visibility_timeout_seconds * 1000
        self._receive_count_max = receive_count_max
        self._messages: list[_Message] = []
        self._sent: dict[tuple[str, str], tuple[int, str]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return the number of messages in the queue, in flight or not."""
        return len(self._messages)

    @property
    def bodies(self) -> list[str]:
        """Bodies of all messages in the queue, in order. For tests; no request to SQS returns this."""
        return [message.body for message in self._messages]

    def send(self, body: str, *, group: str, deduplication_id: str) -> str:
        """Add a message and return its id; drop it silently if its group saw its deduplication id within 5 minutes."""
        now = self._clock.now_ms()
        earlier = self._sent.get((group, deduplication_id))
        if earlier is not None and now < earlier[0] + limits.DEDUPLICATION_SECONDS * 1000:
            return earlier[1]
        self._count += 1
        message_id = f"{self.name}-{self._count}"
        self._sent[group, deduplication_id] = (now, message_id)
        self._messages.append(_Message(message_id, body, group, deduplication_id, now))
        return message_id

    def receive(self, count: int = limits.DOORBELL_BATCH_MAX, choose: Chooser = first) -> list[Received]:
        """Receive up to `count` (at most 10) messages of groups with none in flight; the chooser picks the groups."""
        now = self._clock.now_ms()
        count = min(count, limits.DOORBELL_BATCH_MAX)
        self._bury()
        locked = {m.group for m in self._messages if m.receipt_handle is not None and m.visible_ms > now}
        waiting = [m for m in self._messages if m.group not in locked]
        received: list[Received] = []
        while waiting and len(received) < count:
            message = _chosen(waiting, choose)
            waiting.remove(message)
            received.append(self._hand_out(message, now))
        return received

    def next_due_ms(self) -> int | None:
        """Return the time at which the next message in flight becomes visible again; None if none is in flight."""
        now = self._clock.now_ms()
        return min((m.visible_ms for m in self._messages if m.visible_ms > now), default=None)

    def delete(self, receipt_handle: str) -> None:
        """Delete a message in flight. RefusedError if the handle is no longer valid; the message then comes again."""
        self._messages.remove(self._in_flight(receipt_handle, "delete"))

    def change_visibility(self, receipt_handle: str, seconds: int) -> None:
        """Let a message in flight come again after `seconds`. RefusedError if the handle is no longer valid."""
        message = self._in_flight(receipt_handle, "change visibility")
        message.visible_ms = self._clock.now_ms() + seconds * 1000
        if seconds == 0:
            message.receipt_handle = None

    def redrive(self, to: "MemoryQueue") -> int:
        """Move all messages to another queue with new ids, as StartMessageMoveTask does: they may interleave."""
        moved, self._messages = self._messages, []
        for index, message in enumerate(moved):
            to.send(
                message.body, group=message.group, deduplication_id=f"redrive-{index}-{self._clock.now_ms()}"
            )
        return len(moved)

    def _hand_out(self, message: _Message, now: int) -> Received:
        message.receive_count += 1
        message.receipt_handle = f"{message.message_id}#{message.receive_count}"
        message.visible_ms = now + self._visibility_ms
        return Received(
            message.message_id,
            message.receipt_handle,
            message.body,
            message.group,
            message.deduplication_id,
            message.receive_count,
            message.sent_ms,
        )

    def _bury(self) -> None:
        """Move messages that were received too often, and are visible again, to the dead-letter queue."""
        if self.dead_letters is None:
            return
        now = self._clock.now_ms()
        buried = [
            message
            for message in self._messages
            if message.receive_count >= self._receive_count_max
            and (message.receipt_handle is None or message.visible_ms <= now)
        ]
        for message in buried:
            self._messages.remove(message)
            self.dead_letters.send(
                message.body, group=message.group, deduplication_id=message.deduplication_id
            )

    def _in_flight(self, receipt_handle: str, operation: str) -> _Message:
        now = self._clock.now_ms()
        for message in self._messages:
            if message.receipt_handle == receipt_handle and message.visible_ms > now:
                return message
        raise RefusedError(operation, "MessageNotInflight: the receipt handle is unknown or has expired")


def _chosen(messages: list[_Message], choose: Chooser) -> _Message:
    """Return the first message of the group that the chooser picks."""
    groups = list(dict.fromkeys(message.group for message in messages))
    group = groups[choose(len(groups))]
    return next(message for message in messages if message.group == group)


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
