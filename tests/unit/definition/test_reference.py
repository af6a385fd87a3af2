"""The schema and the reference page of the definition: they describe every key, and are up to date."""

import tomllib
from pathlib import Path

import pytest

from eventfabric.definition import reference as definition_reference
from eventfabric.definition.reference import json_schema

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "infra" / "fabric.toml"
REGENERATE = "python -m eventfabric.definition.reference infra/fabric.schema.json docs/definition.md"
FABRIC = '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n'
STREAM = FABRIC + "[streams.orders]\n"


def test_the_schema_accepts_the_sample_and_refuses_what_the_file_refuses() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    validator.validate(tomllib.loads(SAMPLE.read_text(encoding="utf-8")))
    for wrong in ("lanes = 48", "lane = 64", 'name = "orders"', "retention_days = 0"):
        assert not validator.is_valid(tomllib.loads(STREAM + wrong)), wrong
    assert not validator.is_valid(tomllib.loads(FABRIC + "[streams.Orders]"))


def test_the_schema_describes_every_key() -> None:
    definitions = json_schema()["$defs"]
    assert isinstance(definitions, dict)
    for name, table in definitions.items():
        for key, described in table["properties"].items():
            assert described.get("description") or "$ref" in described, f"{name}.{key}"


def test_the_schema_file_and_the_reference_page_are_up_to_date() -> None:
    schema = (ROOT / "infra" / "fabric.schema.json").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "definition.md").read_text(encoding="utf-8")
    assert schema == definition_reference.schema_text(), REGENERATE
    assert page == definition_reference.definition_page(), REGENERATE


def test_the_sample_names_its_schema_for_editors() -> None:
    assert SAMPLE.read_text(encoding="utf-8").startswith("#:schema fabric.schema.json\n")
