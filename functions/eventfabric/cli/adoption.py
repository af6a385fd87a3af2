"""Adoption: tables and keys that were retained, and are in no stack, come back into the stacks that declare them.

`adoptions` asks AWS what is there, compares it with the templates, and changes nothing. It refuses the whole if any
part does not fit, because CloudFormation compares nothing: what it imports, it takes to be as the template says.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from eventfabric.errors import AdoptionRefusedError, Problem

if TYPE_CHECKING:
    from eventfabric.cdk.assembly import AssembledStack, RetainedKey, RetainedTable

Client: TypeAlias = Callable[[str, str], Any]
"""Makes the client of a service in a Region."""

_FAILED_CREATION: Final = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
_READY: Final = ("CREATE_COMPLETE", "IMPORT_COMPLETE", "REVIEW_IN_PROGRESS", "UPDATE_COMPLETE")
_ROLLED_BACK: Final = ("IMPORT_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
_NOT_HELD: Final = ("CREATE_FAILED", "DELETE_COMPLETE", "DELETE_SKIPPED")
_ENDS: Final = {"DELETE_FAILED": "delete-stack", "UPDATE_ROLLBACK_FAILED": "continue-update-rollback"}
"""Commands that bring to an end what failed, by the status of the stack."""
_KEY_REMEDIES: Final = {
    "PendingDeletion": "aws kms cancel-key-deletion --key-id {key} --region {region}, then aws kms enable-key",
    "Disabled": "aws kms enable-key --key-id {key} --region {region}",
}


@dataclass(frozen=True)
class Adoption:
    """Resources that come back into one stack: their identifiers, by logical id."""

    stack: "AssembledStack"
    identifiers: Mapping[str, Mapping[str, str]]
    failed_id: str | None
    """Id of the stack if it could not be created. It is deleted first, since nothing can be imported into it."""


def adoptions(stacks: Sequence["AssembledStack"], client: Client) -> list[Adoption]:
    """List what would be adopted into each stack. Raises AdoptionRefusedError with every problem."""
    account = _Account(cache(client))
    survey = _Survey(account, [_state_of(account, stack) for stack in stacks if stack.tables or stack.keys])
    planned = [survey.adoption_of(state) for state in survey.states]
    if survey.problems:
        raise AdoptionRefusedError(survey.problems)
    return [adoption for adoption in planned if adoption.identifiers]


def delete_failed(adoption: Adoption, client: Client) -> None:
    """Delete a stack that could not be created. Its tables and keys stay, as their policies say.

    Raises AdoptionRefusedError if it cannot be deleted.
    """
    from botocore.exceptions import WaiterError

    cloudformation = client("cloudformation", adoption.stack.region)
    # By its id, since somebody may have made another one of that name after this was planned.
    stack_id = adoption.failed_id
    cloudformation.update_termination_protection(StackName=stack_id, EnableTerminationProtection=False)
    cloudformation.delete_stack(StackName=stack_id)
    try:
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack_id)
    except WaiterError as error:
        [stack] = cloudformation.describe_stacks(StackName=stack_id)["Stacks"]
        actual = f"{stack['StackStatus']}: {stack.get('StackStatusReason', error)}"
        path = f"stack {adoption.stack.name} in {adoption.stack.region}, which could not be created"
        allowed = "one that can be deleted: take away what keeps it, and run the same command again"
        raise AdoptionRefusedError([Problem(path, actual, allowed)]) from error


@dataclass(frozen=True)
class _State:
    """A stack as it is deployed; without id and status it is not. `held`: physical ids, by logical id."""

    stack: "AssembledStack"
    id: str | None = None
    status: str | None = None
    held: Mapping[str, str] = field(default_factory=dict)


class _Account:
    """The account as AWS describes it; None for what does not exist."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def number(self, region: str) -> str:
        return str(self.client("sts", region).get_caller_identity()["Account"])

    def deployed(self, stack: "AssembledStack") -> dict[str, Any] | None:
        answer = _unless_absent(
            lambda: self.client("cloudformation", stack.region).describe_stacks(StackName=stack.name)
        )
        return answer and dict(answer["Stacks"][0])

    def held(self, stack: "AssembledStack") -> dict[str, str]:
        pages = self.client("cloudformation", stack.region).get_paginator("list_stack_resources")
        return {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for page in pages.paginate(StackName=stack.name)
            for resource in page["StackResourceSummaries"]
            if resource["ResourceStatus"] not in _NOT_HELD and "PhysicalResourceId" in resource
        }

    def table(self, name: str, region: str) -> dict[str, Any] | None:
        answer = _unless_absent(lambda: self.client("dynamodb", region).describe_table(TableName=name))
        return answer and dict(answer["Table"])

    def fabric_of(self, arn: str, region: str) -> str | None:
        """Return the fabric that a table's tags name."""
        client = self.client("dynamodb", region)
        tags: list[dict[str, str]] = []
        token: dict[str, str] | None = {}
        while token is not None:
            answer = client.list_tags_of_resource(ResourceArn=arn, **token)
            tags += answer.get("Tags", [])
            token = {"NextToken": answer["NextToken"]} if "NextToken" in answer else None
        return next((tag["Value"] for tag in tags if tag["Key"] == "eventfabric"), None)

    def is_empty(self, name: str, region: str) -> bool:
        answer = self.client("dynamodb", region).scan(TableName=name, Limit=1, ConsistentRead=True)
        return not answer["Items"]

    def key(self, alias: str, region: str) -> dict[str, Any] | None:
        answer = _unless_absent(lambda: self.client("kms", region).describe_key(KeyId=alias))
        return answer and dict(answer["KeyMetadata"])

    def fabric_of_key(self, key_id: str, region: str) -> str | None:
        """Return the fabric that a key's tags name."""
        answer = self.client("kms", region).list_resource_tags(
            KeyId=key_id
        )  # it has at most 50 tags, in one page
        return next((tag["TagValue"] for tag in answer["Tags"] if tag["TagKey"] == "eventfabric"), None)

    def policy_of_key(self, key_id: str, region: str) -> str:
        """Return the JSON text of a key's policy; a key has no other than this one."""
        answer = self.client("kms", region).get_key_policy(KeyId=key_id, PolicyName="default")
        return str(answer["Policy"])


