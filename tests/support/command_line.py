"""A local fabric as a server, and the command line pointed at it."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from select import select
from typing import Any

import pytest
import typer

from tests.support.commands import ROOT, start

DEFINITION = ROOT / "infra/fabric.toml"
_PATIENCE_SECONDS = 60
_END_SECONDS = 15
_command_of = cache(typer.main.get_command)
"""Builds the commands once: a process runs only one, and building them takes longer than most of them."""


@dataclass(frozen=True)
class Ran:
    """Output and exit code of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@contextmanager
def local_up(folder: Path, *options: str, interpreted: bool = False) -> Iterator[str]:
    """`eventfabric local up` until the block ends, when it must end well; yields its endpoint URL."""
    errors = folder / "server.err"
    with errors.open("wb") as err:
        server = start(
            *("local", "up", "--port", "0", "--json", *options),
            stderr=err.fileno(),
            environment={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
            interpreted=interpreted,
        )
    assert server.stdout is not None
    try:
        # Its standard output is a pipe: the line must come without the server's end.
        assert select([server.stdout], [], [], _PATIENCE_SECONDS)[0], errors.read_text()
        yield json.loads(server.stdout.readline())["endpoint_url"]
    finally:
        server.send_signal(signal.SIGINT)
        try:
            code = server.wait(_END_SECONDS)
        finally:
            server.kill()
            server.stdout.close()
    assert (code, "Traceback" in errors.read_text()) == (0, False)


class CommandLine:
    """`eventfabric`, in this process: `run("lanes", "--json")`."""

    def __init__(self, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capture = capture
        self._patch = patch
        patch.setenv("AWS_ACCESS_KEY_ID", "local")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.delenv("AWS_REGION", raising=False)
        patch.setattr(typer.main, "get_command", _command_of)
        # A command leaves these otherwise: usually, its process ends with it.
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr(sys, "unraisablehook", sys.unraisablehook)
        patch.chdir(ROOT)

    def run(self, *arguments: str | Path) -> Ran:
        """Run to its end; never a traceback."""
        from eventfabric.cli.main import main

        self._capture.readouterr()
        self._patch.setattr(sys, "argv", ["eventfabric", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = self._capture.readouterr()
        assert "Traceback" not in said.err
        return Ran(code, said.out, said.err)

    def refused(self, *arguments: str | Path, code: int) -> str:
        """Run what must fail with this code and print nothing but one complaint; returns it."""
        result = self.run(*arguments)
        assert (result.code, result.out) == (code, ""), result
        assert result.err.startswith(("eventfabric: ", "Usage: "))
        return result.err


def copy_table(client: Any, table: str, to: str) -> None:
    """Restore a table to now, under another name, as a restoration to a point in time does."""
    client.create_table(
        TableName=to,
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "N"},
        ],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    for item in client.scan(TableName=table)["Items"]:
        client.put_item(TableName=to, Item=item)
