"""Credits, stored in the ledger's tables."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from botocore.exceptions import ClientError

from eventfabric.aws.clients import item_in_the_way, named_failures
from eventfabric.model import LaneKey, Region, SequenceNumber, StreamName, SubscriptionName
from eventfabric.model.credit import Grants
from eventfabric.wire import credit_item
from eventfabric.wire.keys import Item, credits_of, credits_prefix

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


class AwsCredits:
    """rare_ports.Credits on tables in the Region of its client."""

    def __init__(
        self, client: "DynamoDBClient", table_of: Callable[[StreamName], str], region: Region
    ) -> None:
        self._client = client
        self._table_of = table_of
        self._region = region

    def granted(
        self, stream: StreamName, subscription: SubscriptionName, origin: Region, *, part: int
    ) -> dict[Region, Grants]:
        """See rare_ports.Credits. One Query, eventually consistent; a part is far less than the MB that it returns."""
        with named_failures("read credits"):
            answer = self._client.query(
                TableName=self._table_of(stream),
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": credits_of(stream, subscription, origin, part)},
            )
        return credit_item.grants_in(cast(list[Item], answer["Items"]))

    def grant(self, key: LaneKey, grant: SequenceNumber) -> SequenceNumber:
        """See rare_ports.Credits. One UpdateItem."""
        with named_failures("grant credit"):
            try:
                self._client.update_item(
                    TableName=self._table_of(key.stream),
                    **credit_item.raising(key, self._region, grant),
                )
            except ClientError as error:
                return credit_item.grant_in(key, item_in_the_way(error) or {})
        return grant

    def forget(self, stream: StreamName, subscription: SubscriptionName, origin: Region, *, part: int) -> int:
        """See rare_ports.Credits. One Query, and a DeleteItem for each slice that it finds."""
        table, partition = self._table_of(stream), credits_of(stream, subscription, origin, part)
        with named_failures("forget credits"):
            answer = self._client.query(
                TableName=table,
                KeyConditionExpression="pk = :pk AND begins_with(sk, :own)",
                ExpressionAttributeValues={":pk": partition, ":own": {"S": credits_prefix(self._region)}},
                ProjectionExpression="pk, sk",
                ConsistentRead=True,
            )
            for item in answer["Items"]:
                self._client.delete_item(TableName=table, Key=item)
        return len(answer["Items"])
