"""A fabric in an app of somebody else: in a Stage of theirs, with their roles, and without their feature flags."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from eventfabric.cdk.node import choose_node
from eventfabric.definition.file import parse_definition, read_definition
from eventfabric.errors import DefinitionError, SettingError, UnknownNameError
from eventfabric.topology import Topology
from infra.app import ROOT
from tests.infra.synthesis import Synthesised, declare, new_app, resolved

choose_node()

import aws_cdk as cdk  # noqa: E402  # all of these after the Node is chosen
from aws_cdk import aws_iam as iam  # noqa: E402

from eventfabric.cdk.fabric import EventFabric  # noqa: E402
from eventfabric.cdk.fabric_stacks import FabricStacks  # noqa: E402
from eventfabric.deployment.quotas import MANAGED_POLICY_CHARACTERS_MAX  # noqa: E402

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
ANY = "[a-z0-9-]+"


def templates(folder: Path) -> dict[str, Any]:
    return {
        path.name.partition(".")[0]: json.loads(path.read_text()) for path in folder.glob("*.template.json")
    }


def role_in(scope: cdk.App | cdk.Stage, name: str) -> iam.Role:
    stack = cdk.Stack(scope, name, env=cdk.Environment(region="eu-west-1"))
    return iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))


def policies_in(template: dict[str, Any]) -> list[dict[str, Any]]:
    resources = template["Resources"].values()
    return [body["Properties"] for body in resources if body["Type"] == "AWS::IAM::ManagedPolicy"]


def granted_by(policies: list[dict[str, Any]], *, regions: str = ANY) -> set[tuple[str, str]]:
    """Return each action that these policies allow on a table, with the table's name."""
    return {
        (action, table)
        for policy in policies
        for statement in policy["PolicyDocument"]["Statement"]
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
        for table in re.findall(rf":dynamodb:{regions}:.*table/([a-z0-9-]+)", json.dumps(resource))
    }


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


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
    imported = cdk.Stack(app, "imported", env=cdk.Environment(region="eu-west-1"))
    arn = "arn:aws:iam::111122223333:role/service/theirs"
    fabric.grant_publish(iam.Role.from_role_arn(imported, "Role", arn), "orders")
    app.synth()
    return folder / "cdk.out"


@pytest.mark.parametrize(
    ("stack", "tables", "logs"),
    [
        ("producer", {"theirs-orders"}, {"theirs-log-eu-west-1"}),
        ("everything", {"theirs-orders", "theirs-local"}, {"theirs-log-eu-west-1", "theirs-log-us-east-1"}),
        ("operator", {"theirs-local"}, {"theirs-log-us-east-1"}),
        ("imported", {"theirs-orders"}, {"theirs-log-eu-west-1"}),
    ],
)
def test_a_role_may_do_what_the_streams_policies_allow_and_waits_for_them(
    stack: str, tables: set[str], logs: set[str], granted: Path
) -> None:
    made = templates(granted)
    kind = "operator" if stack == "operator" else "publisher"
    named = [
        policy
        for name, template in made.items()
        if "-log-" in name
        for policy in policies_in(template)
        if policy["ManagedPolicyName"].rpartition("-")[0] in tables
        and policy["ManagedPolicyName"].endswith(kind)
    ]
    assert len(named) == len(tables)
    assert granted_by(policies_in(made[stack])) == granted_by(named) != set()
    manifest = json.loads((granted / "manifest.json").read_text())["artifacts"]
    assert {name for name in manifest[stack]["dependencies"] if "-log-" in name} == logs


def test_what_is_granted_twice_stands_in_one_policy_once(granted: Path) -> None:
    made = templates(granted)
    [policy] = policies_in(made["producer"])
    statements = [json.dumps(statement) for statement in policy["PolicyDocument"]["Statement"]]
    assert len(set(statements)) == len(statements)
    [role] = [
        name for name, body in made["producer"]["Resources"].items() if body["Type"] == "AWS::IAM::Role"
    ]
    assert policy["Roles"] == [{"Ref": role}]


def test_an_imported_role_is_named_by_its_policy(granted: Path) -> None:
    [policy] = policies_in(templates(granted)["imported"])
    assert policy["Roles"] == ["theirs"]


