"""A user's own resources beside the definition: declared with the fabric's stacks, or refused by name."""

from pathlib import Path

import pytest

from eventfabric.cdk.extensions import ExtensionError, extension_beside, extension_in
from eventfabric.cdk.node import choose_node
from eventfabric.cli.project import rendered
from eventfabric.definition.file import read_definition
from eventfabric.errors import DefinitionError
from infra.app import ROOT, context
from tests.infra.synthesis import Synthesised, declare, resolved
from tests.support.messages import missing_from

GRANTING = """
from eventfabric.deployment.permissions import Resource, Statement

def extend(fabric):
    for region, cell in fabric.cells.items():
        tables = tuple(Resource("dynamodb", region, f"table/{name}") for name in ("shop-charges", "customers/index/a"))
        cell.functions["shop-billing"].grant(Statement("more", ("dynamodb:Query",), tables))
"""
DEFINITION = ROOT / "infra" / "fabric.toml"


def synthesised(
    folder: Path, beside: Path, *, functions: Path = ROOT / "functions", stage: str | None = None
) -> Synthesised:
    """Synthesise the definition there, or the sample's if there is none, with the extension beside it."""
    choose_node()
    import aws_cdk as cdk

    definition = read_definition(beside if beside.is_file() else DEFINITION, stage=stage)
    app = cdk.App(analytics_reporting=False, context=context(), outdir=str(folder / "cdk.out"))
    stacks = declare(app, definition, folder / "code", functions=functions)
    extend = extension_beside(beside)
    if extend is not None:
        extend(stacks)
    app.synth()
    return Synthesised(definition, folder / "cdk.out")


@pytest.fixture(scope="session")
def shop_with_tables(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """The sample, with its extension."""
    return synthesised(tmp_path_factory.mktemp("shop"), DEFINITION)


def test_the_samples_extension_makes_its_tables_in_every_region_before_the_cell(
    shop_with_tables: Synthesised,
) -> None:
    for region in shop_with_tables.topology.regions:
        made = shop_with_tables.properties("AWS::DynamoDB::GlobalTable", stack=f"shop-tables-{region}")
        assert {table["TableName"] for table in made} == {"shop-charges", "shop-labels", "shop-facts"}
        for table in made:
            [replica] = table["Replicas"]
            assert replica["DeletionProtectionEnabled"] is True
            assert replica["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True


@pytest.mark.parametrize(
    ("subscription", "action", "table"),
    [
        ("billing", "dynamodb:UpdateItem", "shop-charges"),
        ("shipping", "dynamodb:PutItem", "shop-labels"),
        ("analytics", "dynamodb:BatchWriteItem", "shop-facts"),
    ],
)
def test_each_handler_of_the_sample_may_write_its_own_table_and_no_other(
    shop_with_tables: Synthesised, subscription: str, action: str, table: str
) -> None:
    topology = shop_with_tables.topology
    for region in topology.regions:
        stack = topology.stack_name("subscription", region, subscription=subscription)
        own = [
            (statement["Action"], resolved(statement["Resource"], {}))
            for name, body in shop_with_tables.resources("AWS::IAM::Policy", stack=stack)
            if name.partition("/")[2].startswith(f"Deliver{subscription}Role")
            for statement in body["Properties"]["PolicyDocument"]["Statement"]
            if "shop-charges" in str(statement)
            or "shop-labels" in str(statement)
            or "shop-facts" in str(statement)
        ]
        assert own == [(action, f"arn:aws:dynamodb:{region}:123456789012:table/{table}")]


def names_in(synthesis: Synthesised) -> set[str]:
    """Stacks, and whatever has a name in an account that nothing else there may have."""
    keys = ["TableName", "QueueName", "FunctionName", "ManagedPolicyName", "AliasName", "StateMachineName"]
    keys += ["LogGroupName", "AlarmName", "DashboardName"]
    return {
        f"{body['Type']} {body['Properties'][key]}"
        for template in synthesis.templates.values()
        for body in template["Resources"].values()
        for key in keys
        if isinstance(body.get("Properties", {}).get(key), str)
    } | {f"stack {name}" for name in synthesis.templates}


def test_two_stages_of_a_new_project_share_no_name_its_own_tables_included(tmp_path: Path) -> None:
    for path, text in rendered("shop", ["us-east-1"]).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    definition, functions = tmp_path / "infra" / "fabric.toml", tmp_path / "functions"
    stages = {
        stage: synthesised(tmp_path / f"stage-{stage}", definition, functions=functions, stage=stage)
        for stage in (None, "dev")
    }
    plain, dev = (names_in(synthesis) for synthesis in stages.values())
    assert plain & dev == set()
    assert {"stack shop-tables-us-east-1", "AWS::DynamoDB::GlobalTable shop-invoiced"} <= plain
    assert {"stack shop-tables-us-east-1-dev", "AWS::DynamoDB::GlobalTable shop_dev-points"} <= dev
    for name, synthesis in zip(("shop", "shop_dev"), stages.values(), strict=True):
        deliver = [text for stack, text in synthesis.templates.items() if "-Subscription-" in stack]
        assert any(f"table/{name}-invoiced" in str(text) for text in deliver)


def test_an_extension_that_grants_tables_which_a_subscription_does_not_list_is_refused_by_name(
    tmp_path: Path,
) -> None:
    (tmp_path / "extension.py").write_text(GRANTING)
    with pytest.raises(DefinitionError) as caught:
        synthesised(tmp_path, tmp_path / "fabric.toml")
    assert missing_from(str(caught.value), "shop-billing", "customers", "the extension grants") == []


def test_without_an_extension_nothing_is_added(tmp_path: Path) -> None:
    synthesis = synthesised(tmp_path, tmp_path / "fabric.toml")
    assert not [name for name in synthesis.templates if name.startswith("shop-tables")]


@pytest.mark.parametrize("text", ["", "extend = 3\n", "def extends(fabric): ...\n"])
def test_an_extension_without_the_function_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "extension.py").write_text(text)
    with pytest.raises(ExtensionError, match=r"extension\.py: found no function extend, allowed: def extend"):
        synthesised(tmp_path / "out", tmp_path / "fabric.toml")


@pytest.mark.parametrize("name", ["missing.py", "extension.txt"])
def test_a_file_that_is_no_extension_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "extension.txt").touch()
    with pytest.raises(ExtensionError, match=rf"{name}, allowed: a file of Python"):
        extension_in(tmp_path / name)
