"""A queue with the semantics of SQS, standard and FIFO, in place of moto's.

Keeps the stored messages, those in flight, and the deduplication ids. Knows nothing of HTTP: moto's responses parse and
answer, `sqs.py` calls this. A send, receive or delete costs O(log messages), however many are stored.
"""

import base64
import binascii
import heapq
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.moto_api._internal import mock_random
from moto.sqs import models as moto_sqs
from moto.sqs.exceptions import InvalidParameterValue, ReceiptHandleIsInvalid, SQSException

DEDUPLICATION_MILLIS = 5 * 60 * 1000
MAXIMUM_VISIBILITY_MILLIS = 12 * 60 * 60 * 1000
FIRST_SEQUENCE_NUMBER = 18_850_000_000_000_000_000
SEQUENCE_NUMBER_STEP = 256


def now_millis() -> int:
    """Return the local clock in whole milliseconds, so that a time that is reached exactly counts as reached."""
    return round(now_seconds() * 1000)


def now_seconds() -> float:
    """Return the local clock, as `sqs.install` gives it to moto."""
    seconds: float = vars(moto_sqs)["unix_time"]()
    return seconds


class StaleReceiptHandle(ReceiptHandleIsInvalid):
    """A receipt handle that is no longer valid.

    A call for one message reports InvalidParameterValue; a batch reports ReceiptHandleIsInvalid, like the base class.
    """

    def __init__(self, handle: str, reason: str) -> None:
        # Skip the base class, whose __init__ takes no message.
        text = f"Value {handle} for parameter ReceiptHandle is invalid. Reason: {reason}"
        SQSException.__init__(self, "InvalidParameterValue", text)


class LocalMessage(moto_sqs.Message):
    """A message. `due_millis` is the time at which it becomes available; None: it is available."""

    order = -1
    due_millis: int | None = None
    sent_timestamp: int = 0  # type: ignore[assignment]  # moto has None


@dataclass(frozen=True, slots=True)
class _Sent:
    at_millis: int
    message_id: str
    sequence_number: str | None


