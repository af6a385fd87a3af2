"""Leftovers of a fabric in an account: finding them, and deleting those that are retained on purpose."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from eventfabric.topology import Topology
from scripts.acceptance.fabric import DeployedFabric, wait_until
from scripts.acceptance.target import Target

REPLICA_SECONDS = 1200
"""AWS takes minutes to remove a replica."""


def leftovers(target: Target, regions: tuple[str, ...], fabric: str) -> set[str]:
    """List all existing resources of a fabric, as `Region kind name`."""
    resources = {f"{regions[0]} {kind} {name}" for kind, name in _of_account(target, regions[0], fabric)}
    for region in regions:
        resources |= {f"{region} {kind} {name}" for kind, name in _of_region(target, region, fabric)}
    return resources


def retained(fabric: DeployedFabric) -> set[str]:
    """List the resources that `cdk destroy` leaves on purpose: tables, which contain events, and their keys."""
    tables = {f"{region} table {table.name}" for table in fabric.topology.tables for region in table.regions}
    return tables | {f"{region} key alias {fabric.topology.key_alias}" for region in fabric.regions}


def unprotect_stacks(target: Target, topology: Topology) -> None:
    """Allow to delete the stacks that hold data, as whoever deletes everything does first."""
    for region in topology.regions:
        client = target.client("cloudformation", region)
        for kind in ("keys", "log"):
            with suppress(ClientError):  # not every Region has a stack of tables
                client.update_termination_protection(
                    StackName=topology.stack_name(kind, region), EnableTerminationProtection=False
                )


def delete_retained(target: Target, topology: Topology, regions: tuple[str, ...]) -> None:
    """Delete the tables with all replicas, and schedule the deletion of the keys after the shortest delay of KMS."""
    for table in topology.tables:
        for region in table.regions:
            _delete_protection(target.client("dynamodb", region), table.name)
        home = target.client("dynamodb", table.regions[0])
        for region in table.regions[1:]:
            with suppress(ClientError):
                home.update_table(TableName=table.name, ReplicaUpdates=[{"Delete": {"RegionName": region}}])
            wait_until(partial(_has_no_replicas, home, table.name), REPLICA_SECONDS)
        for region in table.regions:
            with suppress(ClientError):
                target.client("dynamodb", region).delete_table(TableName=table.name)
    for region in regions:
        kms = target.client("kms", region)
        for alias in _aliases(kms, topology.key_alias):
            kms.delete_alias(AliasName=alias["AliasName"])
            kms.schedule_key_deletion(KeyId=alias["TargetKeyId"], PendingWindowInDays=7)


def _delete_protection(client: Any, table: str) -> None:
    with suppress(ClientError):
        client.update_table(TableName=table, DeletionProtectionEnabled=False)
        wait_until(lambda: client.describe_table(TableName=table)["Table"]["TableStatus"] == "ACTIVE", 60)


def _has_no_replicas(client: Any, table: str) -> bool:
    return not _replicas(client, table)


def _replicas(client: Any, table: str) -> list[Any]:
    replicas: list[Any] = client.describe_table(TableName=table)["Table"].get("Replicas", [])
    return [replica for replica in replicas if replica["RegionName"] != client.meta.region_name]


def _aliases(kms: Any, wanted: str) -> list[Any]:
    pages = kms.get_paginator("list_aliases").paginate()
    return [alias for page in pages for alias in page["Aliases"] if alias["AliasName"] == wanted]


def _of_account(target: Target, region: str, fabric: str) -> Iterator[tuple[str, str]]:
    iam = target.client("iam", region)
    for role in _pages(iam, "list_roles", "Roles"):
        if _is_of(role["RoleName"], fabric):
            yield "role", role["RoleName"]
    for policy in _pages(iam, "list_policies", "Policies", Scope="Local"):
        if _is_of(policy["PolicyName"], fabric):
            yield "policy", policy["PolicyName"]


def _of_region(target: Target, region: str, fabric: str) -> Iterator[tuple[str, str]]:
    listed: list[tuple[str, str, str, str, str | None]] = [
        ("dynamodb", "list_tables", "TableNames", "table", None),
        ("sqs", "list_queues", "QueueUrls", "queue", None),
        ("lambda", "list_functions", "Functions", "function", "FunctionName"),
        ("lambda", "list_event_source_mappings", "EventSourceMappings", "mapping", "FunctionArn"),
        ("stepfunctions", "list_state_machines", "stateMachines", "state machine", "name"),
        ("scheduler", "list_schedules", "Schedules", "schedule", "Name"),
        ("logs", "describe_log_groups", "logGroups", "log group", "logGroupName"),
        ("cloudwatch", "describe_alarms", "MetricAlarms", "alarm", "AlarmName"),
        ("cloudwatch", "list_dashboards", "DashboardEntries", "dashboard", "DashboardName"),
        ("kms", "list_aliases", "Aliases", "key alias", "AliasName"),
    ]
    for service, operation, key, kind, name in listed:
        client = target.client(service, region)
        for resource in _pages(client, operation, key):
            resource_name = resource if name is None else resource[name]
            if any(_is_of(part, fabric) for part in resource_name.replace(":", "/").split("/")):
                yield kind, resource_name
    stacks = _pages(target.client("cloudformation", region), "describe_stacks", "Stacks")
    for stack in stacks:
        if _is_of(stack["StackName"], fabric) and stack["StackStatus"] != "DELETE_COMPLETE":
            yield "stack", stack["StackName"]


def _is_of(name: str, fabric: str) -> bool:
    return name == fabric or name.startswith(f"{fabric}-")


def _pages(client: Any, operation: str, key: str, **request: Any) -> Iterator[Any]:
    for page in client.get_paginator(operation).paginate(**request):
        yield from page.get(key, [])
