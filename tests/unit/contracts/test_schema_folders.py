"""Folders of schemas: a type's file is found by its name, and all that is wrong is said at once."""

import os
from collections.abc import Callable
from errno import EACCES, EIO, EMFILE
from pathlib import Path
from typing import Any

import pytest

from eventfabric.contracts.document import read_schema
from eventfabric.contracts.folder import SchemaFolder, digest_of_all, type_of_file
from eventfabric.errors import InvalidSchemaError
from eventfabric.sdk.schemas import checks_in


@pytest.fixture
def folder(tmp_path: Path) -> SchemaFolder:
    return SchemaFolder(tmp_path / "schemas")


def write(folder: SchemaFolder, name: str, text: str) -> None:
    file = folder.path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_a_type_has_the_schema_of_its_file(folder: SchemaFolder) -> None:
    write(folder, "orders/OrderPlaced.json", '{"type": "object"}')
    document = folder.document("orders", "OrderPlaced")
    assert document is not None
    assert document.value == {"type": "object"}
    assert folder.document("orders", "OrderShipped") is None
    assert folder.document("payments", "OrderPlaced") is None


def test_a_file_is_read_once(folder: SchemaFolder) -> None:
    write(folder, "orders/OrderPlaced.json", "true")
    before = folder.document("orders", "OrderPlaced")
    write(folder, "orders/OrderPlaced.json", "false")
    assert folder.document("orders", "OrderPlaced") is before
    assert folder.document("orders", "OrderShipped") is None
    write(folder, "orders/OrderShipped.json", "true")
    assert folder.document("orders", "OrderShipped") is None


def test_names_that_are_no_file_names_are_encoded(folder: SchemaFolder) -> None:
    write(folder, "orders/shop%2Forder%20placed.v1.json", "true")
    assert folder.documents()["orders"].keys() == {"shop/order placed.v1"}
    assert folder.document("orders", "../orders/shop") is None


def test_a_type_whose_name_is_too_long_for_a_file_has_no_schema(folder: SchemaFolder) -> None:
    folder.path.mkdir()
    assert folder.document("orders", "\U0001f600" * 128) is None


