"""The dead-letter queues of subscriptions: they hold doorbells that were received too often, and no events."""

from typing import TYPE_CHECKING, Final

from eventfabric import limits
from eventfabric.aws.clients import named_failures
from eventfabric.errors import UndecodableMessageError
from eventfabric.model import Doorbell
from eventfabric.ports import Clock, Doorbells
from eventfabric.topology import SubscriptionTopology
from eventfabric.wire.doorbell import from_body

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient


_COUNTS: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


class DeadQueues:
    """The dead-letter queues of one Region."""

    def __init__(self, client: "SQSClient", doorbells: Doorbells, clock: Clock) -> None:
        self._client = client
        self._doorbells = doorbells
        self._clock = clock

    def count(self, subscription: SubscriptionTopology) -> int:
        """Return about how many messages wait or are in somebody's hands, including timers."""
        return sum(self._waiting(name) for name in _names(subscription))

    def redrive(self, subscription: SubscriptionTopology) -> int:
        """Ring each doorbell again, and then delete it. Return how many. What is not a doorbell stays where it is."""
        return sum(self._redrive(subscription.name, name) for name in _names(subscription))

    def _waiting(self, name: str) -> int:
        with named_failures("count dead doorbells"):
            answer = self._client.get_queue_attributes(QueueUrl=self._url(name), AttributeNames=list(_COUNTS))
        return sum(int(answer["Attributes"][name]) for name in _COUNTS)

    def _redrive(self, subscription: str, name: str) -> int:
        url, rung, empty = self._url(name), 0, 0
        while empty < limits.QUEUE_EMPTY_ANSWERS:
            with named_failures("receive dead doorbells"):
                messages = self._client.receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=limits.QUEUE_SEND_BATCH_MAX,
                    WaitTimeSeconds=limits.QUEUE_WAIT_SECONDS,
                ).get("Messages", [])
            empty = 0 if messages else empty + 1
            for message in messages:
                try:
                    dead = from_body(message["Body"])
                except UndecodableMessageError:
                    continue  # not ours to throw away
                again = Doorbell(dead.stream, dead.lane, dead.tail, again=self._clock.now_ms())
                if not self._doorbells.ring(subscription, [again]):
                    with named_failures("delete a dead doorbell"):
                        self._client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                    rung += 1
        return rung

    def _url(self, name: str) -> str:
        with named_failures("find a dead-letter queue"):
            return self._client.get_queue_url(QueueName=name)["QueueUrl"]


def _names(subscription: SubscriptionTopology) -> tuple[str, str]:
    return subscription.queue.dead_letter_name, subscription.timers.dead_letter_name
