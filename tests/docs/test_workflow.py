"""The workflow of the forge runs what everybody runs, on every Python that the project supports."""

import tomllib
from re import MULTILINE, findall

from eventfabric.topology import LAMBDA_PYTHON
from tests.docs.test_house_style import ROOT

TEXT = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
MINORS = [int(minor) for minor in findall(r'"3\.(\d+)"', TEXT)]


def test_it_begins_with_the_oldest_python_and_has_the_one_of_the_functions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">=3.{MINORS[0]}"
    assert list(range(MINORS[0], MINORS[-1] + 1)) == MINORS
    assert LAMBDA_PYTHON in {f"3.{minor}" for minor in MINORS}


def test_it_runs_the_script_that_people_run() -> None:
    assert findall(r"^ +- run: (.+)$", TEXT, MULTILINE) == ["scripts/test"]
    assert (ROOT / "scripts/test").is_file()


def test_it_may_only_read_and_pins_each_action_to_a_major_version() -> None:
    assert findall(r"^permissions:\n((?: .*\n)+)", TEXT, MULTILINE) == ["  contents: read\n"]
    used = findall(r"uses: (\S+)", TEXT)
    assert used
    assert [action for action in used if not findall(r"^[\w-]+/[\w-]+@v\d+$", action)] == []
