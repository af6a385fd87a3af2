"""Transactions of producers on DynamoDB."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from eventfabric.aws.clients import cancellation, error_code, named_failures
from eventfabric.model import Occupied, Record, SameItemTwice, Write, WriteRefused
from eventfabric.wire.outbox_request import outcome_of
from eventfabric.wire.record_puts import actions_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef


class AwsOutbox:
    """ports.Outbox in the Region of its client."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self._client = client

    def append(
        self, records: Sequence[tuple[str, Record]], writes: Sequence[Write], *, token: bytes
    ) -> Occupied | WriteRefused | SameItemTwice | None:
        """See ports.Outbox. One TransactWriteItems."""
        actions: list[dict[str, Any]] = [{name: request} for name, request in actions_of(records, writes)]
        with named_failures("append"):
            try:
                self._client.transact_write_items(
                    TransactItems=cast("list[TransactWriteItemTypeDef]", actions),
                    ClientRequestToken=token.hex(),
                )
            except ClientError as error:
                if error_code(error) == "ValidationException" and "multiple operations" in str(error):
                    return SameItemTwice()
                refusals = cancellation(error)
                if refusals is None:
                    raise
                return outcome_of(refusals, len(records))
        return None
