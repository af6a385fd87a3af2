"""Quotas: what a definition becomes in an account, held against what AWS takes, before anything is deployed.

Bounds that AWS raises for nobody are problems of the definition. Others are told with the quota to ask for.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Final

from eventfabric import limits
from eventfabric.definition.schema import Definition
from eventfabric.deployment.alarms import alarms_of, alarms_of_region, gradual_in
from eventfabric.deployment.dashboard import too_many_metrics
from eventfabric.deployment.declarations import of_catalogue, of_log_catalogue
from eventfabric.deployment.people import operator, publisher
from eventfabric.deployment.permissions import Statement, of_function
from eventfabric.errors import DefinitionError, Problem
from eventfabric.resources import ENVIRONMENT_SUBSCRIPTION
from eventfabric.topology import Topology

STACK_RESOURCES_MAX: Final = 500
"""This, and what a policy's text may have, AWS raises for nobody (quotas of CloudFormation and IAM)."""
STACK_NAME_CHARACTERS_MAX: Final = 128
TEMPLATE_BYTES_MAX: Final = 1_000_000
MANAGED_POLICY_CHARACTERS_MAX: Final = 6_144
ROLE_CHARACTERS_MAX: Final = 10_240
"""Most characters of all policies that are written within a role."""
POLICY_FRAME_CHARACTERS: Final = 100
"""More than a policy has around its statements, which are its version and their brackets."""
ROLE_POLICIES_MAX: Final = 10
"""Most managed policies of a role. This and those below AWS raises (quotas of IAM, CloudFormation, CloudWatch)."""
ROLES_MAX: Final = 1_000
REGION_STACKS_MAX: Final = 2_000
REGION_ALARMS_MAX: Final = 5_000

_NAMES = limits.FABRIC_CHARACTERS_MAX + limits.NAME_CHARACTERS_MAX + limits.REGION_CHARACTERS_MAX
assert _NAMES + len("-Subscription---") <= STACK_NAME_CHARACTERS_MAX

_ROLE_BESIDES_CHARACTERS: Final = 1_200
"""Most characters of what a role has beside its declared statements: its log, traces, and interfaces in a VPC."""
_REFERENCE_BYTES: Final = 100
"""Most bytes by which an ARN in a template, which refers to partition and account, is longer than in its policy."""
_TABLE_BYTES, _REPLICA_BYTES, _POLICY_BYTES = 1_000, 500, 600
"""Most bytes of a table in a template, of a replica of it, and of what a policy has beside its statements."""
_CHECK_BYTES, _CHECK_RESOURCES = 10_000, 6
"""Most that the check of a stack takes, with its function."""
_CELL_RESOURCES: Final = 70
"""Most resources of a cell without its streams. Each stream has a lookup and a mapping."""
_LOOKUPS: Final = 4
"""Most functions of a Region that serve deployments. They have roles, as have the schedule and the state machine."""
_SERVICES: Final = 2


def check_quotas(definition: Definition, *, where: str) -> None:
    """Raise DefinitionError for all that no account takes."""
    problems = list(_problems(Topology(definition)))
    if problems:
        raise DefinitionError(problems, where=where)


def quotas_to_raise(definition: Definition) -> Iterator[str]:
    """Say which quotas of an account a definition exceeds, as long as nobody has asked AWS for more.

    A dashboard with too many metrics is told, too: no quota can be raised for it, and everything else works.
    """
    topology = Topology(definition)
    gradual = {region: len(gradual_in(topology, region)) for region in topology.regions}
    roles = sum(
        len(topology.functions(region)) + _LOOKUPS + _SERVICES + gradual[region]
        for region in topology.regions
    )
    policies = len(topology.streams)
    quotas = [
        ("roles in the account", roles, ROLES_MAX),
        ("managed policies for a role that operates all streams", policies, ROLE_POLICIES_MAX),
    ]
    for region in topology.regions:
        stacks = 3 + 2 * len(topology.subscriptions_in(region)) + (region == topology.home)
        quotas += [
            (f"stacks in {region}", stacks, REGION_STACKS_MAX),
            (f"alarms in {region}", len(alarms_of(topology, region)) + gradual[region], REGION_ALARMS_MAX),
        ]
    for what, count, most in quotas:
        if count > most:
            yield f"{count:,} {what}: the quota is {most:,}, unless AWS has raised it for the account"
    if (shown := too_many_metrics(topology)) is not None:
        yield shown


