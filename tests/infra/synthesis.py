"""Synthesises definitions once a session, and shows what came of them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventfabric.cdk.functions_zip import FunctionsZip
from eventfabric.cdk.node import choose_node
from eventfabric.cdk.staging import stage
from eventfabric.definition.schema import Definition
from eventfabric.topology import Topology
from infra.app import ROOT, context

if TYPE_CHECKING:
    import aws_cdk as cdk

    from eventfabric.cdk.fabric_stacks import FabricStacks

ACCOUNT = "123456789012"
PARTITION = "aws"
REPORT = "validation-report.json"
"""The report of all rules about an assembly, in its folder."""
ASSEMBLY = "cdk.out"
"""The assembly's folder, in the folder of a synthesis."""


@dataclass(frozen=True)
class Synthesised:
    """A cloud assembly: its templates, by stack name."""

    definition: Definition
    folder: Path

    @cached_property
    def topology(self) -> Topology:
        return Topology(self.definition)

    @cached_property
    def templates(self) -> dict[str, dict[str, Any]]:
        """Return the templates as they are written, by stack."""
        return {
            path.name.removesuffix(".template.json"): json.loads(path.read_text())
            for path in sorted(self.folder.glob("*.template.json"))
        }

    def running(self, region: str) -> tuple[str, ...]:
        """Return the stacks of a Region that run something: the cell, and those of its subscriptions."""
        return tuple(
            name
            for name in self.templates
            if name == self.topology.stack_name("cell", region)
            or name in self._of_subscriptions("subscription", region)
        )

    def watching(self, region: str) -> tuple[str, ...]:
        """Return the stacks with the alarms of a Region."""
        own = [stack for stack in self._of_subscriptions("watch", region) if stack in self.templates]
        return (self.topology.stack_name("watch", region), *own)

    def _of_subscriptions(self, kind: str, region: str) -> list[str]:
        return [
            self.topology.stack_name(kind, region, subscription=subscription.name)
            for subscription in self.topology.subscriptions_in(region)
        ]

    def resources(
        self, kind: str, *, stack: str | tuple[str, ...] = ""
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and body of every resource of a type, of stacks whose name begins so."""
        for name, template in self.templates.items():
            if name.startswith(stack):
                for logical_id, body in template["Resources"].items():
                    if body["Type"] == kind:
                        yield f"{name}/{logical_id}", resolved(body, template)

    def properties(self, kind: str, *, stack: str | tuple[str, ...] = "") -> list[dict[str, Any]]:
        """The properties of every resource of a type."""
        return [body.get("Properties", {}) for _, body in self.resources(kind, stack=stack)]

    def live_functions(self, region: str) -> dict[str, dict[str, Any]]:
        """Return the functions of a Region that mappings invoke, by reference to their aliases and by ARN."""
        stacks = self.running(region)
        functions = dict(self.resources("AWS::Lambda::Function", stack=stacks))
        live: dict[str, dict[str, Any]] = {}
        for place, body in self.resources("AWS::Lambda::Alias", stack=stacks):
            stack, _, logical_id = place.partition("/")
            function = functions[f"{stack}/{body['Properties']['FunctionName'][1:-1]}"]["Properties"]
            name = f"{function['FunctionName']}:{body['Properties']['Name']}"
            arn = f"arn:{PARTITION}:lambda:{region}:{ACCOUNT}:function:{name}"
            live |= {f"<{logical_id}>": function, arn: function}
        return live


def synthesise(
    definition: Definition, folder: Path, *, cloudformation_rules: bool = False, **more: str
) -> Synthesised:
    """The assembly, which the AwsSolutions rules let pass; RuntimeError where they do not. `more` is added context.

    `cloudformation_rules`: the CDK's own rules judge the templates, too, and their report lies in the assembly.
    """
    choose_node()
    import aws_cdk as cdk

    app = cdk.App(analytics_reporting=False, context={**context(), **more}, outdir=str(folder / ASSEMBLY))
    declare(app, definition, folder / "code")
    if cloudformation_rules:
        cdk.Validations.of(app).add_plugins(cdk.CloudFormationValidatePlugin())
    app.synth()
    return Synthesised(definition, folder / ASSEMBLY)


def new_app(folder: Path) -> "cdk.App":
    """Make an app without context, which is synthesised into a folder."""
    choose_node()
    import aws_cdk as cdk

    return cdk.App(analytics_reporting=False, outdir=str(folder))


def declare(
    app: "cdk.App",
    definition: Definition,
    code: Path,
    *,
    functions: Path = ROOT / "functions",
    scope: "cdk.Stage | None" = None,
    alone: bool = True,
    schemas: Mapping[str, str] | None = None,
) -> "FabricStacks":
    """Declare the stacks as EventFabric does, without wheels. If they are `alone`, check the app as our own."""
    import aws_cdk as cdk
    import cdk_nag

    from eventfabric.cdk.fabric_stacks import FabricStacks

    staged = FunctionsZip(
        code, stage(definition, functions=functions, target=code, wheels=None), size_bytes=0
    )
    topology = Topology(definition)
    codes = dict.fromkeys(topology.architectures, staged)
    stacks = FabricStacks(scope or app, topology, codes, schemas=schemas)
    if alone:
        cdk.Tags.of(app).add("eventfabric", definition.fabric.name)
        cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    return stacks


def resolved(value: Any, template: Mapping[str, Any]) -> Any:
    """The value with pseudo parameters, joins and references as text; a reference to a resource is its name or ARN."""
    match value:
        case {"Ref": str(name)} if name.startswith("AWS::"):
            return {"AWS::AccountId": ACCOUNT, "AWS::Partition": PARTITION}[name]
        case {"Ref": str(name)}:
            return f"<{name}>"
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": [str(separator), list(parts)]}:
            return separator.join(str(resolved(part, template)) for part in parts)
        case dict():
            return {key: resolved(inner, template) for key, inner in value.items()}
        case list():
            return [resolved(inner, template) for inner in value]
        case _:
            return value
