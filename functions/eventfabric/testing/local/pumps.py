"""Lambda's pollers: from a table's stream to the relay, from a queue to a deliver function.

They follow Lambda's rules: batches, partial batch responses, a crash that fails its whole batch, visibility, receive
counts and redrive (which the queue itself does).
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, Protocol

from eventfabric import limits
from eventfabric.aws.clients import Clients
from eventfabric.model import Doorbell
from eventfabric.ports import Clock, Doorbells
from eventfabric.testing.local.invoke import LocalFunction
from eventfabric.testing.local.moto_fixes.unread import may_hold_messages
from eventfabric.testing.memory.faults import SimulatedCrash

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_STREAM_RETRY_SECONDS = 1.0


class Pump(Protocol):
    """A mover of messages or records from one place to the next."""

    def step(self) -> bool:
        """Move what can be moved now. Return True if anything was moved."""
        ...

    def next_due(self, *, but_of: Collection[str] = ()) -> float | None:
        """Return when something that waits can move, in seconds since 1970; None: nothing waits for time.

        `but_of`: subscriptions whose timers do not count.
        """
        ...


class StreamPump:
    """Passes a table's stream records to the relay in order; after a failure, again from the failed record on."""

    def __init__(self, function: LocalFunction, clock: Clock) -> None:
        self._function = function
        self._clock = clock
        self._waiting: deque[dict[str, Any]] = deque()
        self._retry_at_ms = 0

    def offer(self, stream_record: dict[str, Any]) -> None:
        """Add a record of the stream."""
        self._waiting.append(stream_record)

    def step(self) -> bool:
        """See Pump."""
        if not self._waiting or self._clock.now_ms() < self._retry_at_ms:
            return False
        batch = [self._waiting[index] for index in range(min(len(self._waiting), limits.RELAY_BATCH_MAX))]
        try:
            answer = self._function.invoke({"Records": batch})
            failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        except (
            Exception,
            SimulatedCrash,
        ):  # the poller only knows that the invocation failed, so all of it comes again
            failed = {batch[0]["dynamodb"]["SequenceNumber"]}
        for stream_record in batch:
            if stream_record["dynamodb"]["SequenceNumber"] in failed:
                self._retry_at_ms = self._clock.now_ms() + int(_STREAM_RETRY_SECONDS * 1000)
                break
            self._waiting.popleft()
        return True

    def next_due(self, *, but_of: Collection[str] = ()) -> float | None:
        """See Pump."""
        return self._retry_at_ms / 1000 if self._waiting else None


class QueuePump:
    """Passes a queue's doorbells to a function, and deletes those that do not fail."""

    def __init__(self, function: LocalFunction, clients: Clients, queue_name: str, clock: Clock) -> None:
        self._function = function
        self._sqs = clients.sqs
        self._clock = clock
        self._name = queue_name
        self._url = clients.sqs.get_queue_url(QueueName=queue_name)["QueueUrl"]
        attributes = clients.sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["All"])[
            "Attributes"
        ]
        self._arn = attributes["QueueArn"]
        self._visibility_seconds = int(attributes["VisibilityTimeout"])
        self._region = clients.region
        self._invisible_until_ms: dict[str, int] = {}
        self._delayed_until_ms: list[tuple[int, str]] = []

    def delayed(self, until_ms: int, *, of: str) -> None:
        """Note that a message of a subscription was sent that becomes visible at that time."""
        self._delayed_until_ms.append((until_ms, of))

    def step(self) -> bool:
        """See Pump."""
        if not may_hold_messages(self._name, self._region):
            return False
        messages = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=limits.DOORBELL_BATCH_MAX,
            VisibilityTimeout=self._visibility_seconds,
            MessageSystemAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            return False
        visible_at_ms = self._clock.now_ms() + 1000 * self._visibility_seconds
        # Noted before the call: if a test or a person interrupts the handler, the doorbells still come again.
        self._invisible_until_ms |= {message["MessageId"]: visible_at_ms for message in messages}
        failed = self._failed_of(messages)
        done = [message for message in messages if message["MessageId"] not in failed]
        for message in done:
            self._invisible_until_ms.pop(message["MessageId"], None)
        if done:
            self._sqs.delete_message_batch(
                QueueUrl=self._url,
                Entries=[{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(done)],
            )
        return True

    def _failed_of(self, messages: "list[MessageTypeDef]") -> set[str]:
        """Invoke the function with the messages, and return the ids of those that come again."""
        try:
            answer = self._function.invoke(
                {"Records": [self._as_lambda_gets_it(message) for message in messages]}
            )
            return {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        except (
            Exception,
            SimulatedCrash,
        ):  # the poller only knows that the invocation failed: all comes again
            return {message["MessageId"] for message in messages}

    def next_due(self, *, but_of: Collection[str] = ()) -> float | None:
        """See Pump."""
        now_ms = self._clock.now_ms()
        self._invisible_until_ms = {
            id_: due_ms for id_, due_ms in self._invisible_until_ms.items() if due_ms > now_ms
        }
        self._delayed_until_ms = [delayed for delayed in self._delayed_until_ms if delayed[0] > now_ms]
        delayed_ms = [due_ms for due_ms, name in self._delayed_until_ms if name not in but_of]
        dues = [*self._invisible_until_ms.values(), *delayed_ms]
        return min(dues) / 1000 if dues else None

    def _as_lambda_gets_it(self, message: "MessageTypeDef") -> dict[str, Any]:
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": dict(message["Attributes"]),
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self._arn,
            "awsRegion": self._region,
        }


class NotedTimers:
    """Doorbells that tell a pump when delayed messages are due, so that a clock can be advanced to that time."""

    def __init__(self, inner: Doorbells, clock: Clock, pump: Callable[[], QueuePump | None]) -> None:
        self._inner = inner
        self._clock = clock
        self._pump = pump

    def ring(self, subscription: str, doorbells: Sequence[Doorbell]) -> list[Doorbell]:
        return self._inner.ring(subscription, doorbells)

    def answer(self, subscription: str, receipt_handles: Sequence[str]) -> None:
        self._inner.answer(subscription, receipt_handles)

    def hide(self, subscription: str, receipt_handles: Sequence[str], seconds: int) -> None:
        self._inner.hide(subscription, receipt_handles, seconds)

    def put_off(self, subscription: str, seconds_of: Mapping[str, int]) -> None:
        pump = self._pump()
        if pump is not None:
            for seconds in seconds_of.values():
                pump.delayed(self._clock.now_ms() + seconds * 1000, of=subscription)
        self._inner.put_off(subscription, seconds_of)

    def ring_later(self, subscription: str, doorbell: Doorbell, delay_seconds: float) -> bool:
        pump = self._pump()
        if pump is not None:
            pump.delayed(self._clock.now_ms() + ceil(delay_seconds) * 1000, of=subscription)
        return self._inner.ring_later(subscription, doorbell, delay_seconds)
