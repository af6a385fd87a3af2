"""Steps on the Powertools Idempotency persistence layer. Import it only at the first step: Powertools takes 0.2 s.

Only the persistence of Powertools is used: its decorators key a record by a hash of the payload, let a step begin
again when an attempt's time is up, and cannot tell one attempt from another.
"""

from copy import copy
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyItemAlreadyExistsError,
    IdempotencyItemNotFoundError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord

from eventfabric.aws.clients import named_failures
from eventfabric.model import Region, StepKey, StepState
from eventfabric.ports import Clock, Entropy
from eventfabric.wire import step_item
from eventfabric.wire.keys import EXPIRY, PK, SK, Item, step_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


class AwsSteps(DynamoDBPersistenceLayer):
    """ports.Steps on the ledger. A step costs one conditional PutItem before it and one UpdateItem after it."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        region: Region,
        *,
        retention_seconds: int | None,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        super().__init__(
            table_name=table,
            key_attr=PK,
            sort_key_attr=SK,
            expiry_attr=EXPIRY,
            in_progress_expiry_attr=step_item.OWNER,
            status_attr=step_item.STATUS,
            data_attr=step_item.RESULT,
            boto3_client=client,
        )
        self._region = region
        self._retention_seconds = retention_seconds
        self._clock = clock
        self._entropy = entropy

    def begin(self, key: StepKey, *, token: bytes = b"") -> StepState | None:
        """See ports.Steps."""
        own = token or step_item.token_of(self._entropy.bytes(step_item.OWNER_BYTES), self._clock.now_ms())
        record = self._record(key, step_item.IN_PROGRESS)
        record.in_progress_expiry_timestamp = step_item.owner_of(own)
        try:
            with named_failures("begin a step"):
                self._put_record(record)
        except IdempotencyItemAlreadyExistsError as error:
            standing = error.old_data_record
            if standing is None:
                return self.look(key)
            if not _is_own(standing, record):  # written by an earlier try whose reply was lost
                return _state(standing)
        return None

    def finish(self, key: StepKey, result: str) -> None:
        """See ports.Steps."""
        with named_failures("finish a step"):
            self._update_record(self._record(key, step_item.COMPLETED, result))

    def forget(self, key: StepKey) -> None:
        """See ports.Steps."""
        with named_failures("forget a step"):
            self._delete_record(self._record(key))

    def release(self, key: StepKey) -> None:
        """See ports.Steps. One PutItem."""
        expires_seconds = step_item.expires_seconds(self._clock.now_ms(), self._retention_seconds)
        item = step_item.released(str(key), self._region, expires_seconds=expires_seconds)
        with named_failures("release a step"):
            self.client.put_item(TableName=self.table_name, Item=item)

    def look(self, key: StepKey, *, region: Region | None = None) -> StepState | None:
        """See ports.Steps."""
        looked_at = self
        if region is not None:
            looked_at = copy(self)
            looked_at._region = region
        try:
            with named_failures("look at a step"):
                return _state(looked_at._get_record(str(key)))
        except IdempotencyItemNotFoundError:
            return None

    def _record(self, key: StepKey, status: str = "", result: str = "") -> DataRecord:
        expires = step_item.expires_seconds(self._clock.now_ms(), self._retention_seconds)
        return DataRecord(str(key), status, expiry_timestamp=expires, response_data=result)

    def _get_key(self, idempotency_key: str) -> Item:
        """Return a key in a partition of its own; Powertools would put all records into one partition."""
        return step_key(idempotency_key, self._region)


def _is_own(standing: DataRecord, put: DataRecord) -> bool:
    # The expiry does not count: it is computed anew at each try.
    kept = standing.in_progress_expiry_timestamp, standing._status
    return kept == (put.in_progress_expiry_timestamp, put._status)


def _state(record: DataRecord) -> StepState:
    # Not the record's `status` property, which depends on the system's clock.
    owner = record.in_progress_expiry_timestamp or 0
    return step_item.state_of(record._status, record.response_data or "null", owner)
