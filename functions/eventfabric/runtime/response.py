"""The answer that tells Lambda which items of a batch must come again."""

from collections.abc import Iterable
from typing import TypedDict


class BatchItemFailure(TypedDict):
    """One item that must come again: an SQS message id, or a stream's sequence number."""

    itemIdentifier: str


class PartialBatchResponse(TypedDict):
    """ReportBatchItemFailures: every item that is not named was done."""

    batchItemFailures: list[BatchItemFailure]


def partial_batch_response(identifiers: Iterable[str]) -> PartialBatchResponse:
    """Return the response that names these items."""
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}
