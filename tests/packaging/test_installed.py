"""The library as it is installed, with nothing of this checkout: what ships is what was installed."""

import subprocess
from pathlib import Path

from scripts.install import ROOT
from tests.packaging.distributions import PACKAGE
from tests.packaging.environment import Environment

CHECK = """
import eventfabric
from eventfabric.cdk.library import installation, imported_package, shipped_files
print(eventfabric.__file__, len(list(shipped_files(installation(), imported_package()))))
"""


def test_what_ships_is_what_was_installed(environment: Environment, tmp_path: Path) -> None:
    ran = environment.run("python", "-c", CHECK, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.split()[0]) == environment.packages / "eventfabric" / "__init__.py"


def test_a_file_of_the_installation_that_was_changed_is_refused_by_name(
    environment: Environment, tmp_path: Path
) -> None:
    file = environment.packages / "eventfabric" / "limits.py"
    before = file.read_bytes()
    file.write_bytes(before + b"# changed\n")
    try:
        ran = environment.run("python", "-c", CHECK, folder=tmp_path)
    finally:
        file.write_bytes(before)
    assert f"LibraryError: {file}: found content that is not what was installed" in ran.stderr


def test_a_folder_of_its_name_beside_the_project_is_refused(environment: Environment, tmp_path: Path) -> None:
    copy = tmp_path / "eventfabric"
    subprocess.run(["cp", "-r", str(PACKAGE), str(copy)], check=True)
    ran = environment.run("python", "-c", CHECK, folder=tmp_path)
    assert f"LibraryError: {copy}: found a library that was not installed there" in ran.stderr
    assert str(ROOT) not in ran.stderr.splitlines()[-1]