def test_a_type_has_no_schema_of_another_where_files_are_found_in_any_case(
    folder: SchemaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OrderPlaced", "orderplaced"):  # there, both names are those of one file
        write(folder, f"orders/{name}.json", "true")
    monkeypatch.setattr(
        "eventfabric.contracts.folder.listdir",
        lambda path: ["OrderPlaced.json"] if path.name == "orders" else os.listdir(path),
    )
    assert folder.document("orders", "orderplaced") is None
    assert folder.document("orders", "OrderPlaced") is not None


def test_a_type_may_begin_with_a_dot(folder: SchemaFolder) -> None:
    for name in (".keep", ".hidden.json", "._OrderPlaced.json"):
        write(folder, f"orders/{name}", "none of ours")
    for name in ("%2Ehidden", "OrderPlaced", "%2E", "%2E."):
        write(folder, f"orders/{name}.json", "false")
    assert folder.documents()["orders"].keys() == {".hidden", "OrderPlaced", ".", ".."}
    for type_ in (".hidden", "OrderPlaced", ".", ".."):
        assert folder.document("orders", type_) is not None
        assert type_of_file(folder.file_of("orders", type_).name) == type_
    assert folder.document("orders", "._OrderPlaced") is None


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_no_schema_and_nothing_waits_for_it(folder: SchemaFolder, make: Any) -> None:
    (folder.path / "orders").mkdir(parents=True)
    make(folder.path / "orders" / "OrderPlaced.json")
    for read in (lambda: folder.document("orders", "OrderPlaced"), folder.documents):
        with pytest.raises(InvalidSchemaError):
            read()


def gone(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def led_nowhere(path: Path) -> None:
    gone(path)
    path.symlink_to(path.with_name("nowhere"))


def led_to_itself(path: Path) -> None:
    gone(path)
    path.symlink_to(path)


@pytest.mark.parametrize("fail", [gone, led_nowhere, led_to_itself])
@pytest.mark.parametrize("part", ["", "orders", "orders/OrderPlaced.json"])
def test_what_was_there_and_cannot_be_read_makes_no_type_unchecked(
    tmp_path: Path, fail: Callable[[Path], None], part: str
) -> None:
    write(SchemaFolder(tmp_path / "schemas"), "orders/OrderPlaced.json", "true")
    folder, path = SchemaFolder(tmp_path / "schemas"), tmp_path / "schemas" / part
    assert folder.document("orders", "OrderShipped") is None
    fail(path)
    for _ in range(2):
        with pytest.raises(InvalidSchemaError):
            folder.document("orders", "OrderPlaced")
    path.unlink(missing_ok=True)
    path.with_name("elsewhere").rename(path)
    assert folder.document("orders", "OrderPlaced") is not None


@pytest.mark.parametrize("fail", [led_nowhere, led_to_itself])
@pytest.mark.parametrize("part", ["", "orders", "orders/OrderPlaced.json"])
def test_links_that_lead_nowhere_are_said(tmp_path: Path, fail: Callable[[Path], None], part: str) -> None:
    write(SchemaFolder(tmp_path / "schemas"), "orders/OrderPlaced.json", "true")
    fail(tmp_path / "schemas" / part)
    with pytest.raises(InvalidSchemaError):
        SchemaFolder(tmp_path / "schemas").document("orders", "OrderPlaced")
    with pytest.raises(InvalidSchemaError):
        folder = SchemaFolder.beside(tmp_path / "fabric.toml")
        assert folder is not None
        folder.documents()


@pytest.mark.parametrize("part", ["schemas", "orders"])
@pytest.mark.parametrize("number", [EACCES, EMFILE, EIO])
def test_a_folder_that_cannot_be_listed_is_an_error_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, number: int
) -> None:
    def listed(path: Path) -> list[str]:
        if path.name == part:
            raise OSError(number, os.strerror(number))
        return os.listdir(path)

    write(SchemaFolder(tmp_path / "schemas"), "orders/OrderPlaced.json", "true")
    folder = SchemaFolder(tmp_path / "schemas")
    with monkeypatch.context() as patched:
        patched.setattr("eventfabric.contracts.folder.listdir", listed)
        with pytest.raises(InvalidSchemaError):
            folder.documents()
        with pytest.raises(InvalidSchemaError):
            folder = SchemaFolder(tmp_path / "schemas")
            folder.document("orders", "OrderPlaced")
    assert folder.document("orders", "OrderPlaced") is not None


def test_a_folder_in_which_nobody_may_look_is_none_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(EACCES, os.strerror(EACCES))

    monkeypatch.setattr(Path, "lstat", refuse)
    with pytest.raises(InvalidSchemaError):
        SchemaFolder.beside(tmp_path / "fabric.toml")
    with pytest.raises(InvalidSchemaError):
        checks_in(tmp_path / "schemas", is_closed=True)


def test_everything_that_is_wrong_in_a_folder_is_said_at_once(folder: SchemaFolder) -> None:
    write(folder, "orders/OrderPlaced.json", "{")
    write(folder, "orders/orderplaced.json", "true")
    write(folder, "orders/notes.txt", "")
    write(folder, "README.md", "")
    write(folder, "payments/Paid.json", "[]")
    write(folder, ".git/config", "")
    with pytest.raises(InvalidSchemaError) as refused:
        folder.documents()
    paths = {problem.path.partition("#")[0] for problem in refused.value.problems}
    assert paths == {
        "README.md",
        "orders/OrderPlaced.json",
        "orders/orderplaced.json",
        "orders/notes.txt",
        "payments/Paid.json",
    }


def test_the_digest_of_all_says_which_type_has_which_schema() -> None:
    first, second = (read_schema(text, where="-") for text in ("true", "{}"))
    differing = [
        {},
        {"A": first},
        {"B": first},
        {"A": second},
        {"A": first, "B": second},
        {"A": second, "B": first},
        {"A": first, "B": first},
    ]
    assert len({digest_of_all(documents) for documents in differing}) == len(differing)
    assert digest_of_all({"B": second, "A": first}) == digest_of_all({"A": first, "B": second})


def test_the_folder_is_beside_the_definition(tmp_path: Path) -> None:
    assert SchemaFolder.beside(tmp_path / "fabric.toml") is None
    (tmp_path / "schemas").mkdir()
    beside = SchemaFolder.beside(tmp_path / "fabric.toml")
    assert beside is not None
    assert beside.documents() == {}
