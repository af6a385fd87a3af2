"""Schemas in the functions' zip: in canonical text, with the validator only where a subscription needs it."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from eventfabric.cdk import functions_zip as module
from eventfabric.cdk.functions_zip import FunctionsZip, functions_zip
from eventfabric.cdk.staging import stage
from eventfabric.cdk.twin import interpreter
from eventfabric.cdk.wheels import LAMBDA, unpacked_wheels
from eventfabric.cli.main import app
from eventfabric.contracts.document import SchemaDocument, read_schema
from eventfabric.contracts.folder import SchemaFolder
from eventfabric.definition.file import parse_definition, read_definition
from eventfabric.definition.schema import Definition
from eventfabric.deployment.shipped import LOCK, lock_for, pins_of
from eventfabric.errors import DefinitionError, InvalidSchemaError, SettingError
from eventfabric.resources import DEPLOYED_SCHEMAS
from infra.app import WHEELS
from tests.infra.deployed import command
from tests.support.projects import make_project, refused_by_check
from tests.support.schema_folders import PLACED, written

ARM64 = 0xB7
"""The machine in the header of a library for it."""
_VALIDATED = """
from pathlib import Path
from eventfabric.definition.schema import Subscription
from eventfabric.errors import UnfitPayloadError
from eventfabric.model import Event
from eventfabric.sdk.schemas import validation_of
own = Subscription(name="billing", stream="orders", handler="a:b", validate=True)
validate = validation_of(own, Path({folder!r}))
validate(Event(type="placed", key="k", data={{"order": "A", "more": 1}}))
try:
    validate(Event(type="placed", key="k", data={{"order": 1}}))
except UnfitPayloadError as error:
    print([problem.path for problem in error.problems])
