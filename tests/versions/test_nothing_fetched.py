"""Nothing that ships fetches anything when it runs: no connection but those of boto3's clients, and no installer."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from eventfabric.cdk.library import imported_package
from eventfabric.deployment.shipped import SHIPPED
from tests.versions.player import Command, encoded
from tests.versions.turns import PLAYER, THIS, beginning

FETCHING: Final = {
    *(
        "asyncio.open_connection",
        "ensurepip",
        "ftplib",
        "http",
        "httpx",
        "pip",
        "requests",
        "smtplib",
        "socket",
    ),
    *("ssl", "subprocess", "telnetlib", "urllib.request", "urllib3", "venv", "webbrowser", "xmlrpc"),
}
"""Modules by which Python opens connections, or starts what does."""
WATCHED: Final = """
import sys
opened = []
REFUSED = (
    "ftplib.connect", "http.client.connect", "os.exec", "os.fork", "os.posix_spawn", "os.system", "smtplib.connect",
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "subprocess.Popen",
    "urllib.Request",
)

def watch(event, arguments):
    if event in REFUSED:
        opened.append([event, repr(arguments[1:])])
        if refuses:
            raise ConnectionRefusedError(f"{event} {arguments[1:]}")

refuses = True
sys.addaudithook(watch)
"""
IMPORTED: Final = """
import importlib, json
for module in {modules}:
    importlib.import_module(module)
print(json.dumps(opened))
"""
PLAYED: Final = """
import runpy
runpy.run_path({player!r}, run_name="__main__")
assert opened == []
"""
PUBLISHED: Final = """
import json
refuses = False
from eventfabric import Fabric
from eventfabric.errors import EventFabricError

Fabric.__init__.__kwdefaults__["append_timeout_seconds"] = 1.0  # the refusal is the same, and sooner
fabric = Fabric.from_definition("fabric.toml", region="us-east-1", endpoint_url="http://127.0.0.1:9")
try:
    fabric.publish("orders", key="a", type="Placed", data=1)
except EventFabricError as error:
    print(json.dumps([type(error).__name__, opened]))
"""
ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_REGION": "us-east-1",
    "PYTHONPATH": str(THIS.folder / "functions"),
}
PACKAGE: Final = imported_package()
FILES: Final = sorted(
    path for pattern in ("*.py", *(f"{name}/**/*.py" for name in SHIPPED)) for path in PACKAGE.glob(pattern)
)
BOUNDS_BOTO3: Final = {"socket.socket", "socket", "http.client", "http.client.HTTPResponse"}
"""Imports of aws/bounded_http.py, which bounds the answers on connections that boto3 has opened, and opens none."""


def ran(code: str, folder: Path, text: str = "") -> str:
    """Run code in a fresh interpreter that notes, or refuses, each connection and each process; return its output."""
    process = subprocess.run(
        [sys.executable, "-c", WATCHED + code],
        input=text,
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


def imports_of(path: Path) -> Iterator[str]:
    """Yield the names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_file_that_ships_imports_what_opens_connections() -> None:
    assert PACKAGE / "handlers" / "deliver.py" in FILES
    fetching = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in FILES
        for name in imports_of(path)
        if any(name == module or name.startswith(f"{module}.") for module in FETCHING)
    }
    # A custom resource answers CloudFormation at an address that the request names.
    answers = {("runtime/stack_answers.py", "urllib.request")}
    assert fetching == {("aws/bounded_http.py", name) for name in BOUNDS_BOTO3} | answers


def test_importing_all_that_ships_opens_nothing_and_starts_nothing(tmp_path: Path) -> None:
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in FILES]
    names = [name.removesuffix(".__init__") for name in names]
    assert json.loads(ran(IMPORTED.format(modules=names), tmp_path)) == []


def test_functions_and_producers_run_where_nothing_can_be_opened(tmp_path: Path) -> None:
    events = [["e1", "anna", "Placed"], ["e2", "bert", "Broken"]]
    commands: list[Command] = [
        ["publish", "us-east-1", events],
        ["publish", "us-east-1", [["o1", "anna", "Placed"]], True],
        ["settle"],
        ["reconcile", "us-east-1"],
    ]
    turn = {"state": beginning(), "commands": commands, "by": "this", "seed": 1}
    after = json.loads(ran(PLAYED.format(player=str(THIS.folder / PLAYER)), tmp_path, encoded(turn)))
    assert {event for _, _, event, *_ in after["handled"]} == {"e1", "e2", "o1"}


def test_a_producer_on_aws_connects_to_its_endpoint_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "fabric.toml").write_text(
        '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\n'
    )
    name, opened = json.loads(ran(PUBLISHED, tmp_path))
    connected: list[Any] = [where for event, where in opened if event == "socket.connect"]
    assert connected
    assert set(connected) == {"(('127.0.0.1', 9),)"}
    assert {event for event, _ in opened} <= {"http.client.connect", "socket.connect", "socket.getaddrinfo"}
    assert name.endswith("Error")


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
        "import subprocess, sys; subprocess.run([sys.executable, '-m', 'pip', '--version'])",
    ],
)
def test_what_does_fetch_is_noticed(code: str, tmp_path: Path) -> None:
    attempt = f"import json\ntry:\n    {code}\nexcept OSError:\n    pass\nprint(json.dumps(opened))"
    assert json.loads(ran(attempt, tmp_path).splitlines()[-1]) != []
