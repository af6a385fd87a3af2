"""Commands that write files, on a full disk: each file is as it was, and the complaint names it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventfabric.local import LocalFabric
from tests.local.test_cli_schemas import PLACED, Project
from tests.support.command_line import CommandLine
from tests.support.full_disk import full_disk

PAYLOAD = """
from typing import TypedDict

class Order(TypedDict):
    order: str
"""


@pytest.fixture
def project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    project = Project(tmp_path, CommandLine(capsys, monkeypatch))
    project.write("OrderPlaced", PLACED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with LocalFabric(project.definition):
        yield project


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("bytes_max", [0, 20])
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("schemas", "types", "--output", "payloads.py"), "payloads.py"),
        (("schemas", "from", "payload_of_full_disk:Order", "--stream", "orders"), "Order.json"),
        (("schemas", "pull", "--folder", "pulled"), "OrderPlaced.json"),
        (("catalogue", "--output", "book"), "index.html"),
        (("catalogue", "--asyncapi", "asyncapi.json"), "asyncapi.json"),
    ],
)
def test_what_was_there_stays(
    project: Project, arguments: tuple[str, ...], named: str, bytes_max: int
) -> None:
    folder = project.folder
    (folder / "payload_of_full_disk.py").write_text(PAYLOAD)
    for old in ("payloads.py", "asyncapi.json", "infra/schemas/orders/Order.json"):
        (folder / old).write_text("{}")
    (folder / "pulled/orders").mkdir(parents=True)
    (folder / "pulled/orders/OrderPlaced.json").write_text(json.dumps({"type": "object"}))
    before = files(folder)
    with full_disk(bytes_max):
        refused = project.cli.run(
            *arguments,
            *(("--overwrite",) if "pull" in arguments else ()),
            "--definition",
            project.definition,
            *(() if "from" in arguments else ("--region", "eu-west-1")),
        )
    assert refused.code == 2
    assert named in refused.err
    assert files(folder) == before
