"""Build what is released: wheel, source distribution, and the functions' software bill of materials.

Exit code 1: it cannot be built, or is no release.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer

from eventfabric.version import VERSION
from scripts.building.sbom import LockError, bill_of_materials, pins_in
from scripts.install import ROOT

LOCK: Final = ROOT / "functions" / "eventfabric" / "cdk" / "functions.txt"
WITHOUT_HISTORY_SECONDS: Final = 1_580_601_600
"""Time of a build from a tree without history; hatchling's own default."""


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
        if release:
            check_release(commit, VERSION)
        built = build(out, seconds_of(commit))
    except (BuildError, LockError) as error:
        raise SystemExit(f"scripts/build: {error}") from error
    if as_json:
        about = None if commit is None else asdict(commit)
        print(json.dumps({"version": VERSION, "commit": about, "files": [asdict(file) for file in built]}))
        return
    where = "a tree without history" if commit is None else f"commit {commit.id[:12]}"
    changed = " with changes" if commit and commit.modified else ""
    print(f"eventfabric-aws {VERSION}, of {where}{changed}, in {out}:")
    for file in built:
        print(f"{file.bytes:>10,}  {file.sha256}  {file.name}")


def commit_of(folder: Path) -> Commit | None:
    """Return the commit that a folder is a checkout of; None if it is none."""
    if not (folder / ".git").exists():  # it may lie within somebody else's checkout
        return None
    identifier, seconds = _git(folder, "log", "-1", "--format=%H %ct").split()
    tags = _git(folder, "tag", "--points-at", "HEAD").split()
    return Commit(identifier, int(seconds), tuple(tags), bool(_git(folder, "status", "--porcelain")))


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
    if not given.isdecimal():
        raise BuildError(f"SOURCE_DATE_EPOCH: found {given!r}, allowed: seconds since 1970")
    return int(given)


def build(out: Path, seconds: int) -> list[Built]:
    """Build into a folder, where files of other versions stay. Return what was built. BuildError, LockError."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(seconds)}
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            raise BuildError(f"hatchling: {ran.stderr[-2000:]}")
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        direct: Sequence[str] = project["dependencies"]
        pins = pins_in(LOCK.read_text(encoding="utf-8"))
        bill = folder / f"eventfabric_aws-{VERSION}.cdx.json"
        bill.write_text(bill_of_materials(VERSION, pins, direct, seconds=seconds), encoding="utf-8")
        out.mkdir(parents=True, exist_ok=True)
        return [_moved(file, out) for file in sorted(folder.iterdir())]


def _moved(file: Path, out: Path) -> Built:
    shutil.move(file, out / file.name)
    content = (out / file.name).read_bytes()
    return Built(file.name, len(content), sha256(content).hexdigest())


def _git(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise BuildError(f"git {arguments[0]}: {ran.stderr.strip()}")
    return ran.stdout


if __name__ == "__main__":
    typer.run(main)
