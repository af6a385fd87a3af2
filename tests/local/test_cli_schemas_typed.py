"""`eventfabric schemas from` and `types`: files for classes and classes for files, and checks of both for CI."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine

DEFINITION = """
[fabric]
name = "shop"
regions = ["us-east-1"]
[streams.orders]
"""
PAYLOADS = """
from dataclasses import dataclass

@dataclass
class OrderPlaced:
    '''An order was placed.'''

    order: str
    '''Its number.'''
    note: str | None = None
"""
CLASS = "payloads_of_cli:OrderPlaced"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    (tmp_path / "infra").mkdir()
    (tmp_path / "functions").mkdir()
    (tmp_path / "infra/fabric.toml").write_text(DEFINITION)
    (tmp_path / "functions/payloads_of_cli.py").write_text(PAYLOADS)
    monkeypatch.delitem(sys.modules, "payloads_of_cli", raising=False)
    command_line = CommandLine(capsys, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return command_line


def test_a_schema_is_printed_where_no_stream_is_named(cli: CommandLine, tmp_path: Path) -> None:
    printed = json.loads(cli.run("schemas", "from", CLASS).out)
    assert printed["description"] == "An order was placed."
    assert printed["properties"]["order"] == {"type": "string", "description": "Its number."}
    assert cli.run("schemas", "from", CLASS, "--json").json["schema"] == printed
    assert not (tmp_path / "infra/schemas").exists()


def test_a_schema_is_written_and_checked(cli: CommandLine, tmp_path: Path) -> None:
    of_order = ("schemas", "from", CLASS, "--stream", "orders")
    assert cli.run(*of_order, "--check").code == 1
    assert cli.run(*of_order).code == 0
    file = tmp_path / "infra/schemas/orders/OrderPlaced.json"
    assert cli.run(*of_order, "--check").code == 0
    file.write_text(json.dumps(json.loads(file.read_text())))
    assert cli.run(*of_order, "--check", "--json").json == {
        "file": str(file.relative_to(tmp_path)),
        "equal": True,
    }
    file.write_text('{"type": "object"}')
    refused = cli.run(*of_order, "--check")
    assert refused.code == 1
    assert "schemas from" in refused.err


def test_no_file_is_written_whose_name_differs_from_another_in_case_alone(
    cli: CommandLine, tmp_path: Path
) -> None:
    of_order = ("schemas", "from", CLASS, "--stream", "orders", "--type")
    assert cli.run(*of_order, "orderPlaced").code == 0
    assert "--type" in cli.refused(*of_order, "OrderPlaced", code=2)
    assert [file.name for file in (tmp_path / "infra/schemas/orders").iterdir()] == ["orderPlaced.json"]
    assert cli.run(*of_order, "orderPlaced").code == 0


@pytest.mark.parametrize("name", ["", "x" * 129])
def test_no_file_is_written_for_what_is_no_name_of_a_type(
    cli: CommandLine, tmp_path: Path, name: str
) -> None:
    for check in ((), ("--check",)):
        refused = cli.refused("schemas", "from", CLASS, "--stream", "orders", "--type", name, *check, code=2)
        assert "--type" in refused
    assert not (tmp_path / "infra/schemas").exists()


@pytest.mark.parametrize("stream", ["", "Orders", "../orders", "other"])
def test_no_file_is_written_for_what_is_no_stream(cli: CommandLine, tmp_path: Path, stream: str) -> None:
    there, of_class = set(tmp_path.rglob("*.[jt]*")), ("schemas", "from", CLASS, "--stream", stream)
    assert cli.run(*of_class).code == 2
    if stream != "other":  # which may be that of another definition
        assert "--stream" in cli.refused(*of_class, "--schemas", "elsewhere", code=2)
    assert set(tmp_path.rglob("*.[jt]*")) == there  # bytecode of the class may be written


@pytest.mark.parametrize(
    "command",
    [
        ("schemas", "from", CLASS, "--stream", "orders", "--schemas"),
        ("schemas", "types", "--schemas"),
        ("schemas", "types", "--output"),
        ("schemas", "try", "--stream", "orders", "--schemas"),
        ("schemas", "pull", "--folder"),
        ("catalogue", "--output"),
        ("catalogue", "--asyncapi"),
        ("new", "shop", "--folder"),
        ("simulate", "billing", "--out"),
    ],
    ids=" ".join,
)
def test_an_empty_path_is_not_the_current_folder(
    cli: CommandLine, tmp_path: Path, command: tuple[str, ...]
) -> None:
    there = set(tmp_path.rglob("*"))
    assert command[-1] in cli.run(*command, "").err
    assert cli.run(*command, "").code == 2
    assert set(tmp_path.rglob("*")) == there


def test_a_type_may_have_another_name_than_its_class(cli: CommandLine, tmp_path: Path) -> None:
    assert cli.run("schemas", "from", CLASS, "--stream", "orders", "--type", "order/placed").code == 0
    assert (tmp_path / "infra/schemas/orders/order%2Fplaced.json").is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        ("from", "nowhere:Class"),
        ("from", "payloads_of_cli:Nothing"),
        ("from", CLASS, "--stream", "unknown"),
        ("from", CLASS, "--check"),
        ("from", CLASS, "--type", "Order"),
        ("from", CLASS, "--schemas", "."),
        ("from", CLASS, "--stream", "orders", "--type", ""),
        ("types", "--check"),
        ("types", "--deployed", "--schemas", "."),
        ("types", "--schemas", "nowhere"),
        ("types", "--kind", "unknown"),
    ],
)
def test_what_cannot_be_done_is_refused(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    assert cli.run("schemas", *arguments).code == 2


def test_classes_are_printed_written_and_checked(cli: CommandLine, tmp_path: Path) -> None:
    cli.run("schemas", "from", CLASS, "--stream", "orders")
    printed = cli.run("schemas", "types").out
    assert "class OrderPlaced(Struct" in printed
    assert cli.run("schemas", "types", "--json").json == {"kind": "msgspec", "source": printed}
    output = ("schemas", "types", "--output", "payloads.py")
    assert cli.run(*output, "--check").code == 1
    assert cli.run(*output, "--json").json == {"file": "payloads.py", "kind": "msgspec", "types": 1}
    assert (tmp_path / "payloads.py").read_text() == printed
    assert cli.run(*output, "--check").code == 0
    assert cli.run(*output, "--check", "--kind", "dataclass").code == 1


def test_only_the_types_of_a_stream_are_written(cli: CommandLine) -> None:
    cli.run("schemas", "from", CLASS, "--stream", "orders")
    assert cli.run("schemas", "types", "--stream", "orders").code == 0
    assert cli.run("schemas", "types", "--stream", "refunds").code == 2


def test_what_a_schema_may_not_be_is_said_with_its_place(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "infra/schemas/orders").mkdir(parents=True)
    (tmp_path / "infra/schemas/orders/Wrong.json").write_text('{"nullable": true}')
    refused = cli.run("schemas", "types")
    assert refused.code == 2
    assert "Wrong.json" in refused.err
