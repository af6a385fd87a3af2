"""The library ships as it was installed: a file that was changed, lost or added is refused by name."""

import json
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from eventfabric.cdk import library
from eventfabric.cdk.library import DISTRIBUTION, LibraryError, shipped_files
from eventfabric.deployment.shipped import SHIPPED
from tests.support.messages import missing_from

FILES = {
    "eventfabric/__init__.py": "",
    "eventfabric/limits.py": "X = 1\n",
    "eventfabric/py.typed": "",
    "eventfabric/sdk/__init__.py": "",
    "eventfabric/sdk/deep/data.json": "{}",
    "eventfabric/cli/__init__.py": "never shipped",
    "eventfabric/cdk/functions.txt": "never shipped",
}
SHIPPED_FILES = {name for name in FILES if "/cli/" not in name and "/cdk/" not in name}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def installed_wheel(folder: Path, files: dict[str, str] = FILES) -> Distribution:
    """Install files in a folder as pip does: with a record of their digests, and bytecode that has none."""
    write(folder, files)
    write(folder, {"eventfabric/__pycache__/limits.cpython-311.pyc": "bytecode"})
    rows = ["eventfabric/__pycache__/limits.cpython-311.pyc,,", "../../../bin/eventfabric,sha256=abc,1"]
    for name, content in files.items():
        digest = urlsafe_b64encode(sha256(content.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(content)}")
    return with_metadata(folder, {"RECORD": "\n".join([*rows, "eventfabric_aws-1.dist-info/RECORD,,"])})


def editable(folder: Path, source: Path, origin: object) -> Distribution:
    write(folder, {"_eventfabric_aws.pth": f"{source}\n"})
    write(source, FILES)
    record = "_eventfabric_aws.pth,sha256=abc,1\neventfabric_aws-1.dist-info/RECORD,,\n"
    return with_metadata(folder, {"RECORD": record, "direct_url.json": json.dumps(origin)})


def with_metadata(folder: Path, files: dict[str, str]) -> Distribution:
    information = folder / "eventfabric_aws-1.dist-info"
    write(information, {"METADATA": f"Name: {DISTRIBUTION}\nVersion: 1\n", **files})
    return PathDistribution(information)


def test_an_installed_wheel_ships_what_its_record_lists_and_functions_import(tmp_path: Path) -> None:
    wheel = installed_wheel(tmp_path)
    shipped = {
        str(path): content.decode() for path, content in shipped_files(wheel, tmp_path / "eventfabric")
    }
    assert shipped == {name: FILES[name] for name in SHIPPED_FILES}


def change(path: Path) -> None:
    path.write_text("X = 2\n")


@pytest.mark.parametrize("spoil", [change, Path.unlink])
@pytest.mark.parametrize("name", ["eventfabric/limits.py", "eventfabric/sdk/deep/data.json"])
def test_a_file_that_is_not_what_was_installed_is_refused_by_name(
    spoil: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    wheel = installed_wheel(tmp_path)
    spoil(tmp_path / name)
    with pytest.raises(LibraryError) as caught:
        list(shipped_files(wheel, tmp_path / "eventfabric"))
    assert missing_from(str(caught.value), name, f"install {DISTRIBUTION} again") == []


def test_a_file_whose_digest_was_taken_out_of_the_record_is_refused(tmp_path: Path) -> None:
    wheel = installed_wheel(tmp_path)
    rewrite_record(
        tmp_path, lambda rows: ["eventfabric/limits.py,," if "/limits.py" in row else row for row in rows]
    )
    with pytest.raises(LibraryError, match=r"limits\.py"):
        list(shipped_files(wheel, tmp_path / "eventfabric"))


@pytest.mark.parametrize("name", sorted(SHIPPED_FILES))
def test_a_file_that_the_record_does_not_list_is_refused_by_name(name: str, tmp_path: Path) -> None:
    """Such a file is left over from another version, or the record has lost rows: the zip would lack it."""
    wheel = installed_wheel(tmp_path)
    rewrite_record(tmp_path, lambda rows: [row for row in rows if not row.startswith(name)])
    with pytest.raises(LibraryError) as caught:
        list(shipped_files(wheel, tmp_path / "eventfabric"))
    assert missing_from(str(caught.value), name, "RECORD does not list") == []


@pytest.mark.parametrize(
    "row",
    [
        "eventfabric/limits.py",
        "eventfabric/limits.py,sha256=abc",
        ",,\neventfabric/gone.py,,",
        f"eventfabric/{'a' * 140_000}.py,sha256=abc,1",
        "eventfabric/sdk/rows.py\0,sha256=abc,1",
        '"eventfabric/limits.py',
    ],
    ids=["one column", "two", "no name", "a huge name", "a zero byte", "no end"],
)
def test_a_record_that_no_installer_writes_is_refused(row: str, tmp_path: Path) -> None:
    wheel = installed_wheel(tmp_path)
    rewrite_record(tmp_path, lambda rows: [*rows, row])
    with pytest.raises(LibraryError, match=f"install {DISTRIBUTION} again"):
        list(shipped_files(wheel, tmp_path / "eventfabric"))


def rewrite_record(folder: Path, change_rows: Callable[[list[str]], list[str]]) -> None:
    record = folder / "eventfabric_aws-1.dist-info" / "RECORD"
    record.write_text("\n".join(change_rows(record.read_text().splitlines())))


def test_what_does_not_ship_may_have_changed(tmp_path: Path) -> None:
    wheel = installed_wheel(tmp_path)
    change(tmp_path / "eventfabric/cli/__init__.py")
    assert len(list(shipped_files(wheel, tmp_path / "eventfabric"))) == len(SHIPPED_FILES)


def test_a_tree_that_hides_the_installed_library_is_refused(tmp_path: Path) -> None:
    wheel = installed_wheel(tmp_path / "site-packages")
    write(tmp_path / "beside", FILES)
    with pytest.raises(LibraryError) as caught:
        list(shipped_files(wheel, tmp_path / "beside/eventfabric"))
    assert missing_from(str(caught.value), str(tmp_path / "beside"), str(tmp_path / "site-packages")) == []


def test_an_editable_installation_ships_its_source_and_no_other(tmp_path: Path) -> None:
    source = tmp_path / "clone" / "functions"
    installed = editable(tmp_path / "site-packages", source, {"dir_info": {"editable": True}, "url": "file:"})
    shipped = {
        str(path): content.decode() for path, content in shipped_files(installed, source / "eventfabric")
    }
    assert shipped == {name: FILES[name] for name in SHIPPED_FILES}
    shutil.copytree(source, tmp_path / "beside")
    with pytest.raises(LibraryError, match="beside"):
        list(shipped_files(installed, tmp_path / "beside" / "eventfabric"))


@pytest.mark.parametrize("origin", [{}, {"dir_info": {}}])
def test_an_installation_that_is_neither_is_refused(origin: object, tmp_path: Path) -> None:
    installed = editable(tmp_path / "site-packages", tmp_path / "clone", origin)
    with pytest.raises(LibraryError, match="clone"):
        list(shipped_files(installed, tmp_path / "clone" / "eventfabric"))


def test_a_library_that_nobody_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "DISTRIBUTION", "eventfabric-is-not-installed")
    with pytest.raises(LibraryError, match="found a library that nobody installed"):
        library.installation()


def test_this_library_is_installed_and_ships_all_packages_that_functions_import() -> None:
    shipped = [path for path, _ in shipped_files(library.installation(), library.imported_package())]
    assert {path.parts[1] for path in shipped if len(path.parts) > 2} == set(SHIPPED)
    assert shipped == sorted(shipped)
