"""Stacks that register schemas: in an order, or refused before anything is changed."""

import json
from pathlib import Path

import pytest

from eventfabric.contracts.folder import SchemaFolder
from eventfabric.model.schema_index import SchemaIndex
from eventfabric.services.catalogue.schema_lane import SchemaReader
from tests.support.declaring_stacks import Stacks
from tests.support.memory_fabric import AWAY, STREAM, MemoryFabric
from tests.support.subscribed_stream import topology

SHOP = topology()
PLACED = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
WITH_NOTE = {**PLACED, "properties": {**PLACED["properties"], "note": {"type": "string"}}}  # type: ignore[dict-item] # an object
WITHOUT_ORDER = {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}


def folder(path: Path, **schemas: object) -> SchemaFolder:
    place = path / STREAM
    place.mkdir(parents=True)
    for type_, schema in schemas.items():
        (place / f"{type_}.json").write_text(json.dumps(schema))
    return SchemaFolder(path)


@pytest.fixture
def stacks(tmp_path: Path) -> Stacks:
    return Stacks(MemoryFabric(SHOP), schemas=folder(tmp_path / "first", OrderPlaced=PLACED))


def index(stacks: Stacks) -> SchemaIndex:
    return SchemaReader(
        stacks.fabric.stream, stacks.fabric.ports(stacks.region).log_of(stacks.fabric.stream)
    ).index()


def test_a_deployment_registers_what_is_in_the_folder_once(stacks: Stacks) -> None:
    assert stacks.deploy(SHOP) == ""
    assert [version.number for version in index(stacks).versions("OrderPlaced")] == [1]
    change = index(stacks).change
    assert change is not None
    assert change.by == "stack/cell"
    stacks.asked.clear()
    assert stacks.deploy(SHOP) == ""
    assert index(stacks).count == 1


def test_a_change_that_goes_together_with_what_was_is_the_next_version(
    stacks: Stacks, tmp_path: Path
) -> None:
    stacks.deploy(SHOP)
    stacks.schemas = folder(tmp_path / "second", OrderPlaced=WITH_NOTE)
    assert stacks.deploy(SHOP) == ""
    assert index(stacks).count == 2


def test_a_change_that_breaks_others_is_refused_with_pointer_and_rule(stacks: Stacks, tmp_path: Path) -> None:
    stacks.deploy(SHOP)
    stacks.schemas = folder(tmp_path / "second", OrderPlaced=WITHOUT_ORDER)
    reason = stacks.deploy(SHOP)
    assert "schemas/orders/OrderPlaced.json#/required" in reason
    assert "version 1" in reason
    assert index(stacks).count == 1


def test_the_other_regions_register_nothing(stacks: Stacks) -> None:
    stacks.deploy(SHOP)
    away = Stacks(stacks.fabric, AWAY, schemas=stacks.schemas)
    assert away.deploy(SHOP) == ""
    assert index(away).count == 1


def test_a_function_with_other_schemas_than_the_stack_registers_none(stacks: Stacks, tmp_path: Path) -> None:
    stacks.synthesised_with = folder(tmp_path / "second", OrderPlaced=WITH_NOTE)
    assert "deploy again" in stacks.deploy(SHOP)
    assert index(stacks).count == 0


def test_a_rollback_leaves_versions_as_they_are_and_registers_none(stacks: Stacks, tmp_path: Path) -> None:
    stacks.deploy(SHOP)
    before, stacks.schemas = stacks.schemas, folder(tmp_path / "second", OrderPlaced=WITH_NOTE)
    assert stacks.deploy(SHOP, until="cell") != ""
    assert index(stacks).count == 2
    # The next deployment of what was before registers it again, as a version of its own.
    stacks.schemas = before
    assert stacks.deploy(SHOP) == ""
    stacks.asked.clear()
    assert stacks.deploy(SHOP) == ""
    assert [version.number for version in index(stacks).versions("OrderPlaced")] == [1, 2, 3]
