"""Steps beside `cdk deploy` that make up for differences between the emulator and AWS. On AWS, none is made."""

import json
from typing import Any

from eventfabric.resources import TableTopology
from eventfabric.topology import Topology
from scripts.acceptance.target import Target

BATCHES = {
    "sqs:SendMessage": "sqs:SendMessageBatch",
    "sqs:DeleteMessage": "sqs:DeleteMessageBatch",
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
}
"""IAM has no separate actions for batches: who may send one message may send ten. The emulator requires them."""
POLICY = "emulator-batches"


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


def allow_batches(target: Target, region: str, prefix: str) -> None:
    """Allow every role that may send, delete or hide a message to do so in batches."""
    if not target.is_emulator:
        return
    iam = target.client("iam", region)
    for page in iam.get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            if role["RoleName"].startswith(prefix):
                _allow_batches_of(iam, role["RoleName"])


def _allow_batches_of(iam: Any, role: str) -> None:
    statements = []
    for document in _documents(iam, role):
        for statement in document["Statement"]:
            batches = [BATCHES[action] for action in _list(statement["Action"]) if action in BATCHES]
            if batches and statement["Effect"] == "Allow":
                statements.append({**statement, "Action": batches})
    if statements:
        document = {"Version": "2012-10-17", "Statement": statements}
        iam.put_role_policy(RoleName=role, PolicyName=POLICY, PolicyDocument=json.dumps(document))


def _documents(iam: Any, role: str) -> list[dict[str, Any]]:
    inline = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        if name != POLICY
    ]
    managed = []
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        managed.append(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])
    return [*inline, *managed]


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
