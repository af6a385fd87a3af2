"""House style that a linter does not know, checked over the files that git tracks."""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from scripts.measurements.source import FORMATTER_OFF, NO_OPENING

ROOT = Path(__file__).resolve().parents[2]
SKIPPED_FOLDERS = {".git", ".venv", "__pycache__", "cdk.out", "node_modules", "build", "dist"}
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

# A Python file that may be longer, and why. Keep this short.
LONGER_FILES: dict[str, str] = {
    "functions/eventfabric/errors.py": "the one tree of errors, which is read as one",
    "functions/eventfabric/sdk/bundles.py": "all that one lock guards of a publisher",
}

# Words that a reader has to look up at each use: say what is meant, as `event`, `findings`, `message` or `position`.
NAMES_OF_NOTHING = {"one", "found", "told", "at", "each", "within"}

# Where such a word is the name of a thing all the same. Keep this short.
NAMED_SO: dict[str, set[str]] = {
    # An error says what it found beside what is allowed: `found` and `allowed` are public.
    "functions/eventfabric/errors.py": {"found"},
    "functions/eventfabric/definition/checks.py": {"found"},
    "functions/eventfabric/definition/facts.py": {"found"},
    "functions/eventfabric/definition/file.py": {"found"},
    "functions/eventfabric/model/payload.py": {"found"},
    "functions/eventfabric/wire/cloudevent.py": {"found"},
    "functions/eventfabric/wire/cursor_item.py": {"found"},
    "functions/eventfabric/wire/fields.py": {"found"},
    # A public report, and a field of a file that is kept.
    "functions/eventfabric/testing/idempotency/report.py": {"found"},
    "scripts/simulation/regressions.py": {"found"},
    # The position of a slice is stored under this name, and ports are public.
    "functions/eventfabric/model/backfill.py": {"at"},
    "functions/eventfabric/ports.py": {"at"},
}

# The words are put together here so that this file does not hold what it forbids.
MACHINE_PATH = re.compile(
    r"(?:(?<![\w.$}~*/-])|(?<=://))/(?:" + "|".join(["work", "root", "home", "Users"]) + r")/\w"
)
REGISTRY_HOST = re.compile(
    r"\b(?:"
    + "|".join(["pypi", "pythonhosted", "npmjs", "debian", "crates", "yarnpkg"])
    + r")\.(?:org|com|io)\b"
)
BROAD_EXCEPT = re.compile(r"^\s*except\b[^#]*\b(?:Base)?Exception\b[^#]*:\s*$")
UNEXPLAINED_IGNORE = re.compile(r"#\s*type:\s*ignore(\[[^\]]*\])?\s*$")


@cache
def tracked_files() -> tuple[Path, ...]:
    """The files in git's index that still exist, or every file outside generated folders."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode == 0 and listing.stdout:
        paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not SKIPPED_FOLDERS.intersection(path.parts)]
    return tuple(sorted(path for path in paths if path.is_file()))


@cache
def text_of(path: Path) -> str:
    """The text of a file; a binary one reads as empty."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def python_files(folder: str = "") -> tuple[Path, ...]:
    """Python files under a folder, scripts without an extension included."""
    return tuple(
        path
        for path in tracked_files()
        if name_of(path).startswith(folder)
        and (path.suffix == ".py" or re.match(r"#!.*\bpython", text_of(path)))
    )


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(text_of(path), filename=str(path))


def lines_where(files: tuple[Path, ...], holds: Callable[[str], object]) -> list[str]:
    """Every line for which `holds` is true, as `file:line: text`."""
    return [
        f"{name_of(path)}:{number}: {line.strip()[:120]}"
        for path in files
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if holds(line)
    ]


def assert_none(offences: list[str], rule: str) -> None:
    assert not offences, "\n".join([rule, *offences])


