"""The schema and the reference page of the definition: they describe every key, and are up to date."""

import tomllib
from pathlib import Path
from typing import Annotated

import jsonschema
import pytest
from annotated_types import Interval, Len

from eventfabric.definition import reference as definition_reference
from eventfabric.definition.guarantee import Guarantee
from eventfabric.definition.marks import Pattern
from eventfabric.definition.reference import allowed, annotation_at, json_schema
from eventfabric.definition.schema import Stream, Subscription
from eventfabric.definition.sections import Slo

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "infra" / "fabric.toml"
REGENERATE = "python -m eventfabric.definition.reference infra/fabric.schema.json docs/definition.md"
FABRIC = '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n'
STREAM = FABRIC + "[streams.orders]\n"
NAME = Annotated[str, Pattern("^[a-z]+$", "small letters")]


def test_the_schema_accepts_the_sample_and_refuses_what_the_file_refuses() -> None:
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


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (str, "text"),
        (bool | None, "true or false"),
        (Annotated[int, Interval(ge=1, le=9)], "a whole number from 1 to 9"),
        (Guarantee, '"at_most_once" or "at_least_once" or "exactly_once"'),
        (Annotated[tuple[NAME, ...], Len(1)], "a list of at least one, each small letters"),
        (Slo, "a table with: latency_ms, on_time_ratio, days"),
        (Annotated[dict[NAME, Slo], Len(1)], "tables with names of their own, at least one"),
        (dict[NAME, tuple[str, ...]], "a table: small letters = a list, each text"),
        (Annotated[dict[str, bool], Len(1)], "a table of at least one: text = true or false"),
    ],
)
def test_what_an_annotation_allows_is_said_in_words(annotation: object, words: str) -> None:
    assert allowed(annotation) == words


def test_a_path_leads_to_the_annotation_of_a_value_or_of_a_name() -> None:
    assert annotation_at(("subscriptions", "billing")) is Subscription
    assert annotation_at(("streams", "orders")) is Stream
    assert allowed(annotation_at(("streams", "orders", "[key]"))).startswith("1 to 28 lower-case letters")
    assert annotation_at(("streams", "orders", "nothing")) is object
