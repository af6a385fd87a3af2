"""Schemas on the command line: `publish` holds events to those beside the definition, one event or a file of them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine, local_up
from tests.support.schema_folders import PLACED, written

US = "us-east-1"
DEFINITION = f'[fabric]\nname = "shop"\nregions = ["{US}"]\n[streams.orders]\nlanes = 1\n'
SECRET = "opensesame"


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    folder = tmp_path_factory.mktemp("shop")
    definition = folder / "fabric.toml"
    definition.write_text(DEFINITION, encoding="utf-8")
    written(folder / "schemas", {"orders/placed": PLACED})
    with local_up(folder, "--definition", str(definition)) as url:
        yield "--definition", str(definition), "--endpoint-url", url


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(capsys, monkeypatch)


def line(data: object, **more: str) -> str:
    event = {"specversion": "1.0", "id": "e", "source": "/s", "type": "placed", "subject": "k", "data": data}
    return json.dumps({**event, **more}) + "\n"


def test_one_event_is_refused_by_pointer_and_rule(cli: CommandLine, options: tuple[str, ...]) -> None:
    publish = ("publish", "orders", "--key", "k", "--type", "placed", *options)
    assert cli.run(*publish, "--data", '{"order": "A-1"}').code == 0
    refused = cli.refused(*publish, "--data", json.dumps({"order": 1, "card": SECRET}), code=2)
    assert "data/order" in refused
    assert SECRET not in refused


def test_of_a_file_the_lines_that_do_not_fit_are_named_and_the_others_published(
    cli: CommandLine, options: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(line({"order": "A"}) + line({"order": SECRET, SECRET: 1}) + line([], type="other"))
    publish = ("publish", "orders", "--events", str(file), *options)
    strict = cli.run(*publish, "--strict")
    assert (strict.code, strict.out) == (1, "0 published, 1 malformed, 0 failed\n")
    ran = cli.run(*publish, "--json")
    assert (ran.code, ran.json) == (1, {"published": 2, "malformed": 1, "failed": []})
    for complaint in (strict.err, ran.err):
        assert f"{file}:2: data" in complaint
        assert SECRET not in complaint


def test_a_file_that_names_another_schema_is_refused(
    cli: CommandLine, options: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(line({"order": "A"}, dataschema="urn:other"))
    assert "headers.dataschema" in cli.run("publish", "orders", "--events", file, *options).err
