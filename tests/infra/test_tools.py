"""A tool is installed once for each lock, completely or not at all."""

import json
import os
import sys
from pathlib import Path
from time import time

import pytest

from eventfabric.cdk import command_line
from eventfabric.cdk.command_line import environment_of_apps
from eventfabric.cdk.node import choose_node
from eventfabric.cdk.tools import InstallError, installed

WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1], 'tool').write_text('here')"
MAKE = [sys.executable, "-c", WRITE, "{folder}"]
FAIL = [sys.executable, "-c", "raise SystemExit('no such registry')"]


def test_it_is_installed_once_for_each_lock(tmp_path: Path) -> None:
    first = installed("tool", b"1", [MAKE], folder=tmp_path)
    assert (first / "tool").read_text() == "here"
    assert installed("tool", b"1", [FAIL], folder=tmp_path) == first
    assert installed("tool", b"2", [MAKE], folder=tmp_path) != first


def test_nothing_is_left_of_an_installation_that_fails(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="no such registry"):
        installed("tool", b"1", [MAKE, FAIL], folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_installation_has_left_is_in_nobodys_way_and_deleted_after_a_day(
    tmp_path: Path,
) -> None:
    first = installed("tool", b"1", [MAKE], folder=tmp_path)
    fresh, old = (tmp_path / f"{first.name}.{suffix}" for suffix in (os.getpid(), "old"))
    for left in (fresh, old):
        left.mkdir()
    for folder in (first, old):
        os.utime(folder, (time() - 2 * 24 * 3600,) * 2)
    again = installed("tool", b"2", [MAKE], folder=tmp_path)
    assert set(tmp_path.iterdir()) == {first, again, fresh}


def test_a_command_line_that_does_not_start_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installer of packages may end with 0 although the disk is full: what it lacks is known when it starts."""
    nothing = {"name": "empty", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"name": "empty"}}}
    for name in ("package.json", "package-lock.json"):
        (tmp_path / "lock" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "lock" / name).write_text(json.dumps(nothing))
    monkeypatch.setattr(command_line, "LOCK", tmp_path / "lock")
    with pytest.raises(InstallError, match="aws-cdk"):
        command_line.cdk_command(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_apps_find_the_python_that_runs_this_first_and_a_node() -> None:
    environment = environment_of_apps({"PATH": "/somewhere", "LANG": "C"})
    assert environment["PATH"] == os.pathsep.join([str(Path(sys.executable).parent), "/somewhere"])
    assert Path(environment["JSII_NODE"]).is_file()
    assert environment["LANG"] == "C"
    assert environment_of_apps({"JSII_NODE": "/own/node"})["JSII_NODE"] == "/own/node"


@pytest.mark.parametrize(("home", "cache"), [("home", None), ("not-made-yet", None), ("file", "disabled")])
def test_the_cdks_library_keeps_no_packages_where_a_user_has_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str, cache: str | None
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "environ", {"HOME": str(tmp_path / home)})
    choose_node()
    assert os.environ.get("JSII_RUNTIME_PACKAGE_CACHE") == cache
