"""Steps beside `cdk deploy` that make up for differences between the emulator and AWS. On AWS, none is made."""

from typing import Any

from eventfabric.resources import TableTopology
from eventfabric.topology import Topology
from scripts.acceptance.target import Target


def add_replicas(target: Target, topology: Topology, home: str) -> list[str]:
    """Create the replicas of global tables, which the emulator's CloudFormation leaves out. Returns what was done."""
    if not target.is_emulator:
        return []
    done = []
    for table in topology.tables:
        client = target.client("dynamodb", home)
        for region in _missing(client, table, home):
            client.update_table(TableName=table.name, ReplicaUpdates=[{"Create": {"RegionName": region}}])
            done.append(f"replica of {table.name} in {region}")
    return done


def add_tags(target: Target, topology: Topology, home: str) -> list[str]:
    """Tag the global tables, whose tags are a part of their replicas in a template. Returns what was done."""
    if not target.is_emulator:
        return []
    client = target.client("dynamodb", home)
    for table in topology.tables:
        arn = client.describe_table(TableName=table.name)["Table"]["TableArn"]
        client.tag_resource(ResourceArn=arn, Tags=[{"Key": "eventfabric", "Value": topology.fabric}])
    return [f"tags of {table.name}" for table in topology.tables]


def _missing(client: Any, table: TableTopology, home: str) -> list[str]:
    replicas = client.describe_table(TableName=table.name)["Table"].get("Replicas", [])
    there = {home, *(replica["RegionName"] for replica in replicas)}
    return [region for region in table.regions if region not in there]
