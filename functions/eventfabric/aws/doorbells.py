"""Doorbells on SQS FIFO queues."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from logging import getLogger
from math import ceil
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from eventfabric import limits
from eventfabric.aws.clients import error_code
from eventfabric.model import Doorbell
from eventfabric.model.doorbell import QueueName
from eventfabric.wire.doorbell import to_body

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_OF_AN_ENTRY = frozenset({"InvalidParameterValue", "InvalidMessageContents", "MissingParameter"})
_logger = getLogger(__name__)


class AwsDoorbells:
    """ports.Doorbells on the queues of one Region. Two functions name a subscription's queue and its timers'."""

    def __init__(self, client: "SQSClient", queue_name: QueueName, timers_name: QueueName) -> None:
        self._client = client
        self._queue_name = queue_name
        self._timers_name = timers_name
        self._urls: dict[str, str] = {}

    def ring(self, subscription: str, doorbells: Sequence[Doorbell]) -> list[Doorbell]:
        """See ports.Doorbells. One SendMessageBatch for ten."""
        failed: list[Doorbell] = []
        for start in range(0, len(doorbells), limits.QUEUE_SEND_BATCH_MAX):
            failed += self._send(subscription, doorbells[start : start + limits.QUEUE_SEND_BATCH_MAX])
        return failed

    def _send(self, subscription: str, doorbells: Sequence[Doorbell]) -> list[Doorbell]:
        # Without a reply they are rung again: a doorbell that comes twice is dropped or costs one read.
        failed = list(doorbells)
        with _failures_logged("ring", subscription):
            try:
                answer = self._client.send_message_batch(
                    QueueUrl=self._url(self._queue_name(subscription)),
                    Entries=[_entry(index, doorbell) for index, doorbell in enumerate(doorbells)],
                )
            except ClientError as error:
                if error_code(error) not in _OF_AN_ENTRY or len(doorbells) == 1:
                    raise
                return self._send_singly(subscription, doorbells)
            sent = {entry.get("Id") for entry in answer.get("Successful", ()) if entry}
            failed = [doorbell for index, doorbell in enumerate(doorbells) if str(index) not in sent]
            codes = {entry.get("Code", "no code") for entry in answer.get("Failed", ()) if entry}
            if codes:
                _tell("ring", subscription, ", ".join(sorted(codes)))
        return failed

    def _send_singly(self, subscription: str, doorbells: Sequence[Doorbell]) -> list[Doorbell]:
        """Send each by itself: SQS refuses all that are sent together with one that cannot be sent."""
        failed: list[Doorbell] = []
        for doorbell in doorbells:
            failed += self._send(subscription, [doorbell])
        return failed

    def answer(self, subscription: str, receipt_handles: Sequence[str]) -> None:
        """See ports.Doorbells. One DeleteMessageBatch."""
        with _failures_logged("answer", subscription):
            self._client.delete_message_batch(
                QueueUrl=self._url(self._queue_name(subscription)),
                Entries=[{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(receipt_handles)],
            )

    def hide(self, subscription: str, receipt_handles: Sequence[str], seconds: int) -> None:
        """See ports.Doorbells. One ChangeMessageVisibilityBatch."""
        with _failures_logged("hide", subscription):
            self._change_visibility(self._queue_name(subscription), dict.fromkeys(receipt_handles, seconds))

    def ring_later(self, subscription: str, doorbell: Doorbell, delay_seconds: float) -> bool:
        """See ports.Doorbells. One SendMessage to the timer queue."""
        sent = False
        with _failures_logged("ring later", subscription):
            self._client.send_message(
                QueueUrl=self._url(self._timers_name(subscription)),
                MessageBody=to_body(doorbell, timer_of=subscription),
                DelaySeconds=min(ceil(delay_seconds), limits.TIMER_DELAY_SECONDS_MAX),
            )
            sent = True
        return sent

    def put_off(self, subscription: str, seconds_of: Mapping[str, int]) -> None:
        """See ports.Doorbells. One ChangeMessageVisibilityBatch."""
        with _failures_logged("put off", subscription):
            self._change_visibility(self._timers_name(subscription), seconds_of)

    def _change_visibility(self, name: str, seconds_of: Mapping[str, int]) -> None:
        self._client.change_message_visibility_batch(
            QueueUrl=self._url(name),
            Entries=[
                {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                for n, (handle, seconds) in enumerate(seconds_of.items())
            ],
        )

    def _url(self, name: str) -> str:
        if name not in self._urls:
            self._urls[name] = self._client.get_queue_url(QueueName=name)["QueueUrl"]
        return self._urls[name]


@contextmanager
def _failures_logged(verb: str, subscription: str) -> Iterator[None]:
    """Log failures instead of raising them: each doorbell is rung again, but a lasting reason must become known."""
    try:
        yield
    except ClientError as error:
        _tell(verb, subscription, error_code(error))
    except BotoCoreError as error:
        _tell(verb, subscription, type(error).__name__)


def _tell(verb: str, subscription: str, reason: str) -> None:
    _logger.warning("could not %s doorbells of %s: %s", verb, subscription, reason)


def _entry(index: int, doorbell: Doorbell) -> "SendMessageBatchRequestEntryTypeDef":
    return {
        "Id": str(index),
        "MessageBody": to_body(doorbell),
        "MessageGroupId": doorbell.group,
        "MessageDeduplicationId": doorbell.deduplication_id,
    }
