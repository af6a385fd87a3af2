"""Strongly consistent global tables on moto, which has none: one table, in one Region, serves all of them.

As on AWS, they have no transactions.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from eventfabric.aws.clients import Clients
from eventfabric.resources import TableTopology
from eventfabric.topology import Topology

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


def strict_tables(topology: Topology, regions: Collection[str]) -> dict[str, str]:
    """Return, by name of each strongly consistent table, the one of these Regions that keeps it."""
    strict = [table for table in tables_of(topology) if table.is_quorum]
    return {
        table.name: next(r for r in table.regions if r in regions)
        for table in strict
        if {*table.regions} & {*regions}
    }


def tables_of(topology: Topology) -> list[TableTopology]:
    """Return all tables of a fabric."""
    return [*topology.ledgers, *(stream.table for stream in topology.streams.values())]


class RoutedDynamoDB:
    """A Region's client that sends requests for strongly consistent tables to the Region that keeps them."""

    def __init__(
        self, own: "DynamoDBClient", strict: Mapping[str, str], homes: Mapping[str, "DynamoDBClient"]
    ) -> None:
        self._own = own
        self._strict = strict
        self._homes = homes

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._own, name)
        if not callable(attribute):
            return attribute

        def call(*arguments: Any, **request: Any) -> Any:
            self._refuse_transactions(name, request)
            region = self._strict.get(_table_of(request))
            target = attribute if region is None else getattr(self._homes[region], name)
            return target(*arguments, **request)

        return call

    def _refuse_transactions(self, name: str, request: Mapping[str, Any]) -> None:
        for action in request.get("TransactItems", ()):
            for inner in action.values():
                if inner["TableName"] in self._strict:
                    message = (
                        f"{inner['TableName']} is strongly consistent in several Regions: no transactions"
                    )
                    raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, name)


def route(clients: Mapping[str, Clients], topology: Topology) -> None:
    """Route every Region's requests for strongly consistent tables to the one Region that keeps them."""
    strict = strict_tables(topology, clients)
    if strict:
        own = {region: region_clients.dynamodb for region, region_clients in clients.items()}
        for region, region_clients in clients.items():
            region_clients.dynamodb = cast("DynamoDBClient", RoutedDynamoDB(own[region], strict, own))


def _table_of(request: Mapping[str, Any]) -> str:
    """Return the table of a request; "" for a transaction, in which no strongly consistent table has a part."""
    return str(request.get("TableName", ""))
