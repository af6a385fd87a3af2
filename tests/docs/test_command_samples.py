"""The commands of every page run as they stand there, and its TOML belongs in the sample's definition."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from eventfabric.cli.main import app
from eventfabric.definition.file import parse_definition
from eventfabric.typed.classes import schema_of
from eventfabric.typed.shapes import TypeSchema
from eventfabric.typed.source import source_of
from eventfabric.typed.text import schema_text
from subscribers.billing import Order
from tests.docs.pages import blocks, languages, living_pages
from tests.docs.test_house_style import ROOT, name_of, python_files, text_of
from tests.support.command_line import CommandLine, local_up

SAMPLE_DEFINITION = ROOT / "infra/fabric.toml"
KNOWN_LANGUAGES = {"", "python", "toml"}
SHOWN_ONLY = {"scripts/mutation/survivors.md": "changes of the code that no test notices, as differences"}
"""Pages whose blocks are no samples, and why."""
NO_COMMANDS = (
    " publish ──▶",
    " publisher  ",
    " attempt fails",
    "begin ── plan",
    "source answers",
    "deliver  ",
    "cli  ",
    "{",
)
"""Beginnings of blocks that are drawings, lists of modules, or what a state machine is given."""
OF_OTHERS = {
    "aws ": "the AWS CLI is not a part of this project",
    "pip install ": "it takes a package index",
    "git clone ": "it takes a network",
    "export ": "it changes the shell that reads it",
    "source .venv/": "it changes the shell that reads it",
    "cd shop": "tests/packaging/test_new_project.py makes a project, and runs its tests in its folder",
    "pytest": "tests/packaging/test_examples.py runs the examples' tests, each in its folder",
    "PYTHONPATH=src eventfabric local up": "tests/packaging/test_examples.py runs it, in the producer's folder",
    "AWS_REGION=eu-central-1 python src/sell.py": "tests/packaging/test_examples.py runs it, in the producer's folder",
    ".venv/bin/": "the tests run in that environment, under whatever name",
}
"""Beginnings of lines that are not run, and why."""
NOT_RUN = tuple(
    f"eventfabric {name}"
    for name in (
        *("simulate", "local up", "lanes restore", "lanes skip", "lanes quarantine", "credits open"),
        *("new", "check", "synth", "deploy", "diff", "destroy", "bootstrap"),
    )
)
"""Commands that other tests run: one takes minutes, one never ends, some are refused where nothing is lost or held
back, and some are for another project."""


WITHOUT_FABRIC = ["schemas", "from"]
"""Command of a group that otherwise needs a fabric, which this does not."""


def command_lines(page: Path) -> list[str]:
    """Return the lines of a page's blocks that somebody is to type."""
    shown = [block for block in blocks(page, "") if not block.startswith(NO_COMMANDS)]
    return [line for block in shown for line in block.splitlines() if line]


def commands() -> Iterator[tuple[str, str]]:
    """Yield each command of this project's program, with the page that shows it."""
    for page in living_pages():
        yield from ((page.name, line) for line in command_lines(page) if line.startswith("eventfabric "))


COMMANDS = sorted(set(commands()))


@pytest.mark.parametrize("page", living_pages(), ids=name_of)
def test_every_block_is_of_a_kind_that_a_test_runs(page: Path) -> None:
    assert name_of(page) in SHOWN_ONLY or languages(page) <= KNOWN_LANGUAGES


@pytest.mark.parametrize("page", living_pages(), ids=name_of)
def test_every_line_to_type_is_run_or_said_not_to_be(page: Path) -> None:
    known = ("eventfabric ", "scripts/", *OF_OTHERS)
    assert [line for line in command_lines(page) if not line.startswith(known)] == []