"""


def documents(**schemas: Any) -> Mapping[str, Mapping[str, SchemaDocument]]:
    """Return schemas of `placed`, by stream."""
    return {
        stream: {"placed": read_schema(json.dumps(schema, indent=4), where=stream)}
        for stream, schema in schemas.items()
    }


def definition(*, validate: bool = False, publishes: str = "") -> Definition:
    return parse_definition(f"""
        [fabric]
        name = "shop"
        regions = ["us-east-1"]
        [streams.orders]
        [streams.invoices]
        [subscriptions.billing]
        stream = "orders"
        handler = "any.module:handle"
        validate = {str(validate).lower()}
        publishes = [{publishes}]
    """)


def staged(folder: Path, schemas: Mapping[str, Mapping[str, SchemaDocument]], **files: str) -> str:
    functions = folder / "functions"
    for name, content in files.items():
        (functions / DEPLOYED_SCHEMAS / name).parent.mkdir(parents=True, exist_ok=True)
        (functions / DEPLOYED_SCHEMAS / name).write_text(content, encoding="utf-8")
    own = functions if files else None
    return stage(definition(), functions=own, target=folder / "zip", wheels=None, schemas=schemas)


def test_a_function_finds_each_schema_as_the_project_has_it(tmp_path: Path) -> None:
    schemas = documents(orders=PLACED, invoices=True)
    staged(tmp_path, schemas)
    assert SchemaFolder(tmp_path / "zip" / DEPLOYED_SCHEMAS).documents() == schemas


def test_another_schema_makes_another_zip_and_another_layout_of_its_text_none(tmp_path: Path) -> None:
    before = staged(tmp_path, documents(orders=PLACED))
    respaced = read_schema(json.dumps(dict(reversed(PLACED.items()))), where="orders")
    assert staged(tmp_path, {"orders": {"placed": respaced}}) == before
    assert staged(tmp_path, documents(orders=True)) != before
    assert staged(tmp_path, {}) != before


def test_nothing_of_the_users_may_lie_where_the_schemas_do(tmp_path: Path) -> None:
    with pytest.raises(SettingError):
        staged(tmp_path, {}, own="{}")


@pytest.mark.parametrize(
    ("settings", "streams", "brings"),
    [
        ({}, ("orders", "invoices"), False),
        ({"validate": True}, ("orders",), True),
        ({"validate": True}, ("invoices",), False),
        ({"publishes": '"invoices"'}, ("invoices",), True),
        ({"publishes": '"invoices"'}, ("orders",), False),
    ],
)
def test_the_validator_comes_along_only_if_a_subscription_needs_it(
    settings: dict[str, Any], streams: tuple[str, ...], brings: bool
) -> None:
    lock = lock_for(definition(**settings), streams)
    assert ("jsonschema-rs" in lock.read_text(encoding="utf-8")) is brings


def test_beside_the_validator_the_zip_holds_the_same_packages() -> None:
    lock = lock_for(definition(validate=True), ("orders",))
    pins, more = (set(pins_of(path.read_text(encoding="utf-8")).split()) for path in (LOCK, lock))
    assert pins < more
    assert {pin.partition("==")[0] for pin in more - pins} == {"jsonschema-rs"}


def test_a_subscription_that_validates_events_without_schemas_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("unpacked_wheels", "compiler_for", "check_handlers", "check_twin"):
        monkeypatch.setattr(module, part, lambda *_, **__: None)

    def zipped(schemas: Mapping[str, Mapping[str, SchemaDocument]]) -> FunctionsZip:
        return functions_zip(
            definition(validate=True),
            functions=None,
            schemas=schemas,
            target=tmp_path / "zip",
            cache=tmp_path,
            platform="host",
            where="fabric.toml",
        )

    for schemas in ({}, documents(invoices=PLACED)):
        with pytest.raises(DefinitionError) as refused:
            zipped(schemas)
        assert [problem.path for problem in refused.value.problems] == ["subscriptions.billing.validate"]
    assert not zipped(documents(orders=PLACED)).warnings.get("schemas")


def test_the_validator_in_the_zip_is_that_of_lambdas_processor() -> None:
    lock = lock_for(definition(validate=True), ("orders",))
    wheels = unpacked_wheels(None, cache=WHEELS, platform=LAMBDA, lock=lock)
    [library] = (wheels / "jsonschema_rs").glob("*.so")
    assert library.read_bytes()[18] == ARM64


def test_the_zip_validates_with_nothing_beside_it(tmp_path: Path) -> None:
    lock = lock_for(definition(validate=True), ("orders",))
    wheels = unpacked_wheels(None, cache=WHEELS, platform=interpreter().platform, lock=lock)
    target = tmp_path / "zip"
    stage(definition(), functions=None, target=target, wheels=wheels, schemas=documents(orders=PLACED))
    code = _VALIDATED.format(folder=str(target / DEPLOYED_SCHEMAS))
    ended = subprocess.run(command(code, target), capture_output=True, text=True, check=False)
    assert (ended.stderr, ended.stdout) == ("", "['data/order']\n")


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_a_handler_of_validated_events_is_tried_with_wheels_of_this_machine(
    architecture: str, tmp_path: Path
) -> None:
    source = {"billing.py": "def charge(event, delivery): ...\n"}
    path = make_project(tmp_path, source, handler="billing:charge", more="validate = true\n")
    staged = functions_zip(
        read_definition(path),
        functions=tmp_path / "functions",
        schemas=documents(orders=PLACED),
        target=tmp_path / "zip",
        cache=WHEELS,
        platform="lambda",
        architecture=architecture,
        where=str(path),
    )
    assert "handlers" not in staged.warnings
    assert list((staged.path / "jsonschema_rs").glob("*.so"))


def test_the_command_line_finds_what_is_wrong_with_schemas_before_a_deployment(tmp_path: Path) -> None:
    handler = {"billing.py": "def charge(event, delivery): ...\n"}
    definition = make_project(tmp_path, handler, handler="billing:charge", more="validate = true\n")
    assert "subscriptions.bill.validate" in refused_by_check(definition)
    written(definition.parent / "schemas", {"orders/placed": {"type": "text"}})
    ended = CliRunner().invoke(app, ["definition", "check", str(definition)])
    assert isinstance(ended.exception, InvalidSchemaError)
    assert "orders/placed.json" in str(ended.exception)
    written(definition.parent / "schemas", {"orders/placed": PLACED})
    assert refused_by_check(definition) == ""


def test_the_command_line_finds_a_stream_that_requires_schemas_without_any(tmp_path: Path) -> None:
    handler = {"billing.py": "def charge(event, delivery): ...\n"}
    definition = make_project(tmp_path, handler, handler="billing:charge", more='types = ["paid"]\n')
    text = definition.read_text(encoding="utf-8")
    definition.write_text(text.replace("[streams.orders]", '[streams.orders]\nschemas = "required"'))
    assert "streams.orders.schemas" in refused_by_check(definition)
    written(definition.parent / "schemas", {"orders/placed": PLACED})
    checked = CliRunner().invoke(app, ["definition", "check", str(definition), "--json"])
    [warning] = json.loads(checked.output)["types_without_schemas"]
    assert warning.endswith(": paid")
