"""The assembly to which an app of the CDK was synthesised: its stacks, and what of each outlives its deletion."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any, Final

_TABLES: Final = ("AWS::DynamoDB::GlobalTable", "AWS::DynamoDB::Table")
_ALIAS: Final = "AWS::KMS::Alias"
_RETAINED: Final = ("Retain", "RetainExceptOnCreate")


@dataclass(frozen=True)
class RetainedTable:
    """A table with a fixed name, as its template has it."""

    logical_id: str
    name: str
    properties: Mapping[str, Any] = field(repr=False)

    @property
    def key_schema(self) -> dict[str, str]:
        """Return its key attributes, such as `{"pk HASH": "S"}`."""
        types = {a["AttributeName"]: a["AttributeType"] for a in self.properties["AttributeDefinitions"]}
        return {
            f"{key['AttributeName']} {key['KeyType']}": types[key["AttributeName"]]
            for key in self.properties["KeySchema"]
        }

    @property
    def regions(self) -> list[str]:
        """Return the Regions of its replicas; none for a table that is not global."""
        return sorted(replica["Region"] for replica in self.properties.get("Replicas", []))

    @property
    def fabric(self) -> str | None:
        """Return the fabric that its tags name, if they name one."""
        replicas = self.properties.get("Replicas", [])
        return _fabric_in([self.properties, *replicas])


@dataclass(frozen=True)
class RetainedKey:
    """A key, which has no name, and the alias in the same stack by which it is found.

    `fabric`: that of its tag. `services`: those that its policy allows to use it.
    """

    logical_id: str
    alias_logical_id: str
    alias: str
    fabric: str | None
    services: tuple[str, ...] = ()


@dataclass(frozen=True)
class AssembledStack:
    """A stack of the assembly. `id` names it on the CDK's command line; `account` is None if any will do."""

    id: str
    name: str
    account: str | None
    region: str
    resources: Mapping[str, Mapping[str, Any]] = field(repr=False)

    @property
    def tables(self) -> list[RetainedTable]:
        """List the tables with fixed names that are retained."""
        return [
            RetainedTable(logical_id, body["Properties"]["TableName"], body["Properties"])
            for logical_id, body in self._retained()
            if body["Type"] in _TABLES and isinstance(body["Properties"].get("TableName"), str)
        ]

    @property
    def keys(self) -> list[RetainedKey]:
        """List the keys that are retained together with their aliases."""
        retained = dict(self._retained())
        keys = []
        for logical_id, body in retained.items():
            if body["Type"] != _ALIAS:
                continue
            target = body["Properties"]["TargetKeyId"]
            key = (
                target.get("Ref") or target.get("Fn::GetAtt", [None])[0] if isinstance(target, dict) else None
            )
            if key in retained:
                properties = retained[key].get("Properties", {})
                alias = body["Properties"]["AliasName"]
                services = tuple(_services_in(properties.get("KeyPolicy", {})))
                keys.append(RetainedKey(key, logical_id, alias, _fabric_in([properties]), services))
        return keys

    def _retained(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return (item for item in self.resources.items() if item[1].get("DeletionPolicy") in _RETAINED)


def _fabric_in(tagged: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the fabric that the first of these tags names."""
    tags = (tag for properties in tagged for tag in properties.get("Tags", []))
    return next((tag["Value"] for tag in tags if tag["Key"] == "eventfabric"), None)


def _services_in(policy: Mapping[str, Any]) -> Iterator[str]:
    """Yield the services that the statements of a policy are about."""
    for statement in policy.get("Statement", []):
        principal = statement.get("Principal")
        service = principal.get("Service") if isinstance(principal, dict) else None
        if isinstance(service, str):
            yield service


def copy_to_import(assembly: Path, target: Path) -> None:
    """Copy an assembly to a new folder, in whose templates what is retained waits for nothing.

    CloudFormation imports it alone, and refuses a template in which it depends on what is not there yet.
    """
    copytree(assembly, target, ignore=ignore_patterns("asset.*"))  # imports publish none
    for path in target.rglob("*.template.json"):
        template = json.loads(path.read_text(encoding="utf-8"))
        for body in template.get("Resources", {}).values():
            if body.get("DeletionPolicy") in _RETAINED:
                body.pop("DependsOn", None)
        path.write_text(json.dumps(template), encoding="utf-8")


def stacks_in(assembly: Path) -> list[AssembledStack]:
    """List the stacks of an assembly, also those of its Stages. Raises OSError if nothing was synthesised there."""
    artifacts = json.loads((assembly / "manifest.json").read_text(encoding="utf-8")).get("artifacts", {})
    stacks: list[AssembledStack] = []
    for name, artifact in artifacts.items():
        properties = artifact.get("properties", {})
        if artifact["type"] == "cdk:cloud-assembly":
            stacks += stacks_in(assembly / properties["directoryName"])
        elif artifact["type"] == "aws:cloudformation:stack":
            account, _, region = artifact["environment"].removeprefix("aws://").partition("/")
            template = json.loads((assembly / properties["templateFile"]).read_text(encoding="utf-8"))
            stacks.append(
                AssembledStack(
                    id=artifact.get("displayName", name),
                    name=properties.get("stackName", name),
                    account=None if account == "unknown-account" else account,
                    region=region,
                    resources=template.get("Resources", {}),
                )
            )
    return stacks
