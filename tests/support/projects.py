"""A user's project in a folder, and the three ways in which its handlers are refused: by test, check and synthesis."""

from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from eventfabric.cdk.functions_zip import functions_zip
from eventfabric.cli.main import app
from eventfabric.definition.file import read_definition
from eventfabric.errors import EventFabricError
from eventfabric.testing.local.fabric import LocalFabric
from infra.app import WHEELS

REGION = "eu-west-1"
DEFINITION = f"""
[fabric]
name = "shop"
regions = ["{REGION}"]
[streams.orders]
lanes = 1
[streams.payments]
lanes = 1
[subscriptions.bill]
stream = "orders"
handler = "HANDLER"
retry = {{ immediate = 0, attempts = 1 }}
"""


def make_project(folder: Path, files: dict[str, str], *, handler: str, more: str = "") -> Path:
    """Write a project whose folder `functions` has these files, and return the path of its definition.

    `more`: further keys of its subscription.
    """
    definition = folder / "infra" / "fabric.toml"
    named = {definition: DEFINITION.replace("HANDLER", handler) + more}
    named |= {folder / "functions" / name: content for name, content in files.items()}
    for path, content in named.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return definition


def refused_by_test(definition: Path, **arguments: Any) -> str:
    """Return what a test of a handler is refused with, which publishes one event; empty if nothing."""
    try:
        with LocalFabric(definition, **arguments) as fabric:
            fabric.region(REGION).publish("orders", key="a", type="Placed", data={"total": 1})
            fabric.settle()
    except (EventFabricError, PermissionError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def refused_by_check(definition: Path) -> str:
    """Return what `eventfabric definition check` refuses a definition with; empty if nothing."""
    ended = CliRunner().invoke(app, ["definition", "check", str(definition)])
    return ended.output if ended.exit_code else ""


def refused_by_synthesis(definition: Path, target: Path) -> str:
    """Return what making the functions' zip is refused with; empty if nothing."""
    functions = definition.parents[1] / "functions"
    try:
        functions_zip(
            read_definition(definition),
            functions=functions,
            target=target,
            cache=WHEELS,
            platform="lambda",
            where=str(definition),
        )
    except EventFabricError as error:
        return str(error)
    return ""
