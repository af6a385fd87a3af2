"""Wheels of the user's own: a change of any file that asks for them is shipped, and none takes another's place."""

import os
import shutil
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from eventfabric.cdk.wheels import HOST, WheelsError, unpacked_wheels
from eventfabric.errors import SettingError


def wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """Make a wheel with these files."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    information = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as made:
        for file, content in files.items():
            made.writestr(file, content)
        made.writestr(f"{information}/RECORD", "".join(f"{file},,\n" for file in files))
    return path


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of functions. The only index is the folder `index` beside it."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    for version in ("1", "2"):
        wheel(tmp_path / "index", "rows", version, {"rows.py": f"VERSION = {version}\n"})
    (tmp_path / "functions").mkdir()
    return tmp_path / "functions"


def unpacked(functions: Path) -> Path:
    """Unpack wheels beside one that the fabric itself brings, which is made once."""
    lock = functions.parent / "lock.txt"
    if not lock.exists():
        own = wheel(functions.parent / "own", "shelves", "1", {"shelves.py": "OWN = 1\n"})
        lock.write_text(f"shelves @ file://{own} --hash=sha256:{sha256(own.read_bytes()).hexdigest()}\n")
    return unpacked_wheels(functions, cache=functions.parent / "cache", platform=HOST, lock=lock)


def test_a_version_that_changes_in_an_included_file_is_the_one_that_ships(functions: Path) -> None:
    (functions / "requirements.txt").write_text("-r ../shared.txt\n")
    for version in ("1", "2"):
        (functions.parent / "shared.txt").write_text(f"rows=={version}\n")
        folder = unpacked(functions)
        assert (folder / "rows.py").read_text() == f"VERSION = {version}\n"
        assert (folder / "shelves.py").read_text() == "OWN = 1\n"
        # What the fabric brings is not fetched again.
        shutil.rmtree(functions.parent / "own", ignore_errors=True)


def test_what_would_be_built_is_refused_before_anything_is_fetched(functions: Path) -> None:
    (functions / "requirements.txt").write_text("--no-binary rows\nrows\n")
    with pytest.raises(SettingError, match="nothing is built"):
        unpacked(functions)
    assert not (functions.parent / "cache").exists()


def test_a_package_that_brings_a_file_of_the_fabrics_packages_is_refused_by_its_name(functions: Path) -> None:
    wheel(functions.parent / "index", "others", "1", {"shelves.py": "OWN = 0\n"})
    (functions / "requirements.txt").write_text("others\n")
    with pytest.raises(WheelsError, match=r"two packages that bring shelves\.py"):
        unpacked(functions)


def test_the_reason_is_given_where_pip_ends_with_a_traceback(
    functions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "http://[/")
    with pytest.raises(WheelsError, match="Invalid IPv6 URL"):
        unpacked(functions)


def test_what_a_killed_fetch_has_left_is_deleted_after_a_day(functions: Path, tmp_path: Path) -> None:
    left, going_on = tmp_path / "fetching-left", tmp_path / "fetching-now"
    left.mkdir()
    going_on.mkdir()
    os.utime(left, (0, 0))
    (tmp_path / "lock.txt").write_text("no-such-package==1\n")
    with pytest.raises(WheelsError):
        unpacked_wheels(functions, cache=tmp_path, platform=HOST, lock=tmp_path / "lock.txt")
    assert (left.exists(), going_on.exists()) == (False, True)
