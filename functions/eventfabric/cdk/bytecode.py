"""Bytecode in the zip. A function cannot keep any that it makes, so without it each cold start compiles all anew.

Only the Python of the functions' own version makes bytecode that they can use. It is looked for on this machine, and
where there is none, the zip has no bytecode, which the deployment says in a warning.
"""

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from os.path import expanduser
from pathlib import Path
from shutil import which

from eventfabric.errors import EventFabricError

_SCRIPT = Path(__file__).with_name("compile_modules.py")
_SAYS_VERSION = "import platform as p; print(p.python_implementation(), p.python_version())"


class BytecodeError(EventFabricError):
    """The Python that was chosen to make bytecode cannot make it."""


@dataclass(frozen=True)
class Compiler:
    """A Python of this machine that makes bytecode; its version in full, such as 3.13.0."""

    path: str
    version: str

    def compile(self, folder: Path) -> None:
        """Put bytecode beside all modules in a folder that have none. Raises BytecodeError."""
        command = [self.path, "-I", "-S", "-B", "-W", "ignore", str(_SCRIPT), str(folder)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            raise BytecodeError(f"{self.path} makes no bytecode: {ran.stderr.strip()[-500:]}")


def compiler_for(python: str) -> Compiler | None:
    """Find a Python of a version such as `3.13`: the one that runs this, one on PATH, or one of pyenv's or uv's."""
    for candidate in _candidates(python):
        if (version := _version_of(candidate)).startswith(f"{python}."):
            return Compiler(candidate, version)
    return None


@cache  # a shim of pyenv's takes its time, above all to say that it finds nothing
def _version_of(candidate: str) -> str:
    """Ask a program for the version of CPython that it is; empty if it is none."""
    command = [candidate, "-I", "-S", "-c", _SAYS_VERSION]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    implementation, _, version = ran.stdout.strip().partition(" ")
    return version if ran.returncode == 0 and implementation == "CPython" else ""


def _candidates(python: str) -> list[str]:
    if python == "{}.{}".format(*sys.version_info):
        return [sys.executable]
    name, home = f"python{python}", Path(expanduser("~"))  # stays `~` for whoever has no home
    pyenv = home / ".pyenv" / "versions"
    uv = home / ".local" / "share" / "uv" / "python"
    kept = [*pyenv.glob(f"{python}.*/bin/{name}"), *uv.glob(f"cpython-{python}.*/bin/{name}")]
    return [path for path in (which(name), *map(str, sorted(kept))) if path is not None]
