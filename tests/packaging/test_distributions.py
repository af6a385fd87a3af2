"""Wheel and source distribution hold the library whole and nothing else, and two builds of it are equal."""

import os
import shutil
from pathlib import Path

from eventfabric.version import VERSION
from scripts.install import ROOT
from tests.packaging.distributions import PACKAGE, build, names_in

NAME = f"eventfabric_aws-{VERSION}"
PACKAGES = {
    *(
        "aws",
        "cdk",
        "cli",
        "definition",
        "deployment",
        "handlers",
        "local",
        "model",
        "runtime",
        "sdk",
        "services",
    ),
    *("contracts", "simulation", "testing", "typed", "wire"),
}
TEMPLATES = {
    "README.md",
    "cdk.json",
    "dot_github/workflows/test.yml",
    "dot_gitignore",
    "functions/subscribers/__init__.py",
    "functions/subscribers/billing.py",
    "functions/subscribers/events.py",
    "functions/subscribers/loyalty.py",
    "functions/subscribers/tables.py",
    "infra/app.py",
    "infra/extension.py",
    "infra/fabric.toml",
    "infra/sample/events.jsonl",
    "pyproject.toml",
    "tests/test_orders.py",
}
"""Templates of a new project, each in a file with another ending: none may vanish because a .gitignore names it."""
DATA = {
    *(f"cli/templates/{name}.template" for name in TEMPLATES),
    "cli/catalogue/page.css",
    "cdk/aws-cdk/package-lock.json",
    "cdk/aws-cdk/package.json",
    "cdk/functions-with-schemas.txt",
    "cdk/functions.txt",
    "py.typed",
    "testing/simulation/timeline.css",
    "testing/simulation/timeline.js",
}
"""All that is in the library beside modules."""
INFORMATION = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
BESIDE = {".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}


def library() -> set[str]:
    """Return every file of the library in this checkout, within its package."""
    paths = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(PACKAGE).as_posix() for path in paths}


def test_the_library_is_its_packages_modules_and_the_data_that_is_listed() -> None:
    assert {name.partition("/")[0] for name in library() if "/" in name} == PACKAGES
    assert {name for name in library() if not name.endswith(".py")} == DATA


def test_the_wheel_holds_the_library_and_what_describes_it(built: tuple[Path, Path]) -> None:
    wheel, _ = built
    wanted = {f"eventfabric/{name}" for name in library()}
    wanted |= {f"{NAME}.dist-info/{name}" for name in INFORMATION}
    assert wheel.name == f"{NAME}-py3-none-any.whl"
    assert sorted(names_in(wheel)) == sorted(wanted)


def test_the_source_distribution_holds_what_the_wheel_is_built_from(built: tuple[Path, Path]) -> None:
    _, source = built
    assert source.name == f"{NAME}.tar.gz"
    assert sorted(names_in(source)) == sorted(
        {f"functions/eventfabric/{name}" for name in library()} | BESIDE
    )


def test_builds_at_other_times_in_other_places_are_equal_to_the_byte(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(PACKAGE, elsewhere / "functions" / "eventfabric")
    for name in BESIDE - {"PKG-INFO"}:
        shutil.copyfile(ROOT / name, elsewhere / name)
    for path in elsewhere.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700 if path.is_dir() else 0o600)
    again = build(tmp_path / "dist", project=elsewhere, TZ="Asia/Tokyo")
    assert [path.name for path in again] == [path.name for path in built]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in built]


def test_the_wheel_of_the_source_distribution_is_the_same(built: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, source = built
    shutil.unpack_archive(source, tmp_path)
    again, _ = build(tmp_path / "dist", project=tmp_path / NAME)
    assert again.read_bytes() == wheel.read_bytes()