@pytest.mark.parametrize("page", living_pages(), ids=name_of)
def test_every_script_is_there_and_knows_the_options_that_it_is_shown_with(page: Path) -> None:
    of_scripts = "".join(text_of(path) for path in (*python_files("scripts/"), ROOT / "scripts/test"))
    for line in command_lines(page):
        name, *words = shlex.split(line, comments=True)
        if name.startswith("scripts/"):
            assert (ROOT / name).is_file(), line
            options = {word for word in words if word.startswith("--")} if name != "scripts/cdk" else set()
            assert {option for option in options if f'"{option}"' not in of_scripts} == set(), line


@pytest.mark.parametrize("page", living_pages(), ids=name_of)
def test_every_toml_block_belongs_in_the_samples_definition(page: Path) -> None:
    for block in blocks(page, "toml"):
        text = SAMPLE_DEFINITION.read_text(encoding="utf-8")
        for header in re.findall(r"^\[.*?\]", block, re.MULTILINE):
            # In place of the sample's own table, up to the next one.
            text = re.sub(rf"^{re.escape(header)}.*?(?=^\[|\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
        assert "billing" in parse_definition(f"{text}\n{block}").subscriptions


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the project that commands are typed in: the sample, with half its lanes, and files that pages name."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "infra").mkdir()
    text = SAMPLE_DEFINITION.read_text(encoding="utf-8")
    (folder / "infra/fabric.toml").write_text(text.replace("lanes = 64", "lanes = 32"), encoding="utf-8")
    (folder / "functions").symlink_to(ROOT / "functions")
    (folder / "events.jsonl").touch()
    (folder / "infra/schemas/orders").mkdir(parents=True)
    (folder / "infra/schemas/orders/OrderPlaced.json").write_text(
        schema_text(schema_of(Order)), encoding="utf-8"
    )
    (folder / "payloads.py").write_text(source_of([TypeSchema("orders", "OrderPlaced", schema_of(Order))]))
    (folder / "event.json").write_text(
        '{"specversion": "1.0", "source": "/test", "id": "a", "type": "t", "partitionkey": "k"}'
    )
    return folder


@pytest.fixture(scope="module")
def endpoint(project: Path) -> Iterator[str]:
    definition = str(project / "infra/fabric.toml")
    with local_up(project, "--definition", definition, "--setup", "subscribers.tables:make") as url:
        yield url


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(capsys, monkeypatch)


def words_of(line: str) -> list[str]:
    return shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda value: value[:60])
def test_every_command_has_the_options_that_it_is_shown_with(page: str, line: str) -> None:
    command: Any = typer.main.get_command(app)
    words = words_of(line)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert command.make_context("eventfabric", words), page


def in_git(project: Path) -> None:
    """Commit a project, as a pipeline has it: what is merged is the branch main of origin."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    for arguments in (
        ("init", "--quiet"),
        ("add", "."),
        ("commit", "--quiet", "-m", "first"),
        ("update-ref", "refs/remotes/origin/main", "HEAD"),
    ):
        subprocess.run(["git", *who, *arguments], cwd=project, check=True, capture_output=True)


def test_every_command_can_be_run_as_it_is_shown(
    cli: CommandLine, endpoint: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    in_git(project)
    to_run: dict[tuple[str, ...], str] = {}
    for page, line in COMMANDS:
        words = words_of(line)
        if words[0] in ("failover", "failback") and "--dry-run" not in words:
            words.append("--dry-run")  # a handover waits for what runs to end; tests of its own make one
        if words[0] not in ("cost", "definition") and words[:2] != WITHOUT_FABRIC:
            words += ("--endpoint-url", endpoint)  # the last one counts
        if not line.startswith(NOT_RUN):
            to_run[tuple(words)] = page
    for typed, page in to_run.items():
        result = cli.run(*typed)
        # 1: there is no such event, dead letter or step in a new fabric. 2: a question that nobody may ask so.
        allowed = (0, 1, 2) if {"ID", "EVENT_ID"} & {*typed} else (0, 1)
        assert result.code in allowed, (page, typed, result)
