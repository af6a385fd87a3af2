"""Stacks that register schemas: in an order, or refused before anything is changed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from eventfabric.contracts.folder import SchemaFolder
from eventfabric.definition.sections import Compatibility
from eventfabric.errors import LastingError
from eventfabric.model.schema_index import SchemaIndex
from eventfabric.ports import Log
from eventfabric.resources import CHECK, DECLARE
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.stream_topology import StreamTopology
from eventfabric.topology import Topology
from tests.support.declaring_stacks import Stacks, stacks_of
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric
from tests.support.subscribed_stream import topology

SHOP = topology()
LOOSE = Topology(
    replace(
        SHOP.definition,
        streams={STREAM: replace(SHOP.definition.streams[STREAM], compatibility=Compatibility.BACKWARD)},
    )
)
PLACED = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
WITH_NOTE = {**PLACED, "properties": {**PLACED["properties"], "note": {"type": "string"}}}  # type: ignore[dict-item] # an object
WITHOUT_RULES = {"type": "object", "properties": {"order": {"type": "string"}}}
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
    # The next deployment of what was before makes that the newest again.
    stacks.schemas = before
    stacks.asked.clear()
    assert stacks.deploy(SHOP) == ""
    stacks.asked.clear()
    assert stacks.deploy(SHOP) == ""
    assert [version.number for version in index(stacks).types["OrderPlaced"]] == [2, 1]


def test_a_deployment_can_be_taken_back_though_its_schema_does_not_go_together_with_the_one_before(
    stacks: Stacks, tmp_path: Path
) -> None:
    stacks.deploy(LOOSE)
    before, stacks.schemas = stacks.schemas, folder(tmp_path / "second", OrderPlaced=WITHOUT_RULES)
    assert stacks.deploy(LOOSE) == ""
    stacks.schemas = before
    assert stacks.deploy(LOOSE) == ""
    assert [version.number for version in index(stacks).types["OrderPlaced"]] == [2, 1]


def test_nothing_is_registered_while_a_stack_rolls_back_or_by_a_request_that_is_over(
    stacks: Stacks, tmp_path: Path
) -> None:
    stacks.deploy(SHOP)
    stacks.schemas = folder(tmp_path / "second", OrderPlaced=WITH_NOTE)
    asked = dict(stacks_of(SHOP, stacks.region, stacks.schemas))["cell"]
    stacks.status = "UPDATE_ROLLBACK_IN_PROGRESS"
    assert stacks.ask(DECLARE, "cell", asked)["Status"] == "SUCCESS"
    stacks.status = "UPDATE_COMPLETE"
    assert stacks.ask(DECLARE, "cell", asked, kind="Update")["Status"] == "FAILED"
    stacks.status, stacks.is_over = "UPDATE_IN_PROGRESS", True
    assert stacks.ask(DECLARE, "cell", asked, kind="Update")["Status"] == "FAILED"
    assert index(stacks).count == 1


def test_a_check_refuses_a_schema_before_anything_is_declared(stacks: Stacks, tmp_path: Path) -> None:
    stacks.deploy(SHOP)
    stacks.schemas = folder(tmp_path / "second", OrderPlaced=WITHOUT_ORDER)
    asked = dict(stacks_of(SHOP, stacks.region, stacks.schemas))["cell"]
    answer = stacks.ask(CHECK, "cell", asked)
    assert answer["Status"] == "FAILED"
    assert "OrderPlaced.json" in answer["Reason"]


@pytest.mark.parametrize("order", [(HOME, AWAY), (AWAY, HOME)])
def test_the_stack_of_the_tables_refuses_a_schema_before_any_cell_has_changed(
    tmp_path: Path, order: tuple[str, ...]
) -> None:
    turned = Topology(
        replace(SHOP.definition, streams={STREAM: replace(SHOP.definition.streams[STREAM], regions=order)})
    )
    home = Stacks(MemoryFabric(turned), schemas=folder(tmp_path / "first", OrderPlaced=PLACED))
    away = Stacks(home.fabric, AWAY, schemas=home.schemas)
    assert [home.deploy(turned), away.deploy(turned)] == ["", ""]
    before = dict(home.asked)
    home.schemas = folder(tmp_path / "second", OrderPlaced=WITHOUT_ORDER)
    assert "OrderPlaced.json" in home.deploy(turned)
    assert home.asked == before


def test_a_check_comes_before_the_table_only_where_its_stream_is_new(stacks: Stacks) -> None:
    def missing(stream: StreamTopology) -> Log:
        raise LastingError("Query", "requested resource not found", "missing")

    asked = dict(stacks_of(SHOP, stacks.region, stacks.schemas))["cell"]
    stacks.log_of = missing
    assert stacks.ask(CHECK, "cell", asked)["Status"] == "SUCCESS"
    stacks.log_of = None
    assert stacks.deploy(SHOP) == ""
    stacks.log_of = missing
    again = json.dumps({**json.loads(asked), "again": "a restored table"})
    assert "no table" in stacks.ask(CHECK, "cell", again)["Reason"]


def test_a_zip_without_the_folder_says_so_in_one_sentence(stacks: Stacks, tmp_path: Path) -> None:
    stacks.synthesised_with, stacks.schemas = stacks.schemas, SchemaFolder(tmp_path / "nowhere")
    assert "deploy again" in stacks.deploy(SHOP)
