"""Build what is released: wheel, source distribution, and the functions' software bill of materials.

Exit code 1: it cannot be built, or is no release.
"""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer

from scripts.building.sbom import LockError, bill_of_materials, pins_in
from scripts.install import ROOT

LIBRARY: Final = Path("functions", "eventfabric")
LOCK: Final = LIBRARY / "cdk" / "functions.txt"
LOCK_WITH_MORE: Final = LOCK.with_name("functions-with-schemas.txt")
"""The lock of functions that need more than most: all packages of LOCK, and others."""
WITHOUT_HISTORY_SECONDS: Final = 1_580_601_600
"""Time of a build from a tree without history; hatchling's own default."""
SECONDS_MAX: Final = 2**32 - 1
"""Latest time that a gzip file can state."""


class BuildError(Exception):
    """Nothing can be built, or it would be no release."""


@dataclass(frozen=True)
class Commit:
    """The commit that is built. `modified`: the tree has changes that it does not have."""

    id: str
    seconds: int
    tags: tuple[str, ...]
    modified: bool


@dataclass(frozen=True)
class Built:
    """A file that was built."""

    name: str
    bytes: int
    sha256: str


def main(
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = ROOT / "dist",
    release: Annotated[
        bool,
        typer.Option("--release", help="Refuse a tree with changes, and a commit without the version's tag."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Build wheel, source distribution and software bill of materials, and print their sizes and digests.

    Needs no network. A commit always gives the same bytes: SOURCE_DATE_EPOCH is the commit's time, unless it is set.

    Example: scripts/build --out build/release --json
    """
    try:
        commit = commit_of(ROOT)
        with source_of(ROOT, commit if release else None) as source:
            version = runpy.run_path(str(source / LIBRARY / "version.py"))["VERSION"]
            if release:
                check_release(commit, version)
            built = build(out, seconds_of(commit), source=source, version=version)
    except OSError as error:
        raise SystemExit(f"scripts/build: {error.filename}: {error.strerror}") from error
    except (BuildError, LockError) as error:
        raise SystemExit(f"scripts/build: {error}") from error
    if as_json:
        about = None if commit is None else asdict(commit)
        print(json.dumps({"version": version, "commit": about, "files": [asdict(file) for file in built]}))
        return
    where = "a tree without history" if commit is None else f"commit {commit.id[:12]}"
    changed = " with changes" if commit and commit.modified else ""
    print(f"eventfabric-aws {version}, of {where}{changed}, in {out}:")
    for file in built:
        print(f"{file.bytes:>10,}  {file.sha256}  {file.name}")


def commit_of(folder: Path) -> Commit | None:
    """Return the commit that a folder is a checkout of; None if it is none."""
    if not (folder / ".git").exists():  # it may lie within somebody else's checkout
        return None
    identifier, seconds = _git(folder, "log", "-1", "--format=%H %ct").split()
    tags = _git(folder, "tag", "--points-at", "HEAD").split()
    changes = _git(folder, "status", "--porcelain", "--untracked-files=normal")
    return Commit(identifier, int(seconds), tuple(tags), bool(changes))


@contextmanager
def source_of(folder: Path, released: Commit | None) -> Iterator[Path]:
    """Provide what is built: the folder, or a new clone of a commit that is released. BuildError.

    A checkout may look clean, and not be: git can be told to ignore a file, or its changes.
    """
    if released is None:
        yield folder
        return
    with TemporaryDirectory() as name:
        _git(folder, "clone", "--quiet", "--depth", "1", folder.as_uri(), name)
        yield Path(name)


def check_release(commit: Commit | None, version: str) -> None:
    """Raise BuildError unless a commit is what its version's tag names."""
    if commit is None:
        raise BuildError("release: found a tree without history, allowed: a checkout of the version's tag")
    if commit.modified:
        raise BuildError("release: found changes that are not committed, allowed: none")
    if f"v{version}" not in commit.tags:
        tags = ", ".join(commit.tags) or "none"
        raise BuildError(
            f"release: found tags of this commit: {tags}; allowed: v{version}, as version.py says"
        )
    if "dev" in version:
        raise BuildError(f"release: found version {version}, allowed: one without .dev0")


def seconds_of(commit: Commit | None) -> int:
    """Return the time that the build states for all files, in seconds since 1970. BuildError."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is None:
        return WITHOUT_HISTORY_SECONDS if commit is None else commit.seconds
    if not re.fullmatch("[0-9]{1,10}", given) or int(given) > SECONDS_MAX:
        raise BuildError(f"SOURCE_DATE_EPOCH: found {given!r}, allowed: seconds since 1970, to {SECONDS_MAX}")
    return int(given)


def build(out: Path, seconds: int, *, source: Path, version: str) -> list[Built]:
    """Build into a folder, where others stay. Return what was built. OSError, BuildError, LockError."""
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(seconds)}
        ran = subprocess.run(
            command, cwd=source, env=environment, capture_output=True, text=True, check=False
        )
        if ran.returncode != 0:
            raise BuildError(f"hatchling: {ran.stderr[-2000:]}")
        project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        direct: Sequence[str] = project["dependencies"]
        pins, more = (pins_in((source / lock).read_text(encoding="utf-8")) for lock in (LOCK, LOCK_WITH_MORE))
        bill = folder / f"eventfabric_aws-{version}.cdx.json"
        text = bill_of_materials(version, pins, direct, optional=more, seconds=seconds)
        bill.write_text(text, encoding="utf-8")
        return [_moved(file, out) for file in sorted(folder.iterdir())]


def _moved(file: Path, out: Path) -> Built:
    shutil.move(file, out / file.name)
    content = (out / file.name).read_bytes()
    return Built(file.name, len(content), sha256(content).hexdigest())


def _git(folder: Path, *arguments: str) -> str:
    try:
        ran = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BuildError("git: not found, needed: on the PATH, to build a checkout") from error
    if ran.returncode != 0:
        raise BuildError(f"git {arguments[0]}: {ran.stderr.strip()}")
    return ran.stdout


if __name__ == "__main__":
    typer.run(main)