def test_a_role_of_another_stage_gets_the_policy_and_waits_for_nothing(granted: Path) -> None:
    [folder] = granted.glob("assembly-*")
    [template] = templates(folder).values()
    [policy] = policies_in(template)
    assert {table for _, table in granted_by([policy])} >= {"theirs-orders"}


def fabric_of(streams: int, folder: Path) -> tuple[cdk.App, FabricStacks, iam.Role]:
    """Declare a fabric of so many streams, in two Regions, and a role."""
    tables = "".join(f"[streams.stream{number}]\n" for number in range(streams))
    head = '[fabric]\nname = "theirs"\nregions = ["eu-west-1", "us-east-1"]\n'
    app = new_app(folder / "cdk.out")
    return app, declare(app, parse_definition(head + tables), folder / "code"), role_in(app, "producer")


@pytest.mark.parametrize("at_once", [True, False])
def test_streams_share_policies_of_which_each_fits(at_once: bool, tmp_path: Path) -> None:
    app, fabric, role = fabric_of(12, tmp_path)
    for streams in [[]] if at_once else [[name] for name in fabric.topology.streams]:
        fabric.grant_publish(role, *streams)
    app.synth()
    template = templates(tmp_path / "cdk.out")["producer"]
    policies = policies_in(template)
    assert 1 < len(policies) < 12
    documents = [resolved(policy["PolicyDocument"], template) for policy in policies]
    sizes = [len(json.dumps(document, separators=(",", ":"))) for document in documents]
    assert max(sizes) <= MANAGED_POLICY_CHARACTERS_MAX
    tables = {table for action, table in granted_by(policies) if action == "dynamodb:PutItem"}
    assert tables == {f"theirs-stream{number}" for number in range(12)}


def test_more_policies_than_a_role_may_have_are_refused_by_its_name(tmp_path: Path) -> None:
    _, fabric, role = fabric_of(60, tmp_path)
    with pytest.raises(
        SettingError, match="role producer/Role: found '11 managed policies', allowed: at most 10"
    ):
        fabric.grant_operate(role)


def test_a_stream_that_is_not_there_is_refused(tmp_path: Path) -> None:
    app = new_app(tmp_path / "cdk.out")
    fabric = declare(app, parse_definition(TWO_STREAMS), tmp_path / "code")
    with pytest.raises(UnknownNameError, match="parcels"):
        fabric.grant_publish(role_in(app, "producer"), "parcels")


def test_a_definition_that_a_program_made_is_held_to_what_aws_has(tmp_path: Path) -> None:
    text = '[fabric]\nname = "theirs"\nregions = ["eu-west-1", "us-east-1", "us-east-2"]\n[streams.orders]\n'
    definition = parse_definition(text + 'durability = "quorum"\n')
    with pytest.raises(
        DefinitionError, match=r"streams\.orders\.regions: found eu-west-1.*one of these sets"
    ):
        EventFabric(new_app(tmp_path / "cdk.out"), definition=definition)


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


def test_a_folder_of_handlers_that_is_not_there_is_refused_before_any_stack_is_declared(
    tmp_path: Path,
) -> None:
    app = new_app(tmp_path / "cdk.out")
    with pytest.raises(SettingError, match=r"functions: found 'nowhere', allowed: a folder"):
        EventFabric(app, definition=parse_definition(TWO_STREAMS), functions="nowhere")
    assert app.node.children == []


def test_a_scope_that_takes_no_fabric_is_refused_before_any_code_is_staged(tmp_path: Path) -> None:
    app, definition, nowhere = new_app(tmp_path / "cdk.out"), parse_definition(TWO_STREAMS), tmp_path / "none"
    nothing: Any = None
    with pytest.raises(SettingError, match=r"scope: found 'NoneType', allowed: an App or a Stage"):
        EventFabric(nothing, definition=definition, cache=nowhere)
    cdk.Stack(app, Topology(definition).stack_name("keys", "eu-west-1"))
    with pytest.raises(SettingError, match=r"scope: found 'fabric theirs, declared before', allowed: one"):
        EventFabric(app, definition=definition, cache=nowhere)
    assert not nowhere.exists()