def characters_of(statements: Iterable[Statement]) -> int:
    """Count what statements take in a policy, in the partition and account with the longest names."""
    written = [
        {
            "Effect": "Allow",
            "Action": statement.actions,
            "Resource": [
                resource.arn(partition="aws-us-gov", account="123456789012")
                for resource in statement.resources
            ],
            "Condition": statement.conditions,
        }
        for statement in statements
    ]
    return sum(len(json.dumps(statement, separators=(",", ":"))) + 1 for statement in written)


def _problems(topology: Topology) -> Iterator[Problem]:
    yield from _long_policies(topology)
    yield from _large_stacks(topology)


def _long_policies(topology: Topology) -> Iterator[Problem]:
    most, of_role = MANAGED_POLICY_CHARACTERS_MAX, ROLE_CHARACTERS_MAX
    for name, stream in topology.streams.items():
        for person, allowed in (("publisher", publisher), ("operator", operator)):
            length = POLICY_FRAME_CHARACTERS + characters_of(allowed(topology, stream))
            if length > most:
                text = f"a policy {stream.table.name}-{person} of {length:,} characters"
                yield Problem(
                    f"streams.{name}.regions", text, f"at most {most:,}: fewer Regions, shorter names"
                )
    for region in topology.regions:
        allowed_to = [(own, of_function(topology, own)) for own in topology.functions(region)]
        allowed_to.append((topology.catalogue_function(region), of_catalogue(topology, region)))
        for function, statements in allowed_to:
            length = _ROLE_BESIDES_CHARACTERS + characters_of(statements)
            if length > of_role:
                own = function.environment.get(ENVIRONMENT_SUBSCRIPTION)
                path = "streams" if own is None else f"subscriptions.{own}"
                text = f"policies of up to {length:,} characters for {function.name} in {region}"
                yield Problem(path, text, f"at most {of_role:,}: fewer of what it uses, shorter names")


def bytes_of_log(topology: Topology) -> int:
    """Estimate the size of a template with all tables and policies of the fabric."""
    policies = [
        statements
        for stream in topology.streams.values()
        for statements in (publisher(topology, stream), operator(topology, stream))
    ]
    references = sum(len(statement.resources) for statements in policies for statement in statements)
    replicas = sum(len(table.regions) for table in topology.tables)
    return (
        sum(map(characters_of, policies))
        + _REFERENCE_BYTES * references
        + _POLICY_BYTES * len(policies)
        + _CHECK_BYTES
        + characters_of(of_log_catalogue(topology, topology.tables, topology.home))
        + _TABLE_BYTES * len(topology.tables)
        + _REPLICA_BYTES * replicas
    )


def _large_stacks(topology: Topology) -> Iterator[Problem]:
    if (size := bytes_of_log(topology)) > TEMPLATE_BYTES_MAX:
        text = f"a template of up to {size:,} bytes for {topology.stack_name('log', topology.home)}"
        yield Problem(
            "streams", text, f"at most {TEMPLATE_BYTES_MAX:,}: fewer streams or Regions, or two fabrics"
        )
    most = STACK_RESOURCES_MAX
    for region in topology.regions:
        streams = topology.streams_in(region)
        for kind, count in (
            ("cell", _CELL_RESOURCES + 2 * len(streams)),
            ("log", _CHECK_RESOURCES + 2 * len(topology.streams) + len(topology.tables)),
            ("watch", 1 + len(alarms_of_region(topology, region))),
        ):
            if count > most:
                text = f"{count} resources in {topology.stack_name(kind, region)}"
                yield Problem("streams", text, f"at most {most}: fewer streams, or two fabrics")
