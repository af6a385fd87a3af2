"""Retained resources are read from the templates as the CDK writes them: they are all that a fabric has of data."""

import json
from pathlib import Path
from typing import Any

from eventfabric.cdk.assembly import AssembledStack, copy_to_import, stacks_in
from tests.infra.synthesis import Synthesised


def retained_resources(stack: AssembledStack) -> set[str]:
    tables = {table.logical_id for table in stack.tables}
    return tables | {
        logical_id for key in stack.keys for logical_id in (key.logical_id, key.alias_logical_id)
    }


def test_every_retained_resource_can_be_adopted(synthesised: Synthesised) -> None:
    for stack in stacks_in(synthesised.folder):
        retained = {
            name
            for name, body in stack.resources.items()
            if "Retain" in body.get("DeletionPolicy", "") and not body["Type"].startswith("Custom::")
        }
        assert retained_resources(stack) == retained, stack.name


def test_what_is_imported_waits_for_nothing(shop: Synthesised, tmp_path: Path) -> None:
    copy_to_import(shop.folder, tmp_path / "copy")
    tables = [table for stack in stacks_in(shop.folder) for table in stack.tables]
    copied = {name: body for stack in stacks_in(tmp_path / "copy") for name, body in stack.resources.items()}
    written = {name: body for stack in stacks_in(shop.folder) for name, body in stack.resources.items()}
    for table in tables:
        assert "DependsOn" in written[table.logical_id]
        assert copied[table.logical_id] == {
            key: value for key, value in written[table.logical_id].items() if key != "DependsOn"
        }


def test_tables_and_keys_are_those_of_the_topology(synthesised: Synthesised) -> None:
    topology, stacks = synthesised.topology, stacks_in(synthesised.folder)
    tables = {table.name: table for stack in stacks for table in stack.tables}
    assert {name: (table.regions, table.fabric) for name, table in tables.items()} == {
        table.name: (sorted(table.regions), topology.fabric) for table in topology.tables
    }
    assert {(stack.region, key.alias) for stack in stacks for key in stack.keys} == {
        (region, topology.key_alias) for region in topology.regions
    }
    ledger = tables[f"{topology.fabric}-ledger"]
    assert set(ledger.key_schema) == {"pk HASH", "sk RANGE"}
    assert {(stack.account, stack.id) for stack in stacks} == {(None, name) for name in synthesised.templates}


def test_stacks_of_a_stage_are_found_by_the_name_that_the_cdk_asks_for(tmp_path: Path) -> None:
    write(tmp_path, {"Prod": {"type": "cdk:cloud-assembly", "properties": {"directoryName": "inner"}}})
    stack = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://unknown-account/eu-west-1",
        "properties": {"templateFile": "keys.json", "stackName": "shop-keys"},
        "displayName": "Prod/shop-keys",
    }
    write(tmp_path / "inner", {"Prodkeys123": stack, "Prodkeys123.assets": {"type": "cdk:asset-manifest"}})
    (tmp_path / "inner" / "keys.json").write_text("{}")
    assert stacks_in(tmp_path) == [AssembledStack("Prod/shop-keys", "shop-keys", None, "eu-west-1", {})]


def write(folder: Path, artifacts: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
