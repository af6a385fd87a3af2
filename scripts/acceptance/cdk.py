"""Calls of the CDK's command line."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from eventfabric.cdk.tools import InstallError
from scripts.acceptance.target import AcceptanceError, Target
from scripts.cdk_cli import cdk
from scripts.install import ROOT

SHOWN = ("--progress", "events", "--no-color")


class DeploymentFailedError(AcceptanceError):
    """A command of the CDK ended with a failure."""


class Cdk:
    """The pinned command line, on the Node that comes with the CDK's library, for one project and one target."""

    def __init__(self, target: Target, definition: Path, folder: Path, tell: Callable[[str], None]) -> None:
        self._target, self._definition, self._folder, self._tell = target, definition, folder, tell
        try:
            self._program = cdk()
        except InstallError as error:
            raise AcceptanceError(str(error)) from error

    def bootstrap(self, regions: list[str]) -> None:
        """Bootstrap the Regions, which every account needs once. Existing resources stay."""
        self._run(
            ["bootstrap", *(f"aws://{self._target.account}/{region}" for region in regions), "--app", ""]
        )

    def deploy(
        self, *stacks: str, synthesised: bool = False, concurrency: int = 1, exclusively: bool = False
    ) -> None:
        """Deploy the stacks that match the patterns, or all; `synthesised`: as they were synthesised last.

        `exclusively`: without those that they need.
        """
        app = self._synthesised() if synthesised else self._app()
        options = [
            *app,
            *(["--exclusively"] if exclusively else []),
            *_several(concurrency),
            "--require-approval",
            "never",
        ]
        self._run(["deploy", *(stacks or ["--all"]), *options])

    def adopt(self, *stacks: str, concurrency: int) -> None:
        """Adopt all that is retained, and deploy the stacks that match, as they were synthesised last.

        Runs `eventfabric`'s own command.
        """
        # It looks for the CDK's command line in the user's home.
        cache = self._folder / ".cache" / "eventfabric"
        cache.mkdir(parents=True, exist_ok=True)
        for program in (ROOT / "build").glob("cdk-*"):
            (cache / program.name).symlink_to(program)
        options = [*_several(concurrency), "--require-approval", "never", *SHOWN]
        command = ["deploy", "--adopt", *stacks, *self._synthesised(), *options]
        self._start([sys.executable, "-m", "eventfabric.cli.main", *command], "eventfabric deploy --adopt")

    def destroy(self, *, concurrency: int = 1) -> None:
        """Delete all stacks that were synthesised last."""
        self._run(["destroy", "--all", "--force", *self._synthesised(), *_several(concurrency)])

    def _synthesised(self) -> list[str]:
        return ["--app", str(self._folder / "cdk.out")]

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
        shown = SHOWN if arguments[0] == "deploy" else ()
        self._start([*self._program, *arguments, *shown], f"cdk {arguments[0]}")

    def _start(self, command: list[str], name: str) -> None:
        environment = {
            **self._target.process_environment(),
            # The command line caches what it knows about accounts in this folder.
            "CDK_HOME": str(self._folder / "cdk-home"),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "NO_COLOR": "1",
            "AWS_REGION": self._target.environment.get("AWS_REGION", "us-east-1"),
        }
        if command[0] == sys.executable:
            environment["HOME"] = str(self._folder)
        lines: list[str] = []
        with subprocess.Popen(
            command,
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    lines.append(line.rstrip())
                    self._tell(line.strip())
            except BaseException:  # also an interruption: otherwise Popen would wait for the process to end
                process.kill()
                raise
        if process.returncode != 0:
            raise DeploymentFailedError(f"{name} failed:\n" + "\n".join(lines[-40:]))


def _several(concurrency: int) -> list[str]:
    return ["--concurrency", str(concurrency)] if concurrency > 1 else []
