"""An environment in which the built wheel is installed, with the packages of this one, and nothing of this checkout."""

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Environment:
    """The environment, in the home of whoever uses it."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder.parent

    @property
    def packages(self) -> Path:
        [packages] = self.folder.glob("lib/python*/site-packages")
        return packages

    def run(self, program: str, *arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
        """Run one of its programs in a folder, with no variables that lead elsewhere."""
        return subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


def installed(wheel: Path, home: Path) -> Environment:
    """Make the environment. The packages that the wheel needs are those of this environment."""
    environment = Environment(home / "environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment.folder], check=True)
    python = str(environment.folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install"]
    offline = ("--quiet", "--no-index", "--no-deps", "--no-compile", str(wheel))
    subprocess.run([*pip, *offline], check=True)
    # Of a folder on the path that is named in a .pth, the .pth files in it are not read.
    (environment.packages / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return environment
