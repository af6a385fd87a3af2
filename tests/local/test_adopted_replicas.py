"""A table is adopted only with the replicas and the consistency that its template has: neither can be changed later."""

import pytest

from eventfabric.cdk.assembly import RetainedTable
from eventfabric.cli.adoption import differences
from tests.local.test_cli_adopt import ACCOUNT, REGION, table


def global_table(*regions: str, consistency: str | None = None) -> RetainedTable:
    body = dict(table("shop-orders")["Properties"], Replicas=[{"Region": region} for region in regions])
    if consistency is not None:
        body["MultiRegionConsistency"] = consistency
    return RetainedTable("Orders", "shop-orders", body)


@pytest.mark.parametrize(
    ("wanted", "there", "actual"),
    [
        (global_table(REGION, "eu-west-1"), {"eu-west-1": "ACTIVE"}, []),
        (global_table(REGION, "eu-west-1"), {}, ["replicas in us-east-1"]),
        (global_table(REGION), {"eu-west-1": "ACTIVE"}, ["replicas in eu-west-1, us-east-1"]),
        (
            global_table(REGION, "eu-west-1"),
            {"eu-west-1": "CREATING"},
            ["a replica in eu-west-1 that is CREATING"],
        ),
        (
            global_table(REGION, "us-east-2", consistency="STRONG"),
            {"us-east-2": "ACTIVE"},
            ["EVENTUAL consistency"],
        ),
    ],
)
def test_replicas_must_be_those_of_the_template(
    wanted: RetainedTable, there: dict[str, str], actual: list[str]
) -> None:
    description = {
        **{name: wanted.properties[name] for name in ("AttributeDefinitions", "KeySchema")},
        "TableStatus": "ACTIVE",
        "TableArn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/shop-orders",
        "Replicas": [{"RegionName": region, "ReplicaStatus": status} for region, status in there.items()],
    }
    assert [difference for difference, _ in differences(wanted, description)] == actual
