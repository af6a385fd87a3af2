"""Strongly consistent global tables on moto, which has none: one table, in one of its Regions, for all of them."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

from eventfabric.aws.clients import Clients
from eventfabric.topology import TableTopology, Topology

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


def strict_tables(topology: Topology, regions: Collection[str]) -> dict[str, str]:
    """Which of some Regions stands for all, by the name of a strongly consistent table."""
    strict = [table for table in tables_of(topology) if table.is_quorum]
    return {
        table.name: next(r for r in table.regions if r in regions)
        for table in strict
        if {*table.regions} & {*regions}
    }


def tables_of(topology: Topology) -> list[TableTopology]:
    """All tables of a fabric."""
    return [*topology.ledgers, *(stream.table for stream in topology.streams.values())]


class RoutedDynamoDB:
    """A Region's client, whose requests for strongly consistent tables go to where these are."""

    def __init__(
        self, own: "DynamoDBClient", strict: Mapping[str, str], homes: Mapping[str, "DynamoDBClient"]
    ) -> None:
        self._own = own
        self._strict = strict
        self._homes = homes

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._own, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **request: Any) -> Any:
            region = self._strict.get(_table_of(request))
            target = found if region is None else getattr(self._homes[region], name)
            return target(*arguments, **request)

        return call


def route(clients: Mapping[str, Clients], topology: Topology) -> None:
    """Have every Region's requests for strongly consistent tables go to one."""
    strict = strict_tables(topology, clients)
    if strict:
        own = {region: each.dynamodb for region, each in clients.items()}
        for region, each in clients.items():
            each.dynamodb = cast("DynamoDBClient", RoutedDynamoDB(own[region], strict, own))


def _table_of(request: Mapping[str, Any]) -> str:
    """The table of a request; of a transaction's, which strongly consistent tables have none of, the first."""
    if "TableName" in request:
        return str(request["TableName"])
    for action in request.get("TransactItems", ()):
        for inner in action.values():
            return str(inner["TableName"])
    return ""
