"""A fabric in an app of somebody else: in a Stage of theirs, with their roles, and without their feature flags."""

import json
from pathlib import Path
from typing import Any

import pytest

from eventfabric.cdk.node import choose_node
from eventfabric.definition.file import parse_definition, read_definition
from eventfabric.errors import UnknownNameError
from infra.app import ROOT
from tests.infra.synthesis import Synthesised, declare

choose_node()

import aws_cdk as cdk  # noqa: E402
from aws_cdk import aws_iam as iam  # noqa: E402

from eventfabric.cdk.fabric_stacks import FabricStacks  # noqa: E402

TWO_STREAMS = """
[fabric]
name = "theirs"
regions = ["eu-west-1", "us-east-1"]
[streams.orders]
[streams.local]
regions = ["us-east-1"]
[subscriptions.count]
stream = "orders"
handler = "subscribers.analytics:record"
"""
ROLE = "AWS::IAM::Role"


def new_app(folder: Path) -> cdk.App:
    return cdk.App(analytics_reporting=False, outdir=str(folder))


def templates(folder: Path) -> dict[str, Any]:
    return {
        path.name.partition(".")[0]: json.loads(path.read_text()) for path in folder.glob("*.template.json")
    }


def role_in(scope: cdk.App | cdk.Stage, name: str) -> iam.Role:
    stack = cdk.Stack(scope, name, env=cdk.Environment(region="eu-west-1"))
    return iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))


def attached(template: dict[str, Any]) -> list[str]:
    """Return the names of the policies that are attached to the one role of a template."""
    [role] = [body for body in template["Resources"].values() if body["Type"] == ROLE]
    arns = role["Properties"].get("ManagedPolicyArns", [])
    return [arn["Fn::Join"][1][-1].partition("policy/")[2] for arn in arns]


def test_in_a_stage_stacks_have_the_same_names_and_templates(shop: Synthesised, tmp_path: Path) -> None:
    app = new_app(tmp_path / "cdk.out")
    stage = cdk.Stage(app, "Prod")
    theirs = cdk.Stack(stage, "Theirs")
    definition = read_definition(ROOT / "infra" / "fabric.toml")
    declare(app, definition, tmp_path / "code", scope=stage)
    app.synth()
    [folder] = (tmp_path / "cdk.out").glob("assembly-*")
    manifest = json.loads((folder / "manifest.json").read_text())["artifacts"]
    names = {
        artifact["properties"].get("stackName", name)
        for name, artifact in manifest.items()
        if artifact["type"] == "aws:cloudformation:stack"
    }
    assert names == {*shop.templates, theirs.stack_name}
    embedded = {name.removeprefix("Prod"): body for name, body in templates(folder).items()}
    for name, template in shop.templates.items():
        [same] = [body for other, body in embedded.items() if other.startswith(name.replace("-", ""))]
        assert same == template, name


def test_their_other_stacks_get_no_tags_and_no_checks(tmp_path: Path) -> None:
    app = new_app(tmp_path / "cdk.out")
    stack = cdk.Stack(app, "Theirs")
    cdk.CfnResource(stack, "Bucket", type="AWS::S3::Bucket")
    declare(app, parse_definition(TWO_STREAMS), tmp_path / "code", alone=False)
    app.synth()
    [bucket] = templates(tmp_path / "cdk.out")["Theirs"]["Resources"].values()
    assert bucket == {"Type": "AWS::S3::Bucket"}


@pytest.fixture(scope="module")
def granted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An assembly in which roles of other stacks publish and operate."""
    folder = Path(tmp_path_factory.mktemp("granted"))
    app = new_app(folder / "cdk.out")
    fabric = declare(app, parse_definition(TWO_STREAMS), folder / "code")
    producer = role_in(app, "producer")
    fabric.grant_publish(producer, "orders")
    fabric.grant_publish(producer, "orders")
    fabric.grant_publish(role_in(app, "everything"))
    fabric.grant_operate(role_in(app, "operator"), "local")
    fabric.grant_publish(role_in(cdk.Stage(app, "Later"), "elsewhere"), "orders")
    app.synth()
    return folder / "cdk.out"


@pytest.mark.parametrize(
    ("stack", "policies", "logs"),
    [
        ("producer", ["theirs-orders-publisher"], {"theirs-log-eu-west-1"}),
        (
            "everything",
            ["theirs-orders-publisher", "theirs-local-publisher"],
            {"theirs-log-eu-west-1", "theirs-log-us-east-1"},
        ),
        ("operator", ["theirs-local-operator"], {"theirs-log-us-east-1"}),
    ],
)
def test_a_role_gets_the_policies_of_the_streams_and_waits_for_them(
    stack: str, policies: list[str], logs: set[str], granted: Path
) -> None:
    made = templates(granted)
    assert attached(made[stack]) == policies
    names = {
        body["Properties"]["ManagedPolicyName"]
        for template in made.values()
        for body in template["Resources"].values()
        if body["Type"] == "AWS::IAM::ManagedPolicy"
    }
    assert set(policies) <= names
    manifest = json.loads((granted / "manifest.json").read_text())["artifacts"]
    assert {name for name in manifest[stack]["dependencies"] if "-log-" in name} == logs


def test_a_role_of_another_stage_gets_the_policy_and_waits_for_nothing(granted: Path) -> None:
    [folder] = granted.glob("assembly-*")
    [template] = templates(folder).values()
    assert attached(template) == ["theirs-orders-publisher"]


def test_a_stream_that_is_not_there_is_refused(tmp_path: Path) -> None:
    app = new_app(tmp_path / "cdk.out")
    fabric = declare(app, parse_definition(TWO_STREAMS), tmp_path / "code")
    with pytest.raises(UnknownNameError, match="parcels"):
        fabric.grant_publish(role_in(app, "producer"), "parcels")


def test_functions_are_known_by_name_and_region(tmp_path: Path) -> None:
    app = new_app(tmp_path / "cdk.out")
    fabric: FabricStacks = declare(app, parse_definition(TWO_STREAMS), tmp_path / "code")
    assert set(fabric.functions) == {
        f"theirs-{name}" for name in ("count", "relay", "timer", "reconcile", "backfill")
    }
    assert set(fabric.functions["theirs-count"]) == {"eu-west-1", "us-east-1"}
    region_by_function = {
        region: cdk.Stack.of(function).region for region, function in fabric.functions["theirs-count"].items()
    }
    assert region_by_function == {region: region for region in fabric.topology.regions}
