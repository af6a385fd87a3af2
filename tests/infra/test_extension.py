"""A user's own resources beside the definition: declared with the fabric's stacks, or refused by name."""

from pathlib import Path

import pytest

from eventfabric.cdk.extensions import ExtensionError, extension_beside
from eventfabric.cdk.node import choose_node
from eventfabric.definition.file import read_definition
from infra.app import ROOT, context
from tests.infra.synthesis import Synthesised, declare, resolved

DEFINITION = ROOT / "infra" / "fabric.toml"


def synthesised(folder: Path, beside: Path) -> Synthesised:
    """Synthesise the definition there, or the sample's if there is none, with the extension beside it."""
    choose_node()
    import aws_cdk as cdk

    definition = read_definition(beside if beside.is_file() else DEFINITION)
    app = cdk.App(analytics_reporting=False, context=context(), outdir=str(folder / "cdk.out"))
    stacks = declare(app, definition, folder / "code", functions=ROOT / "functions")
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
        stack = f"{topology.fabric}-cell-{region}"
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


def test_without_an_extension_nothing_is_added(tmp_path: Path) -> None:
    synthesis = synthesised(tmp_path, tmp_path / "fabric.toml")
    assert not [name for name in synthesis.templates if name.startswith("shop-tables")]


@pytest.mark.parametrize("text", ["", "extend = 3\n", "def extends(fabric): ...\n"])
def test_an_extension_without_the_function_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "extension.py").write_text(text)
    with pytest.raises(ExtensionError, match=r"extension\.py: found no function extend, allowed: def extend"):
        synthesised(tmp_path / "out", tmp_path / "fabric.toml")
