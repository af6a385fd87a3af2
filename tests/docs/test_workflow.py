"""The workflows of the forge run what everybody runs, on every Python, and hunt with every profile."""

import tomllib
from pathlib import Path
from re import MULTILINE, findall

import pytest

from eventfabric.topology import LAMBDA_PYTHON
from tests.docs.test_house_style import ROOT
from tests.simulation.profiles import PROFILES

WORKFLOWS = sorted((ROOT / ".github/workflows").iterdir())
TEXT = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
HUNT = (ROOT / ".github/workflows/hunt.yml").read_text(encoding="utf-8")
MINORS = [int(minor) for minor in findall(r'"3\.(\d+)"', TEXT)]


def test_it_begins_with_the_oldest_python_and_has_the_one_of_the_functions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">=3.{MINORS[0]}"
    assert list(range(MINORS[0], MINORS[-1] + 1)) == MINORS
    assert LAMBDA_PYTHON in {f"3.{minor}" for minor in MINORS}


def test_it_runs_the_script_that_people_run() -> None:
    assert findall(r"^ +- run: (.+)$", TEXT, MULTILINE) == ["scripts/test"]
    assert (ROOT / "scripts/test").is_file()


def test_every_profile_is_hunted_with_by_night() -> None:
    assert findall(r"^ {10}- (\w+)$", HUNT, MULTILINE) == list(PROFILES)
    (command,) = findall(r"run: (scripts/simulate --profile .*)$", HUNT, MULTILINE)
    assert command.endswith(" --minutes 10")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_it_may_only_read_and_pins_each_action_to_a_major_version(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    assert findall(r"^permissions:\n((?: .*\n)+)", text, MULTILINE) == ["  contents: read\n"]
    used = findall(r"uses: (\S+)", text)
    assert used
    assert [action for action in used if not findall(r"^[\w-]+/[\w-]+@v\d+$", action)] == []
