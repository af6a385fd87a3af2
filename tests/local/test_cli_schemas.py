"""`eventfabric schemas`: what is in the folder, what is registered, and what does not go together."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventfabric.contracts.document import SchemaDocument
from eventfabric.contracts.folder import SchemaFolder
from eventfabric.errors import (
    DeclarationRefusedError,
    EventFabricError,
    FormatError,
    LastingError,
    MissingRecordError,
    UndecodableRecordError,
)
from eventfabric.local import LocalFabric
from eventfabric.model import SchemaLane
from eventfabric.model.schema_index import SchemaIndex, SchemaVersion
from eventfabric.services.catalogue import schema_push
from eventfabric.services.catalogue.schema_lane import SchemaReader
from tests.support.command_line import CommandLine, Ran

DEFINITION = """
[fabric]
name = "shop"
regions = ["eu-west-1", "us-east-1"]
[streams.orders]
lanes = 1
[streams.orders.types.Loose]
compatibility = "none"
"""
PLACED: dict[str, Any] = {
    "type": "object",
    "properties": {"order": {"type": "string"}, "cents": {"type": "integer"}},
    "required": ["order"],
}
WITH_NOTE = {**PLACED, "properties": {**PLACED["properties"], "note": {"type": "string"}}}
WITH_CURRENCY = {**WITH_NOTE, "required": ["order", "note"]}


class Project:
    """A project's folder, the fabric that was deployed from it, and the command line."""

    def __init__(self, folder: Path, cli: CommandLine) -> None:
        self.folder, self.cli = folder, cli
        self.definition = folder / "infra/fabric.toml"
        self.definition.parent.mkdir()
        self.definition.write_text(DEFINITION)

    def write(self, type_: str, schema: object) -> None:
        file = self.folder / f"infra/schemas/orders/{type_}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(schema))

    def run(self, *arguments: str, region: str = "eu-west-1") -> Ran:
        return self.cli.run("schemas", *arguments, "--definition", self.definition, "--region", region)

    def git(self, *arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(self.folder), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def bare(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, CommandLine(capsys, monkeypatch))


@pytest.fixture
def project(bare: Project) -> Iterator[Project]:
    """A project whose first schema was registered by its deployment."""
    bare.write("OrderPlaced", PLACED)
    with LocalFabric(bare.definition) as fabric:
        fabric.settle()
        yield bare


def test_a_deployment_has_registered_what_was_in_the_folder(project: Project) -> None:
    [row] = project.run("list", "--json").json
    assert (row["stream"], row["type"], row["version"], row["in the folder"]) == (
        "orders",
        "OrderPlaced",
        1,
        "the same",
    )
    assert "OrderPlaced" in project.run("list").out
    assert json.loads(project.run("show", "OrderPlaced").out) == PLACED
    assert project.run("show", "OrderPlaced", "--json").json["schema"] == PLACED


def test_a_change_that_goes_together_is_pushed_as_the_next_version(project: Project) -> None:
    project.write("OrderPlaced", WITH_NOTE)
    project.write("OrderShipped", PLACED)
    checked = project.run("check", "--json").json
    assert {own["type"]: own["state"] for own in checked["schemas"]} == {
        "OrderPlaced": "compatible",
        "OrderShipped": "new",
    }
    assert {row["type"]: row["in the folder"] for row in project.run("list", "--json").json} == {
        "OrderPlaced": "changed",
        "OrderShipped": "new",
    }
    rehearsed = project.run("push", "--dry-run", "--json", region="us-east-1").json["would_register"]
    assert {(own["type"], own["version"]) for own in rehearsed} == {("OrderPlaced", 2), ("OrderShipped", 1)}
    assert "OrderShipped version 1" in project.run("push", "--dry-run", region="us-east-1").out
    assert len(project.run("list", "--versions", "--json").json) == 2
    pushed = project.run("push", "--json", region="us-east-1").json["registered"]
    assert {(own["type"], own["version"]) for own in pushed} == {("OrderPlaced", 2), ("OrderShipped", 1)}
    assert project.run("push").out == "all of them are registered already\n"
    assert project.run("push", "--dry-run", "--json").json == {"would_register": []}
    assert json.loads(project.run("show", "OrderPlaced", "--version", "1").out) == PLACED
    assert project.run("show", "OrderPlaced", "--version", "3").code == 1
    assert len(project.run("list", "orders", "--versions", "--json").json) == 3


def test_what_breaks_others_is_refused_unless_a_person_says_why(project: Project) -> None:
    project.write("OrderPlaced", WITH_CURRENCY)
    checked = project.run("check")
    assert checked.code == 1
    assert "schemas/orders/OrderPlaced.json#/required" in checked.err
    [shown] = project.run("check", "--json").json["schemas"]
    assert shown["state"] == "refused"
    assert shown["problems"][0]["allowed"]
    refused = project.run("push")
    assert (refused.code, refused.out) == (1, "")
    differences = project.run("diff", "OrderPlaced", "--json").json["differences"]
    assert {own["direction"] for own in differences} == {"backward"}
    for reason in ("x" * 201, "", "  ", "\t", "a\nb", "\x1b[2Jgone", "a\u202eb", "\udc80"):
        assert project.run("push", "--accept-breaking", reason).code == 2
    assert project.run("push", "--accept-breaking", " nobody reads it yet ").code == 0
    newest = project.run("list", "--json").json[0]
    assert (newest["version"], newest["accepted because"]) == (2, "nobody reads it yet")
    assert "it is the same" in project.run("diff", "OrderPlaced").out
    assert project.run("check").code == 0


def test_a_schema_that_was_registered_before_may_come_back_whatever_it_would_break(project: Project) -> None:
    project.definition.write_text(
        DEFINITION.replace("lanes = 1\n", 'lanes = 1\ncompatibility = "backward"\n')
    )
    project.write("OrderPlaced", {**PLACED, "required": []})
    assert project.run("push").code == 0
    project.write("OrderPlaced", PLACED)
    checked = project.run("check", "--json")
    assert (checked.code, [own["state"] for own in checked.json["schemas"]]) == (0, ["version 1 again"])
    rehearsed = project.run("push", "--dry-run", "--json").json["would_register"]
    assert [own["version"] for own in rehearsed] == [1]
    assert [own["version"] for own in project.run("push", "--json").json["registered"]] == [1]
    assert [row["version"] for row in project.run("list", "--versions", "--json").json] == [2, 1]


def lose_texts(patch: pytest.MonkeyPatch) -> None:
    def document(reader: SchemaReader, type_: str, version: SchemaVersion) -> SchemaDocument:
        lane = SchemaLane.of(version.region, reader.name)
        raise MissingRecordError(lane, version.sequence, "it is not there")

    patch.setattr(SchemaReader, "document", document)


def leave_no_room(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schema_push, "INDEX_BYTES_MAX", 10)


@pytest.mark.parametrize(
    ("schema", "obstruct"),
    [(WITH_CURRENCY, lambda patch: None), (WITH_NOTE, lose_texts), (WITH_NOTE, leave_no_room)],
    ids=["breaks", "lost", "full"],
)
def test_a_check_refuses_what_a_push_refuses_and_for_the_same(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    schema: object,
    obstruct: Callable[[pytest.MonkeyPatch], None],
) -> None:
    obstruct(monkeypatch)
    project.write("OrderPlaced", schema)
    refused = project.run("push", "--dry-run")
    for region in ("eu-west-1", "us-east-1"):
        checked = project.run("check", "--json", region=region)
        assert (checked.code, refused.code) == (1, 1)
        [own] = checked.json["schemas"]
        assert own["state"] == "refused"
        assert all(
            f"{problem['path']}: found {problem['found']}" in refused.err for problem in own["problems"]
        )


def test_all_schemas_of_a_stream_that_is_not_deployed_yet_are_new(project: Project) -> None:
    project.definition.write_text(f"{DEFINITION}[streams.payments]\n")
    payments = project.folder / "infra/schemas/payments"
    payments.mkdir()
    (payments / "Paid.json").write_text(json.dumps(PLACED))
    checked = project.run("check", "--json")
    states = {(own["stream"], own["type"]): own["state"] for own in checked.json["schemas"]}
    assert (checked.code, states[("payments", "Paid")]) == (0, "new")
    assert "payments" in checked.err


@pytest.mark.parametrize("part", ["orders/OrderPlaced.json", "orders", ""])
def test_types_that_are_registered_are_checked_also_where_no_file_is_left(
    project: Project, part: str
) -> None:
    folder = project.folder / "infra/schemas"
    (folder / part).rename(project.folder / "elsewhere")
    checked = project.run("check", "--json").json["schemas"]
    assert [(own["type"], own["state"]) for own in checked] == [
        ("OrderPlaced", "registered, and not in the folder")
    ]


@pytest.mark.parametrize(
    "error",
    [
        LastingError("read the tail", "denied", "denied"),
        UndecodableRecordError("@us-east-1/payments", 1, "denied"),
        FormatError("denied", "read", 9, 1),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize(("denied", "is_checked"), [("payments", True), ("orders", False)])
def test_whoever_cannot_read_other_streams_checks_those_of_which_there_are_schemas(
    project: Project, monkeypatch: pytest.MonkeyPatch, denied: str, is_checked: bool, error: EventFabricError
) -> None:
    def certain_index(reader: SchemaReader) -> SchemaIndex:
        if reader.name == denied:
            raise error
        return reader.index()

    project.definition.write_text(f"{DEFINITION}[streams.payments]\n")
    monkeypatch.setattr(SchemaReader, "certain_index", certain_index)
    checked = project.run("check")
    assert (checked.code == 0, "denied" in checked.err) == (is_checked, True)


def test_a_type_may_promise_nothing(project: Project) -> None:
    for schema in (PLACED, {"type": "array"}):
        project.write("Loose", schema)
        assert project.run("push").code == 0
    assert {row["type"]: row["version"] for row in project.run("list", "--json").json} == {
        "Loose": 2,
        "OrderPlaced": 1,
    }


def test_whoever_has_no_folder_pulls_what_is_registered(project: Project, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    assert len(project.run("pull", "--folder", str(target), "--json").json["written"]) == 1
    assert json.loads((target / "orders/OrderPlaced.json").read_text()) == PLACED
    assert project.run("pull", "orders", "--folder", str(target)).out == "the folder has all of them\n"


def test_everything_that_is_wrong_in_the_folder_is_listed_at_once_without_an_account(bare: Project) -> None:
    bare.write("OrderPlaced", {"type": "objekt"})
    bare.write("OrderShipped", {"$ref": "https://example.com/schema"})
    linted = bare.run("lint")
    assert (linted.code, linted.out) == (2, "")
    assert "OrderPlaced.json" in linted.err
    assert "OrderShipped.json" in linted.err
    listed = bare.run("lint", "--json")
    assert (listed.code, listed.json["valid"], len(listed.json["problems"])) == (2, False, 2)
    bare.write("OrderPlaced", PLACED)
    bare.write("OrderShipped", PLACED)
    assert bare.run("lint", "--json").json == {"valid": True, "schemas": 2, "problems": []}


@pytest.mark.parametrize(("name", "code"), [("elsewhere", 0), ("elsewhere/orders", 2), ("nowhere", 2)])
def test_another_folder_is_linted_than_that_beside_the_definition(
    bare: Project, name: str, code: int
) -> None:
    bare.write("OrderPlaced", {"type": "thing"})
    file = bare.folder / "elsewhere/orders/OrderPlaced.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(PLACED))
    assert bare.run("lint").code == 2
    assert bare.run("lint", "--schemas", str(bare.folder / name)).code == code


def test_schemas_of_no_stream_are_refused(bare: Project) -> None:
    (bare.folder / "infra/schemas/ordrs").mkdir(parents=True)
    (bare.folder / "infra/schemas/ordrs/OrderPlaced.json").write_text("true")
    assert "ordrs" in bare.run("lint").err


def test_a_change_is_checked_against_a_commit_without_an_account(bare: Project) -> None:
    bare.write("OrderPlaced", PLACED)
    bare.git("init", "--quiet", "--initial-branch=main")
    bare.git("add", ".")
    bare.git("commit", "--quiet", "-m", "first")
    assert bare.run("check", "--against", "git:main").code == 0
    bare.write("OrderPlaced", WITH_NOTE)
    bare.write("OrderShipped", PLACED)
    checked = bare.run("check", "--against", "git:main", "--json").json["schemas"]
    assert {own["type"]: own["state"] for own in checked} == {
        "OrderPlaced": "compatible",
        "OrderShipped": "new",
    }
    bare.write("OrderPlaced", WITH_CURRENCY)
    refused = bare.run("check", "--against", "git:main")
    assert refused.code == 1
    assert "#/required" in refused.err
    (bare.folder / "infra/schemas/orders/OrderPlaced.json").unlink()
    checked = bare.run("check", "--against", "git:main", "--json").json["schemas"]
    assert {own["type"]: own["state"] for own in checked} == {
        "OrderShipped": "new",
        "OrderPlaced": "not in the folder any more",
    }


@pytest.mark.parametrize("against", ["git:nowhere", "git:--help", "git:", "yesterday"])
def test_what_there_is_nothing_to_compare_with_is_one_complaint(bare: Project, against: str) -> None:
    bare.write("OrderPlaced", PLACED)
    bare.git("init", "--quiet")
    refused = bare.run("check", "--against", against)
    assert (refused.code, refused.out) == (2, "")


def test_a_project_without_schemas_has_nothing_to_check(bare: Project) -> None:
    bare.git("init", "--quiet")
    bare.git("add", ".")
    bare.git("commit", "--quiet", "-m", "first")
    assert bare.run("check", "--against", "git:HEAD").code == 0
    assert bare.run("lint").code == 0


def test_a_type_without_a_schema_is_not_shown(project: Project) -> None:
    assert project.run("show", "OrderShipped").code == 1
    assert project.run("diff", "OrderShipped").code == 1


def test_a_deployment_that_is_rehearsed_is_refused_what_breaks_others(bare: Project) -> None:
    bare.write("OrderPlaced", PLACED)
    with LocalFabric(bare.definition) as fabric:
        fabric.check_deployment(bare.definition)
        bare.write("OrderPlaced", WITH_NOTE)
        fabric.check_deployment(bare.definition)
        bare.write("OrderPlaced", WITH_CURRENCY)
        with pytest.raises(DeclarationRefusedError, match=r"OrderPlaced\.json#/required"):
            fabric.check_deployment(bare.definition)


def test_what_was_edited_and_not_registered_is_not_overwritten_unless_asked(project: Project) -> None:
    file = project.folder / "infra/schemas/orders/OrderPlaced.json"
    file.write_text(json.dumps(PLACED, indent=4))
    assert project.run("pull").out == "the folder has all of them\n"
    project.write("OrderPlaced", WITH_NOTE)
    kept = project.run("pull")
    assert (kept.code, json.loads(file.read_text())) == (1, WITH_NOTE)
    assert "--overwrite" in kept.err
    assert project.run("pull", "--overwrite").code == 0
    assert json.loads(file.read_text()) == PLACED


def test_a_pull_never_writes_names_that_differ_in_case_alone(project: Project, tmp_path: Path) -> None:
    """They are pushed from two repositories, and a folder with both is refused by every command."""
    before = project.folder / "infra/schemas/orders/OrderPlaced.json"
    before.unlink()
    for type_ in ("orderPlaced", "Loose"):
        project.write(type_, WITH_NOTE)
    assert project.run("push").code == 0
    project.write("Loose", PLACED)
    assert project.run("pull", "--overwrite").code == 0
    assert project.run("lint").code == 0
    assert sorted(file.name for file in before.parent.iterdir()) == ["Loose.json", "orderPlaced.json"]
    target = tmp_path / "elsewhere"
    pulled = project.run("pull", "--folder", str(target), "--json")
    undecided = [str(target / f"orders/{type_}.json") for type_ in ("OrderPlaced", "orderPlaced")]
    assert (pulled.code, pulled.json["undecided"]) == (1, undecided)
    assert [file.name for file in (target / "orders").iterdir()] == ["Loose.json"]
    (target / "orders/orderPlaced.json").write_text(project.run("show", "orderPlaced").out)
    again = project.run("pull", "--folder", str(target), "--json")
    assert (again.code, again.json["passed_over"]) == (0, undecided[:1])
    assert SchemaFolder(target).documents()["orders"].keys() == {"Loose", "orderPlaced"}


def test_nothing_is_registered_of_one_stream_if_another_is_refused(bare: Project) -> None:
    bare.definition.write_text(
        DEFINITION.replace("[streams.orders]\n", "[streams.payments]\n[streams.orders]\n", 1)
    )
    bare.write("OrderPlaced", PLACED)
    with LocalFabric(bare.definition):
        payments = bare.folder / "infra/schemas/payments"
        payments.mkdir()
        (payments / "Paid.json").write_text(json.dumps(PLACED))
        assert bare.run("push", "payments").code == 0
        bare.write("OrderPlaced", WITH_NOTE)
        (payments / "Paid.json").write_text(json.dumps(WITH_CURRENCY))
        assert bare.run("push").code == 1
        assert [row["version"] for row in bare.run("list", "orders", "--json").json] == [1]
