"""The doorbells on SQS FIFO queues."""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from eventfabric import limits
from eventfabric.wire.doorbell import Doorbell, to_body

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient


class AwsDoorbells:
    """ports.Doorbells on the queues of one Region; two functions give a subscription's queues their names."""

    def __init__(
        self, client: "SQSClient", queue_name: Callable[[str], str], timers_name: Callable[[str], str]
    ) -> None:
        self._client = client
        self._queue_name = queue_name
        self._timers_name = timers_name
        self._urls: dict[str, str] = {}

    def ring(self, subscription: str, doorbells: Seq[Doorbell]) -> list[Doorbell]:
        """See ports.Doorbells. One SendMessageBatch for ten."""
        failed: list[Doorbell] = []
        for start in range(0, len(doorbells), limits.QUEUE_SEND_BATCH_MAX):
            failed += self._send(subscription, doorbells[start : start + limits.QUEUE_SEND_BATCH_MAX])
        return failed

    def _send(self, subscription: str, doorbells: Seq[Doorbell]) -> list[Doorbell]:
        try:
            answer = self._client.send_message_batch(
                QueueUrl=self._url(self._queue_name(subscription)),
                Entries=[
                    {
                        "Id": str(index),
                        "MessageBody": to_body(doorbell),
                        "MessageGroupId": doorbell.group,
                        "MessageDeduplicationId": doorbell.deduplication_id,
                    }
                    for index, doorbell in enumerate(doorbells)
                ],
            )
        except (ClientError, BotoCoreError):
            # Sent or not, whoever rings must ring again: a doorbell that comes twice is dropped or costs one read.
            return list(doorbells)
        return [doorbells[int(failure["Id"])] for failure in answer.get("Failed", ())]

    def answer(self, subscription: str, receipt_handles: Seq[str]) -> None:
        """See ports.Doorbells. One DeleteMessageBatch."""
        with suppress(ClientError, BotoCoreError):
            self._client.delete_message_batch(
                QueueUrl=self._url(self._queue_name(subscription)),
                Entries=[{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(receipt_handles)],
            )

    def hide(self, subscription: str, receipt_handles: Seq[str], seconds: int) -> None:
        """See ports.Doorbells. One ChangeMessageVisibilityBatch."""
        with suppress(ClientError, BotoCoreError):
            self._client.change_message_visibility_batch(
                QueueUrl=self._url(self._queue_name(subscription)),
                Entries=[
                    {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                    for n, handle in enumerate(receipt_handles)
                ],
            )

    def ring_later(self, subscription: str, doorbell: Doorbell, delay_seconds: float) -> bool:
        """See ports.Doorbells. One SendMessage to the timer queue."""
        try:
            self._client.send_message(
                QueueUrl=self._url(self._timers_name(subscription)),
                MessageBody=to_body(doorbell),
                DelaySeconds=min(ceil(delay_seconds), limits.TIMER_DELAY_SECONDS_MAX),
            )
        except (ClientError, BotoCoreError):
            return False
        return True

    def _url(self, name: str) -> str:
        if name not in self._urls:
            self._urls[name] = self._client.get_queue_url(QueueName=name)["QueueUrl"]
        return self._urls[name]
