"""Requirements files: all that pip would read for them is known, and what would be built is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from eventfabric.deployment.requirements import read_requirements
from eventfabric.errors import SettingError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, which is the working folder, whose requirements belong into `functions/requirements.txt`."""
    (tmp_path / "functions").mkdir()
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "rows-1-py3-none-any.whl").write_bytes(b"wheel")
    (tmp_path / "shared.txt").write_text("shelves==1\n")
    (tmp_path / "sources").mkdir()
    (tmp_path / "rows-1.tar.gz").write_bytes(b"sources")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(folder: Path, text: str) -> tuple[list[str], list[bytes]]:
    """Return the requirements, and what identifies them in the cache."""
    file = folder / "functions" / "requirements.txt"
    file.write_text(text)
    read = read_requirements([file])
    return read.lines, list(read.digests.values())


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("# none\n\n", []),
        (
            "boto3 >= 1 # the SDK\n--pre\nrows[a,b]==1 ; python_version < '4'\n",
            ["boto3 >= 1", "rows[a,b]==1 ; python_version < '4'"],
        ),
        ("rows==1 \\\n    --hash=sha256:0 \\\n    --hash sha256:1\n", ["rows==1"]),
        ("-r ../shared.txt\n-r ../shared.txt", ["shelves==1"]),
        ("-c ../shared.txt\nrows\n--requirement=../shared.txt", ["rows", "shelves==1"]),
        ("-r requirements.txt\nrows", ["rows"]),
        ("--index-url https://${TOKEN}@example.com/simple --only-binary :all:\nrows", ["rows"]),
        ("rows @ https://example.com/rows-1-py3-none-any.whl#sha256=0 ; os_name == 'posix'", None),
        ("wheels/rows-1-py3-none-any.whl[a]", None),
        ("\ufeffrows", ["rows"]),
        ("# a comment does not go on \\\nrows\n", ["rows"]),
    ],
)
def test_requirements_are_read_as_pip_reads_them(text: str, lines: list[str] | None, folder: Path) -> None:
    assert asked(folder, text)[0] == ([text] if lines is None else lines)


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("-r ../shared.txt", "shared.txt"),
        ("-r../shared.txt", "shared.txt"),
        ("--pre -c ../shared.txt\nrows", "shared.txt"),
        ("-r other.txt", "shared.txt"),
        ("wheels/rows-1-py3-none-any.whl", "wheels/rows-1-py3-none-any.whl"),
        (
            "rows @ file:{folder}/wheels/rows-1-py3-none-any.whl ; os_name == 'posix'",
            "wheels/rows-1-py3-none-any.whl",
        ),
        ("--find-links wheels\nrows", "wheels/rows-1-py3-none-any.whl"),
        ("-f file://{folder}/wheels\nrows", "wheels/rows-1-py3-none-any.whl"),
    ],
)
def test_requirements_are_others_when_any_file_that_they_depend_on_changes(
    text: str, file: str, folder: Path
) -> None:
    (folder / "functions" / "other.txt").write_text("-r ../shared.txt\n")
    text = text.replace("{folder}", str(folder))
    before = asked(folder, text)[1]
    assert asked(folder, text)[1] == before
    (folder / file).write_bytes(b"# changed")
    assert asked(folder, text)[1] != before


@pytest.mark.parametrize(
    "text",
    [
        "-e sources",
        "--editable=sources",
        "--edit sources",
        "sources/",
        "./sources",
        "{folder}/sources",
        "rows @ file://{folder}/sources",
        "rows-1.tar.gz",
        "rows @ file://{folder}/rows-1.tar.gz#name.whl",
        "https://example.com/rows-1.zip",
        "git+https://example.com/rows.whl",
        "rows @ git+ssh://git@example.com/rows",
        "--no-binary rows\nrows",
        "--pre --no-binary=:all:\nrows",
        "--only-binary :none:\nrows",
        "--no-bin rows\nrows",
        "rows --no-binary rows",
        "rows --global-option=x",
        "# a comment does not go on \\\n-e sources",
        "rows \\\n# nor does one on its way \\\n-e sources",
        "-r hidden.txt",
        "-c hidden.txt\nrows",
        "wheels/gone-1-py3-none-any.whl",
        "-r gone.txt",
        "-r https://example.com/shared.txt",
        "-r ${FILE}",
        "rows @ https://[/rows.whl",
        "wheels/${WHEEL}-1-py3-none-any.whl",
        "-r 'shared.txt",
    ],
)
def test_what_would_be_built_or_cannot_be_known_is_refused_with_its_file(text: str, folder: Path) -> None:
    (folder / "functions" / "hidden.txt").write_text("--no-binary rows\n")
    with pytest.raises(SettingError) as caught:
        asked(folder, text.replace("{folder}", str(folder)))
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.mkdir(),
        lambda file: file.write_bytes(b"# caf\xe9\n"),
        lambda file: file.symlink_to(file),
        lambda file: (file.with_name("circle").symlink_to("circle"), file.write_text("-r circle\n")),
        lambda file: (
            file.with_name("a.whl").symlink_to("a.whl"),
            file.write_text(f"{file.with_name('a.whl')}"),
        ),
    ],
    ids=["folder", "Latin-1", "circle", "circle that is included", "wheel that is a circle"],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(spoil: Callable[[Path], object], folder: Path) -> None:
    file = folder / "functions" / "requirements.txt"
    spoil(file)
    with pytest.raises(SettingError, match=r"requirements\.txt|circle|a\.whl"):
        read_requirements([file])