class _Survey:
    def __init__(self, account: _Account, states: Sequence[_State]) -> None:
        self._account, self.states = account, states
        self.problems: list[Problem] = []
        self._keys = {
            (state.stack.region, key.alias): account.key(key.alias, state.stack.region)
            for state in states
            for key in state.stack.keys
        }
        for region, account_number in {(s.stack.region, s.stack.account) for s in states if s.stack.account}:
            if (own := account.number(region)) != account_number:
                self._problem(f"account of {region}", own, f"{account_number}, to which the stacks belong")

    def _problem(self, path: str, actual: str, allowed: str) -> None:
        if (problem := Problem(path, actual, allowed)) not in self.problems:
            self.problems.append(problem)

    def adoption_of(self, state: _State) -> Adoption:
        """Choose what comes back into a stack, and note what does not fit."""
        stack, status = state.stack, state.status
        identifiers = {**self._keys_of(state), **self._tables_of(state)}
        failed = status in _FAILED_CREATION
        if identifiers and status is not None and not failed and status not in (*_READY, *_ROLLED_BACK):
            self._problem(
                f"stack {stack.name} in {stack.region}",
                status,
                "a stack in which nothing is going on, and whose last update or deletion was brought to an end: "
                f"aws cloudformation {_ENDS.get(status, 'describe-stacks')} --region {stack.region} --stack-name "
                f"{stack.name}",
            )
        return Adoption(stack, identifiers, state.id if failed else None)

    def _keys_of(self, state: _State) -> dict[str, dict[str, str]]:
        identifiers: dict[str, dict[str, str]] = {}
        for key in state.stack.keys:
            if key.alias_logical_id in state.held:
                continue
            there = self._keys[state.stack.region, key.alias]
            if there is None:
                continue
            self._check_key(state, key, there)
            if key.logical_id not in state.held:
                identifiers[key.logical_id] = {"KeyId": there["KeyId"]}
            identifiers[key.alias_logical_id] = {"AliasName": key.alias}
        return identifiers

    def _check_key(self, state: _State, key: "RetainedKey", there: Mapping[str, Any]) -> None:
        path, region = f"{key.alias} in {state.stack.region}", state.stack.region
        if there["KeyState"] != "Enabled":
            remedy = _KEY_REMEDIES.get(there["KeyState"], "")
            self._problem(
                path,
                f"key {there['KeyId']}, whose state is {there['KeyState']}",
                f"an enabled key: {remedy.format(key=there['KeyId'], region=region)}".rstrip(": "),
            )
        else:
            self._check_use(key, there["KeyId"], path=path, region=region)
        held = state.held.get(key.logical_id)
        if held not in (None, there["KeyId"]):
            self._problem(
                path, f"key {there['KeyId']}", f"{held}, which is in stack {state.stack.name} already"
            )

    def _check_use(self, key: "RetainedKey", key_id: str, *, path: str, region: str) -> None:
        """See that the fabric's functions and services may use the key."""
        if key.fabric is not None and (fabric := self._account.fabric_of_key(key_id, region)) != key.fabric:
            self._problem(
                path,
                f"key {key_id} with the tag eventfabric={fabric}",
                f"one with eventfabric={key.fabric}, by which policies recognise it: aws kms tag-resource --key-id "
                f"{key_id} --tags TagKey=eventfabric,TagValue={key.fabric} --region {region}",
            )
        policy = self._account.policy_of_key(key_id, region) if key.services else ""
        for service in key.services:
            if f'"{service}"' not in policy:
                self._problem(
                    path,
                    f"key {key_id}, whose policy has nothing about {service}",
                    f"one with the policy that the template has for {key.logical_id}: aws kms put-key-policy "
                    f"--key-id {key_id} --policy file://policy.json --region {region}",
                )

    def _tables_of(self, state: _State) -> dict[str, dict[str, str]]:
        region = state.stack.region
        wanted = [table for table in state.stack.tables if table.logical_id not in state.held]
        there = {table.name: self._account.table(table.name, region) for table in wanted}
        present = [table for table in wanted if there[table.name] is not None]
        for table in present:
            self._check_table(table, there[table.name] or {}, region)
        if not self.problems:
            self._check_completeness(region, present, [table for table in wanted if table not in present])
        return {table.logical_id: {"TableName": table.name} for table in present}

    def _check_table(self, table: "RetainedTable", there: Mapping[str, Any], region: str) -> None:
        path = f"table {table.name} in {region}"
        for actual, allowed in differences(table, there):
            self._problem(path, actual, allowed)
        if table.fabric is not None:
            fabric = self._account.fabric_of(there["TableArn"], region)
            if fabric != table.fabric:
                actual = f"the tag eventfabric={fabric}" if fabric else "no tag eventfabric"
                allowed = f"eventfabric={table.fabric}, by which a table of this fabric is known"
                self._problem(path, actual, allowed)
        self._check_encryption(table, region)

    def _check_encryption(self, table: "RetainedTable", home: str) -> None:
        """See that the alias of each Region still names the key with which the table is encrypted there."""
        for (region, alias), key in self._keys.items():
            if region not in (table.regions or [home]):
                continue
            description = self._account.table(table.name, region) or {}
            used = str(description.get("SSEDescription", {}).get("KMSMasterKeyArn", ""))
            if ":key/" in used and (key is None or key["Arn"] != used):
                verb = "create-alias" if key is None else "update-alias"
                self._problem(
                    f"{alias} in {region}",
                    "no such alias" if key is None else f"an alias of key {key['KeyId']}",
                    f"one of the key that encrypts table {table.name}: aws kms {verb} --alias-name {alias} "
                    f"--target-key-id {used} --region {region}",
                )

    def _check_completeness(
        self, region: str, present: Sequence["RetainedTable"], absent: Sequence["RetainedTable"]
    ) -> None:
        """See that no table would be made anew beside others that know what was in it."""
        filled = [
            table.name for table in present if absent and not self._account.is_empty(table.name, region)
        ]
        for table in absent if filled else ():
            self._problem(
                f"table {table.name} in {region}",
                f"no such table, while {filled[0]} has items",
                "all tables of the stack, or none with items: restore it from a backup; if it is new, adopt and deploy "
                "first without it",
            )


