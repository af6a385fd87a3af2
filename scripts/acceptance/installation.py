"""A version of the library as its users have it: installed from the wheel, with a project made by `eventfabric new`."""

import io
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from scripts.acceptance.target import AcceptanceError, Person, Target
from scripts.install import ROOT
from tests.packaging.distributions import build
from tests.packaging.environment import LIBRARY, Environment, installed

REQUIREMENTS = (f"{LIBRARY}[cli,infra]", "pip")
"""A new project's group `deploy`, without what only its tests need. pip fetches what goes into the zip."""
STAGE = """
import sys
from pathlib import Path
from eventfabric.cdk.functions_zip import functions_zip
from eventfabric.cdk.wheels import CACHE
from eventfabric.definition.file import read_definition
path = Path("infra/fabric.toml")
folders = {"functions": Path("functions"), "target": Path("staged"), "cache": CACHE}
functions_zip(read_definition(path), **folders, platform=sys.argv[1], where=str(path))
"""
"""A program for the version in the environment, so that it uses nothing that versions do not share."""


class Commands:
    """Commands of one thread, one after the other, which another thread may stop."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: subprocess.Popen[str] | None = None
        self._stopped = False

    def run(self, command: Sequence[str], *, folder: Path, environment: dict[str, str] | None = None) -> str:
        """Run a command and return its standard output. Raises AcceptanceError if it fails or was stopped."""
        with self._lock:
            self.go_on()
            self._running = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        output, errors = self._running.communicate()
        if self._running.returncode != 0:
            name = " ".join(command[:3])
            raise AcceptanceError(
                f"{name}: ended with {self._running.returncode}: {(output + errors)[-3000:]}"
            )
        return output

    def go_on(self) -> None:
        """Raise AcceptanceError if all was stopped."""
        if self._stopped:
            raise AcceptanceError("stopped")

    def stop(self) -> None:
        """Kill the command that runs, and run none from now on."""
        with self._lock:
            self._stopped = True
            if self._running is not None:
                self._running.kill()


class Installation:
    """An environment of its own, with a wheel and nothing of this checkout, and a project that is made there."""

    def __init__(self, source: Path, folder: Path, *, target: Target, commands: Commands) -> None:
        """Build the wheel of a source tree, and install it.

        Args:
            source: folder of the source tree.
            folder: folder for all that is made.
            target: what the project's commands talk to.
            commands: where they are run.
        """
        self._target, self._commands = target, commands
        wheel, _ = build(folder / "dist", project=source)
        self._environment: Environment = installed(wheel, folder, REQUIREMENTS)
        self._folder, self.project = folder, folder / "project"
        # The CDK's command line, which this clone has fetched already, and the user's AWS profiles.
        for program in (ROOT / "build").glob("cdk-*"):
            (folder / ".cache" / "eventfabric" / program.name).symlink_to(program)
        (folder / ".aws").symlink_to(Path.home() / ".aws")

    def make(self, name: str, region: str) -> None:
        """Make the project: a fabric of this name, in one Region."""
        where = ["--region", region, "--folder", str(self.project)]
        self._run(["eventfabric", "new", name, *where], self._folder)

    def deploy(self) -> None:
        """Deploy the project by its own command."""
        context = ["--context", f"account={self._target.account}"]
        if self._target.is_emulator:
            context += ["--context", "platform=host"]
        self._run(["eventfabric", "deploy", "--all", "--require-approval", "never", *context], self.project)

    def destroy(self) -> None:
        """Delete what was deployed, without synthesising it again."""
        self._run(["eventfabric", "destroy", "--all", "--force", "--app", "cdk.out"], self.project)

    def run(self, command: Sequence[str], person: Person) -> str:
        """Run a program of the environment in the project, as a person, and return its standard output."""
        return self._run(command, self.project, person)

    def deployed_code(self) -> bytes:
        """Zip the functions' code as it was deployed last."""
        [folder] = [path for path in (self.project / "cdk.out").glob("asset.*") if path.is_dir()]
        return _zipped(folder)

    def code(self) -> bytes:
        """Zip the functions' code as a deployment would. That would take ten times as long."""
        platform = "host" if self._target.is_emulator else "lambda"
        self._run(["python", "-c", STAGE, platform], self.project)
        return _zipped(self.project / "staged")

    def _run(self, command: Sequence[str], folder: Path, person: Person | None = None) -> str:
        inherited = self._target.process_environment(None if person is None else person.credentials)
        environment = {
            **{name: value for name, value in inherited.items() if not name.startswith("PYTHON")},
            "HOME": str(self._folder),
            "CDK_HOME": str(self._folder / "cdk-home"),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "NO_COLOR": "1",
        }
        program = self._environment.folder / "bin" / command[0]
        return self._commands.run([str(program), *command[1:]], folder=folder, environment=environment)


def _zipped(folder: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return content.getvalue()
