"""Permissions in the templates' policies, one action on one resource at a time, however they are grouped."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eventfabric.deployment.permissions import Resource, Statement
from tests.infra.synthesis import ACCOUNT, PARTITION, Synthesised, resolved

ROLE = "AWS::IAM::Role"
POLICY = "AWS::IAM::Policy"
MANAGED_POLICY = "AWS::IAM::ManagedPolicy"
_ACKNOWLEDGED = "aws:cdk:acknowledged-rules"
_LOGICAL_ID = "aws:cdk:logicalId"


@dataclass(frozen=True, order=True)
class Grant:
    """One thing that is allowed; conditions as sorted JSON."""

    action: str
    resource: str
    conditions: str = "{}"


@dataclass(frozen=True)
class Granted:
    """Permissions of one policy, and the assembly's reasons why it may name resources by wildcards."""

    stack: str
    logical_id: str
    grants: frozenset[Grant]
    acknowledged: Mapping[str, str]


def declared(statements: Iterable[Statement]) -> frozenset[Grant]:
    """Statements of permissions as grants in the account of the tests."""
    return frozenset(
        Grant(action, arn(resource), _written(statement.conditions))
        for statement in statements
        for action in statement.actions
        for resource in statement.resources
    )


def logging(region: str, function_name: str) -> frozenset[Grant]:
    """Return what every function may do with its own log group, and no other."""
    log = arn(Resource("logs", region, f"log-group:/aws/lambda/{function_name}:*"))
    return frozenset({Grant("logs:CreateLogStream", log), Grant("logs:PutLogEvents", log)})


def arn(resource: Resource) -> str:
    return resource.arn(partition=PARTITION, account=ACCOUNT)


def policies(synthesised: Synthesised) -> Iterator[Granted]:
    """Every policy of an identity in every template, those written within roles too."""
    for stack, template in synthesised.templates.items():
        paths = _paths(synthesised, stack)
        for logical_id, body in template["Resources"].items():
            properties = resolved(body.get("Properties", {}), template)
            documents = []
            if body["Type"] in (POLICY, MANAGED_POLICY):
                documents = [properties["PolicyDocument"]]
            elif body["Type"] == ROLE:
                documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
            for document in documents:
                yield Granted(
                    stack, logical_id, grants_of(document), _reasons(synthesised, stack, paths[logical_id])
                )


def policies_of_role(synthesised: Synthesised, stack: str, role: str) -> frozenset[Grant]:
    """All that a role may do."""
    template = synthesised.templates[stack]
    attached = {
        name
        for name, body in synthesised.resources(POLICY, stack=stack)
        if f"<{role}>" in body["Properties"]["Roles"]
    }
    grants = [
        grant.grants
        for grant in policies(synthesised)
        if grant.stack == stack and (f"{stack}/{grant.logical_id}" in attached or grant.logical_id == role)
    ]
    assert not template["Resources"][role]["Properties"].get("ManagedPolicyArns"), role
    return frozenset().union(*grants)


def grants_of(document: Mapping[str, Any]) -> frozenset[Grant]:
    """Return what a resolved policy document allows. It must not deny anything, nor allow all except something."""
    grants = set()
    for statement in document["Statement"]:
        assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}, statement
        assert statement["Effect"] == "Allow", statement
        for action in _list(statement["Action"]):
            for resource in _list(statement["Resource"]):
                grants.add(Grant(action, resource, _written(statement.get("Condition", {}))))
    return frozenset(grants)


def _paths(synthesised: Synthesised, stack: str) -> dict[str, str]:
    """The place of each resource among the constructs, by its logical id."""
    return {
        entry["data"]: path
        for path, entries in _metadata(synthesised, stack).items()
        for entry in entries
        if entry["type"] == _LOGICAL_ID
    }


def _reasons(synthesised: Synthesised, stack: str, path: str) -> dict[str, str]:
    """Findings that were accepted at a construct or above it, by the resource that they are about."""
    reasons: dict[str, str] = {}
    for place, entries in _metadata(synthesised, stack).items():
        for entry in entries:
            if entry["type"] == _ACKNOWLEDGED and f"{path}/".startswith(f"{place}/"):
                reasons |= entry["data"]
    names = {"<AWS::Partition>": PARTITION, "<AWS::AccountId>": ACCOUNT}
    for placeholder, value in names.items():
        reasons = {rule.replace(placeholder, value): reason for rule, reason in reasons.items()}
    return {
        rule.partition("[Resource::")[2].removesuffix("]"): reason
        for rule, reason in reasons.items()
        if "IAM5[Resource::" in rule
    }


def _metadata(synthesised: Synthesised, stack: str) -> dict[str, list[dict[str, Any]]]:
    metadata: dict[str, list[dict[str, Any]]] = json.loads(
        (synthesised.folder / f"{stack}.metadata.json").read_text()
    )
    return metadata


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _written(conditions: Mapping[str, Mapping[str, Any]]) -> str:
    """Sorted, and lists of values as sets: their order says nothing either."""
    as_sets = {
        operator: {key: sorted(_list(values)) for key, values in keys.items()}
        for operator, keys in conditions.items()
    }
    return json.dumps(as_sets, sort_keys=True)
