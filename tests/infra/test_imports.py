"""The check that all imports of a handler are in the functions' zip. It runs none of the code, and stops deployment."""

from pathlib import Path

import pytest

from eventfabric.cdk.staging import stage
from eventfabric.definition.file import parse_definition
from eventfabric.deployment.handler_checks import check_handlers
from eventfabric.deployment.requirements import requirements_in
from eventfabric.deployment.zip_modules import StagedModules
from eventfabric.errors import DefinitionError
from tests.support.messages import missing_from

UNION = """
from dataclasses import dataclass
from domain.events import Refunded

@dataclass
class Placed:
    id: str

Known = Placed | Refunded
def union(event: Placed | Refunded, delivery): ...
def alias(event: Known, delivery): ...
def several(events: list[Placed | Refunded], delivery): ...
def text(event: "Placed | Refunded", delivery): ...
def maybe(event: Placed | None, delivery): ...
def plain(event: dict | list, delivery): ...
def one(event: Placed, delivery): ...
"""
EVENTS = "from dataclasses import dataclass\n@dataclass\nclass Refunded:\n    id: str\n"


def refused(folder: Path, handler: str, files: dict[str, str], *, wheels: tuple[str, ...] = ()) -> str:
    """Return the message that refuses a handler among these files, staged beside these packages; empty: accepted."""
    functions, unpacked = folder / "functions", folder / "wheels"
    for root, named in ((functions, files), (unpacked, {f"{name}/__init__.py": "" for name in wheels})):
        root.mkdir(parents=True)
        for name, content in named.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    definition = parse_definition(
        f'[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\n'
        f'[subscriptions.mail]\nstream = "orders"\nhandler = "{handler}"\n'
    )
    target = folder / "zip"
    stage(definition, functions=functions, target=target, wheels=unpacked)
    try:
        check_handlers(definition, StagedModules(target, functions), functions=functions, where="fabric.toml")
    except DefinitionError as error:
        return str(error)
    return ""


def source(imports: str) -> str:
    return f"{imports}\ndef handle(event, delivery): ...\n"


@pytest.mark.parametrize(
    ("imports", "lacks"),
    [
        ("import pydantic", "pydantic"),
        ("from pydantic import BaseModel", "pydantic"),
        ("import pydantic.types as t", "pydantic.types"),
        ("if True:\n    import pydantic", "pydantic"),
        ("def later():\n    import pydantic", "pydantic"),
        ("try:\n    import pydantic\nexcept ValueError:\n    pass", "pydantic"),
        ("from . import gone", ""),
        ("from .gone import x", "warehouse.gone"),
        ("import eventfabric.testing.local", "eventfabric.testing.local"),
        ("import boto3", "boto3"),
        ("import json, os.path\nfrom eventfabric import Event", ""),
        ("try:\n    import pydantic\nexcept ImportError:\n    pydantic = None", ""),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pydantic", ""),
        ("from .tables import rows", ""),
        ("import warehouse.tables", ""),
    ],
)
def test_an_import_that_the_zip_lacks_is_refused_by_name(imports: str, lacks: str, tmp_path: Path) -> None:
    files = {
        "warehouse/__init__.py": "",
        "warehouse/handlers.py": source(imports),
        "warehouse/tables.py": "rows = 1\n",
    }
    message = refused(tmp_path, "warehouse.handlers:handle", files)
    facts = ["subscriptions.mail.handler", "module warehouse.handlers", f"imports {lacks}"] if lacks else []
    assert (missing_from(message, *facts), bool(message)) == ([], bool(lacks))


def test_what_comes_along_as_a_wheel_is_not_missing(tmp_path: Path) -> None:
    files = {"warehouse/handlers.py": source("from pydantic import BaseModel\nimport boto3")}
    assert refused(tmp_path, "warehouse.handlers:handle", files, wheels=("pydantic", "boto3")) == ""


def test_modules_that_the_handler_imports_of_its_own_are_looked_at_too(tmp_path: Path) -> None:
    files = {
        "warehouse/__init__.py": "",
        "warehouse/handlers.py": source("from domain.rows import Row"),
        "domain/__init__.py": "",
        "domain/rows.py": "from . import base\nclass Row: ...\n",
        "domain/base.py": "import numpy\n",
    }
    message = refused(tmp_path, "warehouse.handlers:handle", files)
    assert missing_from(message, "module domain.base", "imports numpy") == []


def test_a_package_of_the_fabrics_own_name_is_missed_where_it_is_not_staged(tmp_path: Path) -> None:
    files = {"eventfabric/orders.py": source("")}
    assert "no module eventfabric.orders" in refused(tmp_path, "eventfabric.orders:handle", files)


@pytest.mark.parametrize(
    ("handler", "needs"),
    [("union", True), ("alias", True), ("several", True), ("text", True)]
    + [(name, False) for name in ("maybe", "plain", "one")],
)
def test_a_payload_that_only_pydantic_distinguishes_asks_for_pydantic(
    handler: str, needs: bool, tmp_path: Path
) -> None:
    files = {"warehouse/h.py": UNION, "domain/events.py": EVENTS}
    output = refused(tmp_path / "without", f"warehouse.h:{handler}", files)
    assert ("pydantic tells which of several classes its payload is" in output, bool(output)) == (
        needs,
        needs,
    )
    assert refused(tmp_path / "with", f"warehouse.h:{handler}", files, wheels=("pydantic",)) == ""


def test_requirements_are_found_beside_packages_and_within_them_whatever_their_names(tmp_path: Path) -> None:
    for folder in (".", "warehouse", "subscribers", "a/b"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "requirements.txt").write_text("")
    paths = [path.relative_to(tmp_path).as_posix() for path in requirements_in(tmp_path)]
    assert paths == ["requirements.txt", "subscribers/requirements.txt", "warehouse/requirements.txt"]
