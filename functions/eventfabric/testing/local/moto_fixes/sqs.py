"""Puts `LocalQueue` under moto's SQS backend, and makes moto's SQS follow the local clock.

Holds the backend's methods that touch messages. Does not decide what a queue does: that is queue.py.
"""

import copy
import hashlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from typing import Any

from moto.core import utils as moto_utils
from moto.moto_api._internal import mock_random
from moto.sqs import models as moto_sqs
from moto.sqs.exceptions import InvalidParameterValue, MissingParameter

from eventfabric.testing.local.moto_fixes.patching import replace
from eventfabric.testing.local.moto_fixes.queue import LocalMessage, LocalQueue, now_seconds
from eventfabric.testing.local.moto_fixes.serial import ARRIVALS, LOCK

CLOCK_CHECK_SECONDS = 0.02
"""Interval at which a long poll checks if the local clock has made a message available."""


def install(patches: ExitStack, *, now: Callable[[], float]) -> None:
    """Patch moto's SQS. Queues created before this cannot be used: they are moto's own."""

    def unix_time(moment: datetime | None = None) -> float:
        return now() if moment is None else moto_utils.unix_time(moment)

    def unix_time_millis(moment: datetime | None = None) -> float:
        return float(round(unix_time(moment) * 1000))

    replace(patches, moto_sqs, "unix_time", unix_time)
    replace(patches, moto_sqs, "unix_time_millis", unix_time_millis)
    replace(patches, moto_sqs, "Queue", LocalQueue)
    backend = moto_sqs.SQSBackend
    replace(patches, backend, "_validate_message", _validate_message)
    replace(patches, backend, "send_message", _send_message)
    replace(patches, backend, "receive_message", _receive_message)
    replace(patches, backend, "change_message_visibility", _change_message_visibility)
    replace(patches, backend, "purge_queue", _purge_queue)


def _local_queue(backend: moto_sqs.SQSBackend, queue_name: str) -> LocalQueue:
    queue = backend.get_queue(queue_name)
    if not isinstance(queue, LocalQueue):
        raise RuntimeError(f"queue {queue_name} was made before the moto fixes were applied")
    return queue


def _validate_message(
    backend: moto_sqs.SQSBackend,
    queue: moto_sqs.Queue,
    message_body: str,
    delay_seconds: int,
    deduplication_id: str | None = None,
    group_id: str | None = None,
    validate_group_id: bool = True,
) -> None:
    # Moto's own check reads queue.attributes, which counts the messages, up to three times for each send.
    if queue.fifo_queue:
        if not group_id:
            raise MissingParameter("MessageGroupId")
        by_content = queue.content_based_deduplication  # type: ignore[attr-defined]  # moto sets it by name
        if not (deduplication_id or by_content):
            raise InvalidParameterValue(
                "The queue should either have ContentBasedDeduplication enabled or "
                "MessageDeduplicationId provided explicitly"
            )
        if delay_seconds > 0:
            raise InvalidParameterValue(
                f"Value {delay_seconds} for parameter DelaySeconds is invalid. Reason: "
                "The request include parameter that is not valid for this queue type."
            )
    if not 0 <= delay_seconds <= moto_sqs.MAXIMUM_MESSAGE_DELAY:
        raise InvalidParameterValue(
            f"Value {delay_seconds} for parameter DelaySeconds is invalid. "
            "Reason: DelaySeconds must be >= 0 and <= 900."
        )
    limit = queue.maximum_message_size  # type: ignore[attr-defined]  # moto sets it by name
    if len(message_body.encode()) > limit:
        raise InvalidParameterValue(
            f"One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes."
        )


def _send_message(
    backend: moto_sqs.SQSBackend,
    queue_name: str,
    message_body: str,
    message_attributes: dict[str, Any] | None = None,
    delay_seconds: int | None = None,
    deduplication_id: str | None = None,
    group_id: str | None = None,
    system_attributes: dict[str, Any] | None = None,
    validate_group_id: bool = True,
) -> moto_sqs.Message:
    with LOCK:
        queue = _local_queue(backend, queue_name)
        backend._validate_message(queue, message_body, int(delay_seconds or 0), deduplication_id, group_id)
        message = LocalMessage(str(mock_random.uuid4()), message_body, system_attributes)
        message.message_attributes = message_attributes or {}
        message.group_id = group_id
        message.deduplication_id = deduplication_id
        if queue.fifo_queue and not deduplication_id:
            message.deduplication_id = hashlib.sha256(message_body.encode()).hexdigest()
        default_delay = int(queue.delay_seconds)  # type: ignore[attr-defined]  # moto sets it by name
        queue.send(message, delay_seconds=default_delay if delay_seconds is None else int(delay_seconds))
        ARRIVALS.notify_all()
        return message


def _receive_message(
    backend: moto_sqs.SQSBackend,
    queue_name: str,
    count: int,
    wait_seconds_timeout: int,
    visibility_timeout: int,
    message_attribute_names: list[str] | None = None,
) -> list[moto_sqs.Message]:
    with LOCK:
        queue = _local_queue(backend, queue_name)
        # A poll ends by the clock that gets there first: the local one may be frozen, or jump by an hour.
        ends = time.monotonic() + wait_seconds_timeout
        ends_locally = now_seconds() + wait_seconds_timeout
        while True:
            taken = queue.take(count, visibility_timeout_seconds=int(visibility_timeout or 0))
            left = min(ends - time.monotonic(), ends_locally - now_seconds())
            if taken or left <= 0:
                break
            ARRIVALS.wait(min(left, CLOCK_CHECK_SECONDS))
        received: list[moto_sqs.Message] = []
        for message in taken:
            message_copy = copy.copy(
                message
            )  # the answer's attributes are filtered, and must not change later
            moto_sqs._filter_message_attributes(message_copy, message_attribute_names or [])
            received.append(message_copy)
        return received


def _change_message_visibility(
    backend: moto_sqs.SQSBackend, queue_name: str, receipt_handle: str, visibility_timeout: int
) -> None:
    with LOCK:
        _local_queue(backend, queue_name).change_visibility(receipt_handle, int(visibility_timeout))
        ARRIVALS.notify_all()


def _purge_queue(backend: moto_sqs.SQSBackend, queue_name: str) -> None:
    with LOCK:
        _local_queue(backend, queue_name).forget_messages()