def functions_in(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def names_bound_in(path: Path) -> Iterator[tuple[int, str]]:
    """Every name that a file gives to something: the line of each, and the name."""
    for node in ast.walk(tree_of(path)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case (
                ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.alias(asname=str(name))
            ):
                yield node.lineno, name


def names_of_nothing_in(path: Path) -> Iterator[tuple[int, str]]:
    return ((line, name) for line, name in names_bound_in(path) if name.strip("_") in NAMES_OF_NOTHING)


def sleeps_in(path: Path) -> Iterator[int]:
    """The lines that call `time.sleep`, under whatever name it was imported."""
    modules = {"time"}
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            names |= {alias.asname or alias.name for alias in node.names if alias.name == "sleep"}
        elif isinstance(node, ast.Import):
            modules |= {alias.asname for alias in node.names if alias.name == "time" and alias.asname}
    for node in ast.walk(tree_of(path)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr="sleep")) if module in modules:
                yield node.lineno
            case ast.Call(func=ast.Name(id=name)) if name in names:
                yield node.lineno


def test_no_file_names_a_path_of_one_machine() -> None:
    offences = lines_where(tracked_files(), MACHINE_PATH.search)
    assert_none(
        offences, "Paths of one machine mean nothing on another; write them relative to the repository:"
    )


def test_no_file_names_the_host_of_a_package_registry() -> None:
    offences = lines_where(tracked_files(), REGISTRY_HOST.search)
    assert_none(offences, "Name the package, not the registry's host; people use mirrors:")


def test_no_python_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {name_of(path): len(text_of(path).splitlines()) for path in python_files()}
    offences = [
        f"{name}: {length} lines"
        for name, length in lengths.items()
        if length > FILE_LINES_MAX and name not in LONGER_FILES
    ]
    assert_none(
        offences, f"Split files over {FILE_LINES_MAX} lines, or list them in LONGER_FILES with a reason:"
    )


def test_every_file_listed_as_longer_still_is() -> None:
    offences = [
        name
        for name in LONGER_FILES
        if not (ROOT / name).is_file() or len(text_of(ROOT / name).splitlines()) <= FILE_LINES_MAX
    ]
    assert_none(offences, "Take these out of LONGER_FILES; they are gone or short enough:")


def test_no_function_is_longer_than_a_screenful() -> None:
    offences = [
        f"{name_of(path)}:{node.lineno}: {node.name} has {length} lines"
        for path in python_files()
        for node in functions_in(path)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert_none(offences, f"Split functions over {FUNCTION_LINES_MAX} lines:")


def strings_that_stand_alone(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings, those of attributes included: the line of each, and its text."""
    for node in ast.walk(tree_of(path)):
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.lineno, value.value.strip()


def test_no_docstring_begins_in_the_middle_of_a_sentence() -> None:
    offences = [
        f"{name_of(path)}:{line}: {text.splitlines()[0]:.60}"
        for path in python_files()
        for line, text in strings_that_stand_alone(path)
        if NO_OPENING.match(text)
    ]
    assert_none(offences, "Open a docstring with a verb in the imperative, or a noun that names the thing:")


def test_a_name_says_what_it_is_a_name_of() -> None:
    offences = [
        f"{name_of(path)}:{line}: {name}"
        for path in python_files()
        for line, name in names_of_nothing_in(path)
        if name not in NAMED_SO.get(name_of(path), ())
    ]
    assert_none(offences, "Name these by a noun for what they hold, or list them in NAMED_SO with a reason:")


def test_every_name_listed_as_meant_so_is_still_in_use() -> None:
    offences = [
        f"{file}: {name}"
        for file, names in NAMED_SO.items()
        for name in names - {bound for _, bound in names_of_nothing_in(ROOT / file)}
    ]
    assert_none(offences, "Take these out of NAMED_SO; they are gone:")


@pytest.mark.parametrize(
    "source",
    [
        "at = 1",
        "for _, one in []: pass",
        "[each for each in []]",
        "(found := 1)",
        "def told(): ...",
        "async def told(): ...",
        "def f(*, at): ...",
        "lambda one: one",
        "class C:\n    at: int",
        "self._told = 1",
        "with open('f') as found: pass",
        "try: ...\nexcept E as one: pass",
        "match 1:\n    case int() as one: pass",
        "import os as at",
    ],
)
def test_such_a_name_is_seen_however_it_is_bound(source: str, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(source)
    assert len(list(names_of_nothing_in(path))) == 1


def test_no_line_switches_the_formatter_off() -> None:
    offences = lines_where(python_files(), FORMATTER_OFF.search)
    assert_none(offences, "Write it so that it reads well as the formatter lays it out:")


def test_every_shipped_module_says_what_it_owns() -> None:
    offences = [name_of(path) for path in python_files("functions/") if not ast.get_docstring(tree_of(path))]
    assert_none(offences, "Give these modules a docstring: what each owns and must not do:")


def test_no_test_sleeps() -> None:
    offences = [f"{name_of(path)}:{line}" for path in python_files("tests/") for line in sleeps_in(path)]
    assert_none(offences, "Tests do not sleep: pass a clock, or wait for the condition itself:")


def test_every_broad_except_says_why_on_its_line() -> None:
    offences = lines_where(python_files(), BROAD_EXCEPT.match)
    assert_none(offences, "Name the exceptions, or say in a comment on the line why all of them are meant:")


def test_every_ignored_type_says_why_on_its_line() -> None:
    offences = lines_where(python_files(), UNEXPLAINED_IGNORE.search)
    assert_none(offences, "Say in a comment behind `type: ignore[...]` why the type checker does not see it:")
