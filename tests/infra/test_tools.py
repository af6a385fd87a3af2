"""A tool is installed once for each lock, completely or not at all."""

import os
import sys
from pathlib import Path

import pytest

from eventfabric.cdk.command_line import environment_of_apps
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


def test_apps_find_the_python_that_runs_this_first_and_a_node() -> None:
    environment = environment_of_apps({"PATH": "/somewhere", "LANG": "C"})
    assert environment["PATH"] == os.pathsep.join([str(Path(sys.executable).parent), "/somewhere"])
    assert Path(environment["JSII_NODE"]).is_file()
    assert environment["LANG"] == "C"
    assert environment_of_apps({"JSII_NODE": "/own/node"})["JSII_NODE"] == "/own/node"
