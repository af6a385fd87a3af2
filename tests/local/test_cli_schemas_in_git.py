"""`eventfabric schemas check --against git:COMMIT`: nothing that the commit has is taken for new."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from eventfabric.cli.schemas_in_git import never_committed, schemas_at
from eventfabric.errors import SettingError
from tests.local.test_cli_schemas import PLACED, Project
from tests.support.command_line import CommandLine

TEXT: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}
NUMBER: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    project = Project(folder, CommandLine(capsys, monkeypatch))
    project.git("init", "--quiet", "--initial-branch=main")
    return project


def commit(project: Project) -> None:
    project.git("add", ".")
    project.git("commit", "--quiet", "--allow-empty", "-m", "next")


def states(project: Project) -> tuple[int, dict[str, str]]:
    checked = project.run("check", "--against", "git:main", "--json")
    return checked.code, {own["type"]: own["state"] for own in checked.json["schemas"]}


def link_file(project: Project) -> Path:
    (project.folder / "infra/schemas/orders").mkdir(parents=True)
    (project.folder / "infra/schemas/orders/Placed.json").symlink_to("../../../shared.json")
    return project.folder / "shared.json"


def link_stream(project: Project) -> Path:
    (project.folder / "shared").mkdir()
    (project.folder / "infra/schemas").mkdir()
    (project.folder / "infra/schemas/orders").symlink_to("../../shared")
    return project.folder / "shared/Placed.json"


def link_folder(project: Project) -> Path:
    (project.folder / "shared/orders").mkdir(parents=True)
    (project.folder / "infra/schemas").symlink_to("../shared")
    return project.folder / "shared/orders/Placed.json"


def link_twice(project: Project) -> Path:
    (project.folder / "shared/orders").mkdir(parents=True)
    (project.folder / "between").symlink_to("shared")
    (project.folder / "infra/schemas").symlink_to("../between/../between")
    return project.folder / "shared/orders/Placed.json"


@pytest.mark.parametrize("link", [link_file, link_stream, link_folder, link_twice])
def test_links_of_the_commit_are_followed(project: Project, link: Any) -> None:
    file = link(project)
    file.write_text(json.dumps(TEXT))
    commit(project)
    assert states(project) == (0, {"Placed": "the same"})
    file.write_text(json.dumps(NUMBER))
    assert states(project) == (1, {"Placed": "refused"})


def test_a_link_that_became_a_file_is_compared(project: Project) -> None:
    link_file(project).write_text(json.dumps(TEXT))
    commit(project)
    (project.folder / "infra/schemas/orders/Placed.json").unlink()
    project.write("Placed", NUMBER)
    assert states(project) == (1, {"Placed": "refused"})


@pytest.mark.parametrize("target", ["../../../../outside.json", "Placed.json", "/dev/null", "../gone.json"])
def test_a_link_to_nothing_that_the_commit_has_is_not_comparable(project: Project, target: str) -> None:
    folder = project.folder / "infra/schemas/orders"
    folder.mkdir(parents=True)
    (folder / "Placed.json").symlink_to(target)
    commit(project)
    (folder / "Placed.json").unlink()
    project.write("Placed", NUMBER)
    assert states(project) == (1, {"Placed": "not comparable"})


def test_a_folder_outside_of_the_repository_is_no_new_schemas(project: Project, tmp_path: Path) -> None:
    (tmp_path / "outside/orders").mkdir(parents=True)
    (tmp_path / "outside/orders/Placed.json").write_text(json.dumps(TEXT))
    (project.folder / "infra/schemas").symlink_to(tmp_path / "outside")
    commit(project)
    assert project.run("check", "--against", "git:main").code == 2
    (project.folder / ".gitignore").write_text("schemas\n")
    project.git("rm", "--quiet", "--cached", "infra/schemas")
    commit(project)
    assert states(project) == (1, {"Placed": "not comparable"})


def test_a_stream_whose_folder_is_a_link_out_of_the_repository_is_not_new(project: Project) -> None:
    (project.folder / "infra/schemas").mkdir()
    (project.folder / "infra/schemas/orders").symlink_to("../../../outside")
    commit(project)
    (project.folder / "infra/schemas/orders").unlink()
    project.write("Placed", TEXT)
    assert project.run("check", "--against", "git:main").code == 2


@pytest.mark.parametrize("pattern", ["schemas", "*.json", "infra/schemas/orders/"])
def test_schemas_that_git_ignores_are_not_new_for_ever(project: Project, pattern: str) -> None:
    (project.folder / ".gitignore").write_text(f"{pattern}\n")
    project.write("Placed", TEXT)
    commit(project)
    assert states(project) == (1, {"Placed": "not comparable"})


def test_the_first_schemas_are_new_and_the_command_says_with_what_they_are_not_compared(
    project: Project,
) -> None:
    commit(project)
    project.write("Placed", TEXT)
    checked = project.run("check", "--against", "git:main")
    assert checked.code == 0
    assert "main has no folder schemas" in checked.err


@pytest.mark.parametrize(
    "old",
    [
        {**TEXT, "unknownKeyword": 1},
        {**TEXT, "$schema": "http://json-schema.org/draft-04/schema#"},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=a)"}}},
        {"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}},
        {"type": "object", "properties": {"a": {"minimum": "x", "type": "number"}}},
        {"type": 7, "properties": [], "required": {"a": None}, "allOf": 3},
    ],
)
def test_what_may_not_be_registered_today_is_compared_all_the_same(project: Project, old: object) -> None:
    project.write("Placed", old)
    commit(project)
    project.write("Placed", {**NUMBER, "required": ["a"]})
    assert states(project) == (1, {"Placed": "refused"})


@pytest.mark.parametrize("text", [b"", b"no JSON", b"[]", b"\xff", b"[" * 100_000, b'{"a":1,"a":2}'])
def test_what_is_no_schema_in_the_commit_is_not_comparable(project: Project, text: bytes) -> None:
    project.write("Placed", TEXT)
    project.write("Loose", TEXT)
    for type_ in ("Placed", "Loose"):
        (project.folder / f"infra/schemas/orders/{type_}.json").write_bytes(text)
    commit(project)
    project.write("Placed", TEXT)
    project.write("Loose", TEXT)  # of which nothing is promised
    code, known = states(project)
    assert (code, known) == (1, {"Placed": "not comparable", "Loose": "not comparable"})
    refused = project.run("check", "--against", "git:main")
    assert "main:infra/schemas/orders/Placed.json" in refused.err
    assert "Loose" not in refused.err


def test_a_definition_that_is_a_link_has_its_schemas_beside_the_link(project: Project) -> None:
    (project.folder / "shared").mkdir()
    project.definition.rename(project.folder / "shared/fabric.toml")
    project.definition.symlink_to("../shared/fabric.toml")
    project.write("Placed", TEXT)
    commit(project)
    project.write("Placed", NUMBER)
    assert states(project) == (1, {"Placed": "refused"})


def test_names_of_files_are_those_of_bytes(project: Project) -> None:
    os.mkdir(os.fsencode(project.folder) + b"/caf\xff")
    Path(os.fsdecode(os.fsencode(project.folder) + b"/caf\xff/x")).write_text("x")
    project.write("Placed", PLACED)
    commit(project)
    assert states(project) == (0, {"Placed": "the same"})


def test_more_schemas_than_a_command_line_holds_are_asked_about(project: Project) -> None:
    (project.folder / ".gitignore").write_text("*1.json\n")
    project.write("Placed1", TEXT)
    folder = project.folder / "infra/schemas"
    files = [folder / f"orders/{'Placed':_<120}{number}.json" for number in range(16_000)]
    assert list(never_committed(folder, [*files, folder / "orders/Placed1.json"])) == [
        folder / "orders/Placed1.json"
    ]


@pytest.mark.parametrize("name", ["a[b]", "s*", "b\\c", "line\n", ":(top)"])
def test_folders_may_have_any_name(project: Project, name: str) -> None:
    (project.folder / ".gitignore").write_text("Placed.json\n")
    file = project.folder / name / "schemas/orders/Placed.json"
    file.parent.mkdir(parents=True)
    file.write_text("true")
    assert never_committed(file.parents[1], [file]) == {file: "a file that git ignores"}


@pytest.mark.parametrize("rights", [0o644, 0o755])
def test_a_git_that_cannot_be_run_is_said(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rights: int
) -> None:
    project.write("Placed", TEXT)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text("no program")
    (tmp_path / "bin/git").chmod(rights)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    checked = project.run("check", "--against", "git:main")
    assert checked.code == 2
    assert "git cannot be run" in checked.err


def test_no_commit_has_a_name_that_no_argument_can_have(project: Project) -> None:
    with pytest.raises(SettingError):
        schemas_at("main\0", project.folder / "infra/schemas")
