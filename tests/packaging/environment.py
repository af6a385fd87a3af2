"""An environment with the built wheel, with what some requirements bring, and with nothing else of this checkout."""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.utils import canonicalize_name

from infra.app import WHEELS
from tests.packaging.closure import closure

LIBRARY = "eventfabric-aws"
_UNPACKED_CDK = Path(".cache", "aws", "jsii", "package-cache")
"""The CDK's JavaScript, in a user's home."""


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

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def distributions(self) -> dict[str, Distribution]:
        """Return what is installed, by name."""
        return {
            canonicalize_name(package.name): package for package in distributions(path=[str(self.packages)])
        }

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the variables that its programs get: none that leads elsewhere."""
        taken = {name: os.environ[name] for name in ("PATH", "CDK_VALIDATION")}
        return {**taken, "HOME": str(self.home), **(more or {})}

    def run(
        self, program: str, *arguments: str, folder: Path, variables: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run one of its programs in a folder."""
        return subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd=folder,
            env=self.variables(variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )


def installed(wheel: Path, home: Path, requirements: Iterable[str]) -> Environment:
    """Make an environment with the wheel, and with those packages of this one that the requirements bring.

    Its user has fetched the wheels of the functions' zip before, and has used the CDK.
    """
    environment = Environment(home / "environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment.folder], check=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        environment.python,
        "--disable-pip-version-check",
        "install",
    ]
    offline = ("--quiet", "--no-index", "--no-deps", "--no-compile", str(wheel))
    subprocess.run([*pip, *offline], check=True)
    library = environment.distributions()[LIBRARY]

    def find(name: str) -> Distribution:
        return library if canonicalize_name(name) == LIBRARY else distribution(name)

    for name in closure(requirements, find=find) - {LIBRARY}:
        _link(distribution(name), environment.packages)
    _share(WHEELS, home / ".cache" / "eventfabric" / "wheels")
    _share(Path.home() / _UNPACKED_CDK, home / _UNPACKED_CDK)
    return environment


def _share(cache: Path, link: Path) -> None:
    """Give a home a cache of ours."""
    cache.mkdir(parents=True, exist_ok=True)
    link.parent.mkdir(parents=True)
    link.symlink_to(cache)


def _link(package: Distribution, packages: Path) -> None:
    """Link the files and folders of a distribution. Several may share a folder, such as `opentelemetry`."""
    for name in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
        if not (packages / name).exists():
            (packages / name).symlink_to(str(package.locate_file(name)))
