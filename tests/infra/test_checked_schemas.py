"""Schemas in the templates: which stacks have them checked, and which one registers them."""

import json
from pathlib import Path

from eventfabric.definition.file import parse_definition
from eventfabric.resources import ASKED, CHECK, DECLARE
from tests.infra.synthesis import declare, new_app

DEFINITION = """
[fabric]
name = "shop"
regions = ["us-east-1", "eu-west-1"]
[streams.orders]
[streams.turned]
regions = ["eu-west-1", "us-east-1"]
[streams.away]
regions = ["eu-west-1"]
"""


def test_schemas_are_checked_with_the_tables_and_registered_in_the_streams_first_region(
    tmp_path: Path,
) -> None:
    digests = {"orders": "a", "turned": "b", "away": "c"}
    app = new_app(tmp_path / "out")
    stacks = declare(app, parse_definition(DEFINITION), tmp_path / "code", alone=False, schemas=digests)
    from aws_cdk.assertions import Template

    asked = {
        (name, kind): [
            json.loads(own["Properties"][ASKED]).get("schemas", {})
            for own in Template.from_stack(stack).find_resources(kind).values()
        ]
        for part, of in (("log", stacks.logs), ("cell", stacks.cells))
        for name, stack in ((f"{part} {region}", stack) for region, stack in of.items())
        for kind in (CHECK, DECLARE)
    }
    home, away = {"orders": "a"}, {"turned": "b", "away": "c"}
    assert asked == {
        ("log us-east-1", CHECK): [{"orders": "a", "turned": "b"}],
        ("log us-east-1", DECLARE): [],
        ("log eu-west-1", CHECK): [{"away": "c"}],
        ("log eu-west-1", DECLARE): [],
        **{("cell us-east-1", kind): [home] for kind in (CHECK, DECLARE)},
        **{("cell eu-west-1", kind): [away] for kind in (CHECK, DECLARE)},
    }