def _state_of(account: _Account, stack: "AssembledStack") -> _State:
    deployed = account.deployed(stack)
    if deployed is None:
        return _State(stack)
    status = deployed["StackStatus"]
    held = {} if status in (*_FAILED_CREATION, "REVIEW_IN_PROGRESS") else account.held(stack)
    return _State(stack, deployed["StackId"], status, held)


def differences(table: "RetainedTable", there: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the differences of a table from its template, as (actual, allowed), in what cannot be changed later."""
    types = {a["AttributeName"]: a["AttributeType"] for a in there["AttributeDefinitions"]}
    schema = {f"{k['AttributeName']} {k['KeyType']}": types[k["AttributeName"]] for k in there["KeySchema"]}
    if schema != table.key_schema:
        yield f"the key {schema}", f"{table.key_schema}"
    if there["TableStatus"] != "ACTIVE":
        yield f"a table that is {there['TableStatus']}", "ACTIVE"
    replicas = {
        replica["RegionName"]: replica.get("ReplicaStatus", "ACTIVE") for replica in there.get("Replicas", [])
    }
    own = there["TableArn"].split(":")[3]
    regions = sorted({own, *replicas})
    if table.regions and regions != table.regions:
        yield f"replicas in {', '.join(regions)}", ", ".join(table.regions)
    for region, status in replicas.items():
        if status != "ACTIVE":
            yield f"a replica in {region} that is {status}", "ACTIVE"
    consistency = there.get("MultiRegionConsistency", "EVENTUAL")
    wanted = table.properties.get("MultiRegionConsistency", "EVENTUAL")
    if consistency != wanted:
        yield f"{consistency} consistency", wanted


def _unless_absent(call: Callable[[], Any]) -> Any:
    """Make a call; None if what it asks for does not exist."""
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code in ("ResourceNotFoundException", "NotFoundException"):
            return None
        if code == "ValidationError" and "does not exist" in message:  # of a stack
            return None
        raise
