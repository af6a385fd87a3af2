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
RELEASE = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
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


def test_a_release_is_tested_and_built_as_people_do_it_on_the_python_of_the_functions() -> None:
    assert findall(r"^ +- run: (.+)$", RELEASE, MULTILINE) == ["scripts/test", "scripts/build --release"]
    assert findall(r'python-version: "(.+)"', RELEASE) == [LAMBDA_PYTHON]
    assert findall(r"^    needs: (\w+)$", RELEASE, MULTILINE) == ["build", "publish"]


def test_only_jobs_that_run_nothing_of_the_repository_may_do_more_than_read() -> None:
    jobs = dict(findall(r"^  (\w+):\n((?: {4}.*\n|\n)+)", RELEASE.partition("\njobs:\n")[2], MULTILINE))
    rights = {name: findall(r"^      ([\w-]+): write", job, MULTILINE) for name, job in jobs.items()}
    assert rights == {"build": [], "publish": ["id-token"], "attach": ["contents"]}
    assert [name for name, job in jobs.items() if "checkout" in job or "scripts/" in job] == ["build"]


@pytest.mark.parametrize("workflow", ["test", "release"])
def test_the_last_version_is_fetched_for_the_tests_that_run_it(workflow: str) -> None:
    text = (ROOT / f".github/workflows/{workflow}.yml").read_text(encoding="utf-8")
    assert "fetch-depth: 0" in text


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_it_may_only_read_and_pins_each_action_to_a_major_version(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    assert findall(r"^permissions:\n((?: .*\n)+)", text, MULTILINE) == ["  contents: read\n"]
    used = findall(r"uses: (\S+)", text)
    assert used
    assert [action for action in used if not findall(r"^[\w-]+/[\w-]+@(?:release/)?v\d+$", action)] == []
