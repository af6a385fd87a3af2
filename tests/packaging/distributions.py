"""Builds of the project: wheel and source distribution, by the build backend of this environment, without network."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from scripts.install import ROOT

EPOCH = 1_767_225_600
"""Time of a build, in seconds, for those that compare builds."""
PACKAGE = ROOT / "functions" / "eventfabric"


def build(folder: Path, *, project: Path = ROOT, **environment: str) -> tuple[Path, Path]:
    """Build a project into a folder, and return wheel and source distribution."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    ran = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    [wheel] = folder.glob("*.whl")
    [source] = folder.glob("*.tar.gz")
    return wheel, source


def names_in(archive: Path) -> list[str]:
    """List the files of a wheel or a source distribution, without the latter's common folder."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.namelist()
    with tarfile.open(archive) as source:
        return [name.partition("/")[2] for name in source.getnames()]
