"""The fixture `local_fabric`, as a marker sets it up."""

import runpy
from pathlib import Path

import pytest

from eventfabric.testing import pytest_plugin
from eventfabric.testing.local.fabric import LocalFabric
from tests.local.test_local_fabric import EU, US, definition, ids, ignore


@pytest.mark.eventfabric(definition="infra/fabric.toml")
def test_a_markers_definition_stands_where_the_project_is__wherever_pytest_runs(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    fabric = request.getfixturevalue("local_fabric")
    assert fabric.region(US).publish("orders", key="a", type="Placed").sequence == 0


@pytest.mark.eventfabric(definition=definition(), handlers={"all": ignore})
def test_the_fixture_gives_a_fabric(local_fabric: LocalFabric) -> None:
    local_fabric.region(EU).publish("orders", key="a", type="Placed", id="1")
    local_fabric.settle()
    assert ids(local_fabric) == ["1"]


def test_a_pytest_without_newer_names_loads_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is loaded into each run of tests where the package is installed, also of producers that never use it."""
    for name in ("Config", "FixtureRequest"):
        monkeypatch.delattr(pytest, name)
    assert "local_fabric" in runpy.run_path(pytest_plugin.__file__)
