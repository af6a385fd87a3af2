"""The doorbells on SQS FIFO queues."""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from eventfabric import limits
from eventfabric.aws.clients import named_failures
from eventfabric.wire.doorbell import Doorbell, to_body

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient


class AwsDoorbells:
    """ports.Doorbells on the queues of one Region; `queue_name` gives the queue of a subscription."""

    def __init__(self, client: "SQSClient", queue_name: Callable[[str], str]) -> None:
        self._client = client
        self._queue_name = queue_name
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
                QueueUrl=self._url(subscription),
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

    def release(self, subscription: str, receipt_handle: str) -> None:
        """See ports.Doorbells. One ChangeMessageVisibility."""
        with named_failures("release a doorbell"):
            self._client.change_message_visibility(
                QueueUrl=self._url(subscription), ReceiptHandle=receipt_handle, VisibilityTimeout=0
            )

    def _url(self, subscription: str) -> str:
        if subscription not in self._urls:
            self._urls[subscription] = self._client.get_queue_url(QueueName=self._queue_name(subscription))[
                "QueueUrl"
            ]
        return self._urls[subscription]
