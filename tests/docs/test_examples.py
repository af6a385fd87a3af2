"""Every example is a project that stands by itself: its definition is right, and its own tests pass."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eventfabric.definition.file import handler_folders, read_definition
from tests.docs.test_house_style import ROOT

EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/fabric.toml"))


def test_there_are_three() -> None:
    assert [path.name for path in EXAMPLES] == ["orders", "outbox", "simulate"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_its_definition_names_handlers_that_are_there(example: Path) -> None:
    definition = example / "fabric.toml"
    own = [folder for folder in handler_folders(definition) if folder.is_dir()]
    assert own == [example / "functions"]
    read_definition(definition, check_handlers=True, search_path=own)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_its_own_tests_pass_in_a_process_of_their_own(example: Path) -> None:
    of_this_run = ("PYTEST_", "COV_", "EVENTFABRIC_", "AWS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(of_this_run)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(example)]
    process = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert " passed" in process.stdout
