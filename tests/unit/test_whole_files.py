"""Files that are written as a whole: there is the old text or the new one, and nothing beside them."""

import os
import stat
from errno import EACCES, EBUSY, ELOOP, EPERM, EROFS
from pathlib import Path

import pytest

from eventfabric.whole_files import write_whole
from tests.support.full_disk import full_disk


def held(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_files_are_written_and_replaced(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    write_whole({tmp_path / "old": "né\n", tmp_path / "new": b"new"})
    assert held(tmp_path) == {"old": "né\n", "new": "new"}


@pytest.mark.parametrize("bytes_max", [0, 10])
def test_a_full_disk_leaves_all_files_as_they_were_and_is_named_by_the_file(
    tmp_path: Path, bytes_max: int
) -> None:
    (tmp_path / "old").write_text("old")
    with full_disk(bytes_max), pytest.raises(OSError) as refused:
        write_whole({tmp_path / "small": "", tmp_path / "old": "x" * 100, tmp_path / "new": "x" * 100})
    assert refused.value.filename == str(tmp_path / "old")
    assert held(tmp_path) == {"old": "old"}


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "old").write_text("old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole({tmp_path / "old": "next"})
    assert held(tmp_path) == {"old": "old"}


def test_rights_and_links_stay(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o640)
    (tmp_path / "link").symlink_to("old")
    write_whole({tmp_path / "link": "next"})
    assert (tmp_path / "link").is_symlink()
    assert held(tmp_path) == {"old": "next", "link": "next"}
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o640


@pytest.mark.parametrize("number", [EACCES, EPERM, EROFS])
def test_a_file_in_a_folder_that_takes_no_other_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "old").write_text("old")
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError) as refused:
        write_whole({tmp_path / "old": "next", tmp_path / "new": "new"})
    assert refused.value.filename == str(tmp_path / "new")
    assert held(tmp_path) == {"old": "old"}
    write_whole({tmp_path / "old": "next"})
    assert held(tmp_path) == {"old": "next"}


@pytest.mark.parametrize("number", [EBUSY, EPERM])
def test_a_file_that_cannot_be_replaced_as_one_that_is_mounted_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "old").write_text("old")
    monkeypatch.setattr(Path, "replace", refuse)
    write_whole({tmp_path / "old": "next"})
    assert held(tmp_path) == {"old": "next"}


@pytest.mark.parametrize("name", ["circle", "circle/new"])
def test_a_circle_of_links_is_named_and_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError) as refused:
        write_whole({tmp_path / "old": "", tmp_path / name: "next"})
    assert (refused.value.filename, refused.value.errno) == (str(tmp_path / name), ELOOP)
    assert [path.name for path in tmp_path.iterdir()] == ["circle"]


def test_a_new_file_has_the_rights_that_files_have(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_whole({tmp_path / "new": ""})
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_what_is_no_file_is_written_to(capfd: pytest.CaptureFixture[str]) -> None:
    write_whole({Path("/dev/stdout"): "text\n"})
    assert capfd.readouterr().out == "text\n"


def test_a_file_that_cannot_be_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "file", tmp_path / ("n" * 300)):
        with pytest.raises(OSError) as refused:
            write_whole({path: "text"})
        assert refused.value.filename == str(path)
    assert held(tmp_path) == {}


def test_text_that_is_no_unicode_leaves_what_was_there(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_whole({tmp_path / "a": "text", tmp_path / "b": "\ud800"})
    assert held(tmp_path) == {}
