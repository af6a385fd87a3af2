"""The dead-letter queues of subscriptions and of timers: they hold doorbells that came too often, and no events."""

from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Final

from eventfabric import limits
from eventfabric.aws.clients import named_failures
from eventfabric.errors import UndecodableMessageError
from eventfabric.model import Doorbell
from eventfabric.ports import Clock, Doorbells
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.topology import Topology
from eventfabric.wire.doorbell import from_body, subscription_of

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient


_QUEUES_AT_ONCE: Final = 16
_COUNTS: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


class DeadQueues:
    """The dead-letter queues of one Region."""

    def __init__(self, client: "SQSClient", doorbells: Doorbells, clock: Clock) -> None:
        self._client = client
        self._doorbells = doorbells
        self._clock = clock

    def count(self, subscription: SubscriptionTopology) -> int:
        """Return about how many messages of a subscription wait or are in somebody's hands, without timers."""
        return self._waiting(subscription.queue.dead_letter_name)

    def count_timers(self, topology: Topology) -> int:
        """Return about how many timers of all subscriptions wait or are in somebody's hands."""
        return self._waiting(topology.timers.dead_letter_name)

    def redrive(self, subscriptions: Sequence[SubscriptionTopology]) -> Counter[str]:
        """Ring each doorbell of these subscriptions again, and then delete it. What is not a doorbell stays there.

        Return how many, by subscription. Timers of other subscriptions come again after the queue's time.
        """
        is_interrupted = Event()

        def redrive_own(subscription: SubscriptionTopology) -> Counter[str]:
            queue, name = subscription.queue.dead_letter_name, subscription.name
            return self._redrive(queue, {name}, is_interrupted, of=name)

        # Each queue is waited for until it says twice that it is empty.
        with ThreadPoolExecutor(_QUEUES_AT_ONCE) as pool:
            try:
                rung = sum(pool.map(redrive_own, subscriptions), Counter[str]())
            except BaseException:  # also after Ctrl-C, no thread goes on until its queue is empty
                is_interrupted.set()
                raise
        names = {subscription.name for subscription in subscriptions}
        for timers in dict.fromkeys(subscription.timers.dead_letter_name for subscription in subscriptions):
            rung += self._redrive(timers, names, is_interrupted)
        return rung

    def _waiting(self, name: str) -> int:
        with named_failures("count dead doorbells"):
            answer = self._client.get_queue_attributes(QueueUrl=self._url(name), AttributeNames=list(_COUNTS))
        return sum(int(answer["Attributes"][name]) for name in _COUNTS)

    def _redrive(
        self, name: str, subscriptions: Collection[str], is_interrupted: Event, *, of: str | None = None
    ) -> Counter[str]:
        """Empty a queue of the messages of some subscriptions. `of`: whose they all are, if they do not say it."""
        url, rung, empty, seen = self._url(name), Counter[str](), 0, set[str]()
        while empty < limits.QUEUE_EMPTY_ANSWERS and not is_interrupted.is_set():
            with named_failures("receive dead doorbells"):
                messages = self._client.receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=limits.QUEUE_SEND_BATCH_MAX,
                    WaitTimeSeconds=limits.QUEUE_WAIT_SECONDS,
                ).get("Messages", [])
            # What stays in the queue comes again in time, and must not be received for ever.
            messages = [message for message in messages if message["MessageId"] not in seen]
            seen.update(message["MessageId"] for message in messages)
            empty = 0 if messages else empty + 1
            for message in messages:
                try:
                    dead, subscription = from_body(message["Body"]), of or subscription_of(message["Body"])
                except UndecodableMessageError:
                    continue  # not ours to throw away
                again = Doorbell(dead.stream, dead.lane, dead.tail, again=self._clock.now_ms())
                if subscription in subscriptions and not self._doorbells.ring(subscription, [again]):
                    with named_failures("delete a dead doorbell"):
                        self._client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                    rung[subscription] += 1
        return rung

    def _url(self, name: str) -> str:
        with named_failures("find a dead-letter queue"):
            return self._client.get_queue_url(QueueName=name)["QueueUrl"]