class LocalQueue(moto_sqs.Queue):
    """A queue made of lanes: one for each message group; in a standard queue, one for each message.

    Invariant: a lane hands out only the unbroken run of available messages at its head, so that nothing overtakes a
    message that is in flight or delayed.
    """

    def __init__(self, name: str, region: str, account_id: str, **kwargs: Any) -> None:
        self._nonce = mock_random.uuid4().hex[:12]  # not the nonce of a deleted queue of the same name
        self._next_order = 0
        self._sent_once: OrderedDict[tuple[str | None, str], _Sent] = OrderedDict()
        self.forget_messages()
        super().__init__(name, region, account_id, **kwargs)

    def forget_messages(self) -> None:
        """Delete all messages (PurgeQueue). Deduplication ids stay known, as they do after a delete."""
        self._stored: OrderedDict[int, LocalMessage] = OrderedDict()
        self._lanes: dict[str, OrderedDict[int, LocalMessage]] = {}
        self._ready: list[tuple[int, str]] = []  # heap of (head's order, lane); stale entries are skipped
        self._timers: list[tuple[int, int]] = []  # heap of (due, order); stale entries are skipped
        self._in_flight: set[int] = set()
        self._delayed: set[int] = set()

    @property
    def is_empty(self) -> bool:
        """True if no message is stored at all, whether it can be received or not."""
        return not self._stored

    # -- sending ------------------------------------------------------------------------------------------

    def send(self, message: LocalMessage, *, delay_seconds: int) -> None:
        """Store the message; or, if it is a duplicate, give it the identity of the earlier one."""
        now = now_millis()
        message.sent_timestamp = now
        if self.fifo_queue and message.deduplication_id is not None:
            self._forget_old_sends(now)
            is_of_group = self.deduplication_scope == "messageGroup"  # type: ignore[attr-defined]  # moto sets it by name
            scope = message.group_id if is_of_group else None
            earlier = self._sent_once.get((scope, message.deduplication_id))
            if earlier is not None:
                message.id, message.sequence_number = earlier.message_id, earlier.sequence_number
                return
            self._put(message, due=now + delay_seconds * 1000 if delay_seconds else None)
            self._sent_once[scope, message.deduplication_id] = _Sent(now, message.id, message.sequence_number)
        else:
            self._put(message, due=now + delay_seconds * 1000 if delay_seconds else None)

    def add_message(self, message: moto_sqs.Message) -> None:
        """Store a dead letter, which keeps its group, deduplication id and receive count. It is not deduplicated."""
        assert isinstance(message, LocalMessage)
        if self.fifo_queue:
            message.sent_timestamp = now_millis()  # only a FIFO queue restarts the retention
        self._put(message, due=None)

    def _forget_old_sends(self, now: int) -> None:
        while self._sent_once:
            key, sent = next(iter(self._sent_once.items()))
            if now - sent.at_millis < DEDUPLICATION_MILLIS:
                return
            del self._sent_once[key]

    def _put(self, message: LocalMessage, *, due: int | None) -> None:
        message.order = self._next_order
        self._next_order += 1
        if self.fifo_queue:
            message.sequence_number = str(FIRST_SEQUENCE_NUMBER + SEQUENCE_NUMBER_STEP * message.order)
        self._stored[message.order] = message
        lane = self._lanes.setdefault(self._lane_of(message), OrderedDict())
        lane[message.order] = message
        message.due_millis = due
        if due is not None:
            self._delayed.add(message.order)
            heapq.heappush(self._timers, (due, message.order))
        elif len(lane) == 1:
            self._offer(self._lane_of(message))

    def _lane_of(self, message: LocalMessage) -> str:
        return message.group_id or "" if self.fifo_queue else str(message.order)

    # -- receiving ----------------------------------------------------------------------------------------

    def take(self, count: int, *, visibility_timeout_seconds: int) -> list[LocalMessage]:
        """Receive up to `count` messages: as many as possible of one lane, the lane with the oldest head first."""
        now = now_millis()
        self._settle(now)
        taken: list[LocalMessage] = []
        visited: set[str] = set()
        while self._ready and len(taken) < count:
            order, lane_name = heapq.heappop(self._ready)
            if lane_name in visited or not self._is_offered(lane_name, order):
                continue
            visited.add(lane_name)
            taken += self._taken_of_lane(self._lanes[lane_name], count - len(taken))
        for message in taken:
            self._mark_received(message, now, visibility_timeout_seconds)
        for lane_name in visited:
            self._offer(lane_name)
        return taken

    def _is_offered(self, lane_name: str, order: int) -> bool:
        """Tell if the message of that order is still at the head of its lane, and available."""
        lane = self._lanes.get(lane_name)
        if not lane:
            return False
        head = _head(lane)
        return head.order == order and head.due_millis is None

    def _taken_of_lane(self, lane: OrderedDict[int, LocalMessage], count: int) -> list[LocalMessage]:
        """Return up to `count` available messages. Exhausted ones among them become dead letters instead."""
        taken: list[LocalMessage] = []
        exhausted: list[LocalMessage] = []
        for message in _available_run(lane):
            if len(taken) == count:
                break
            (exhausted if self._is_exhausted(message) else taken).append(message)
        for message in exhausted:
            self._remove(message)
            assert self.dead_letter_queue is not None
            self.dead_letter_queue.add_message(message)
        return taken

    def _is_exhausted(self, message: LocalMessage) -> bool:
        if self.dead_letter_queue is None or not self.redrive_policy:
            return False
        return bool(message.approximate_receive_count >= self.redrive_policy["maxReceiveCount"])

    def _mark_received(self, message: LocalMessage, now: int, visibility_timeout_seconds: int) -> None:
        message.approximate_first_receive_timestamp = message.approximate_first_receive_timestamp or now
        message.approximate_receive_count += 1
        handle = f"{self._nonce} {message.order} {mock_random.uuid4().hex}"
        message.receipt_handle = base64.urlsafe_b64encode(handle.encode()).decode()
        self._hide(message, now, visibility_timeout_seconds)

    def _hide(self, message: LocalMessage, now: int, seconds: int) -> None:
        if seconds <= 0:
            self._release(message)
            return
        message.due_millis = now + seconds * 1000
        self._in_flight.add(message.order)
        heapq.heappush(self._timers, (message.due_millis, message.order))

    def _release(self, message: LocalMessage) -> None:
        message.due_millis = None
        self._in_flight.discard(message.order)
        self._delayed.discard(message.order)
        self._offer(self._lane_of(message))

    def _offer(self, lane_name: str) -> None:
        lane = self._lanes.get(lane_name)
        if lane and (head := _head(lane)).due_millis is None:
            heapq.heappush(self._ready, (head.order, lane_name))

    def _settle(self, now: int) -> None:
        """Apply the passing of time: messages become visible again, delays end, retention runs out."""
        while self._timers and self._timers[0][0] <= now:
            due, order = heapq.heappop(self._timers)
            message = self._stored.get(order)
            if message is not None and message.due_millis == due:
                self._release(message)
        retention_millis = self.message_retention_period * 1000  # type: ignore[attr-defined]  # moto sets it by name
        while self._stored and _head(self._stored).sent_timestamp + retention_millis <= now:
            self._remove(_head(self._stored))

    # -- with a receipt handle ----------------------------------------------------------------------------

    def delete_message(self, receipt_handle: str) -> None:
        """Delete a message by its handle; do nothing if it is gone. A FIFO queue refuses an expired handle."""
        self._settle(now_millis())
        message = self._message_of(receipt_handle)
        if message is None:
            return
        held = message.order in self._in_flight and message.receipt_handle == receipt_handle
        if self.fifo_queue and not held:
            raise StaleReceiptHandle(receipt_handle, "The receipt handle has expired.")
        self._remove(message)

    def change_visibility(self, receipt_handle: str, visibility_timeout_seconds: int) -> None:
        """Set the remaining invisible time, from now; 0 makes it visible at once. Only for a message in flight."""
        now = now_millis()
        self._settle(now)
        message = self._message_of(receipt_handle)
        in_flight = message is not None and message.order in self._in_flight
        if message is None or not in_flight or (self.fifo_queue and message.receipt_handle != receipt_handle):
            reason = "Message does not exist or is not available for visibility timeout change."
            raise StaleReceiptHandle(receipt_handle, reason)
        if now + visibility_timeout_seconds * 1000 - message.sent_timestamp > MAXIMUM_VISIBILITY_MILLIS:
            raise InvalidParameterValue(
                f"Value {visibility_timeout_seconds} for parameter VisibilityTimeout is invalid. Reason: "
                "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
            )
        self._hide(message, now, visibility_timeout_seconds)

    def _message_of(self, receipt_handle: str) -> LocalMessage | None:
        """Return the message that a handle names. Handles name it by order, so deleted messages need no memory."""
        try:
            nonce, order, _ = base64.urlsafe_b64decode(receipt_handle.encode()).decode().split(" ")
        except (ValueError, binascii.Error):
            raise ReceiptHandleIsInvalid() from None
        if nonce != self._nonce:
            raise ReceiptHandleIsInvalid()
        return self._stored.get(int(order))

    def _remove(self, message: LocalMessage) -> None:
        del self._stored[message.order]
        self._in_flight.discard(message.order)
        self._delayed.discard(message.order)
        lane_name = self._lane_of(message)
        lane = self._lanes[lane_name]
        del lane[message.order]
        if lane:
            self._offer(lane_name)
        else:
            del self._lanes[lane_name]

    # -- what moto's GetQueueAttributes reads --------------------------------------------------------------

    @property
    def messages(self) -> list[moto_sqs.Message]:
        self._settle(now_millis())
        return [message for message in self._stored.values() if message.due_millis is None]

    @property
    def approximate_number_of_messages(self) -> int:
        self._settle(now_millis())
        return len(self._stored) - len(self._in_flight) - len(self._delayed)

    @property
    def approximate_number_of_messages_not_visible(self) -> int:
        self._settle(now_millis())
        return len(self._in_flight)

    @property
    def approximate_number_of_messages_delayed(self) -> int:
        self._settle(now_millis())
        return len(self._delayed)


def _head(messages: OrderedDict[int, LocalMessage]) -> LocalMessage:
    return next(iter(messages.values()))


def _available_run(lane: OrderedDict[int, LocalMessage]) -> Iterator[LocalMessage]:
    for message in lane.values():
        if message.due_millis is not None:
            return
        yield message
