"""`eventfabric new`: make a project whose tests pass at once."""

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from eventfabric.cli.connection import Json
from eventfabric.cli.options import path_option
from eventfabric.cli.output import say, show_json

_REGION = "us-east-1"
_MAY_BE_THERE = {".git", ".venv"}
_UNFINISHED = ".eventfabric-new-"
"""Beginning of the name of a folder that holds a project until it is complete."""


def new(
    name: Annotated[str, typer.Argument(help="Name of the fabric: all its resources are called NAME-...")],
    folder: Annotated[
        Path | None,
        path_option("--folder", help="Folder of the project, new or empty. Default: NAME."),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            "--region",
            help="Region of the fabric, the home Region first; may be repeated. Default: AWS_REGION, else us-east-1.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a project: a definition, two handlers, their tests, and the CDK app that deploys them.

    Example: eventfabric new shop

    Example: eventfabric new shop --folder . --region eu-central-1 --region eu-west-1
    """
    from eventfabric.cli.project import rendered
    from eventfabric.settings import region_named

    files = rendered(name, region or [region_named() or _REGION])
    target = _empty(folder or Path(name))
    _write(files, target)
    if json:
        show_json({"folder": str(target), "files": [str(path) for path in files]})
        return
    say(f"{target}: {len(files)} files of a fabric called {name}. Its tests run at once:")
    say("pytest" if target == Path() else f"cd {shlex.quote(str(target))} && pytest")
    say("README.md has the rest: what is where, and the way to AWS.")


def _write(files: Mapping[PurePosixPath, str], target: Path) -> None:
    """Write all files, or none. OSError names the file that could not be written.

    They are written into a folder within `target` first: if the process is killed, only that is left, which the next
    run removes.
    """
    made = [folder for folder in (target, *target.parents) if not folder.exists()]
    moved: list[Path] = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for leftover in target.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(leftover)
        with TemporaryDirectory(prefix=_UNFINISHED, dir=target) as unfinished:
            for path, text in files.items():
                _write_file(Path(unfinished, path), text, named=target / path)
            for entry in sorted(Path(unfinished).iterdir()):
                moved.append(target / entry.name)
                entry.rename(moved[-1])
    except BaseException:  # an interruption, too, leaves nothing half made
        for entry in moved:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)
        for folder in made:
            folder.rmdir()
        raise


def _write_file(file: Path, text: str, *, named: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(named)) from error


def _empty(folder: Path) -> Path:
    """Return a folder in which there is nothing to overwrite. Raises SettingError, OSError."""
    from eventfabric.errors import SettingError

    allowed = "a new or an empty folder"
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise SettingError("folder", str(folder), "a name in UTF-8") from error
    for path in (folder, *folder.parents):
        if path.is_symlink() and not path.exists():
            raise SettingError("folder", f"{path}, which is a link to nothing", allowed)
    if folder.exists() and not folder.is_dir():
        raise SettingError("folder", f"{folder}, which is a file", allowed)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    others = sorted(name for name in set(names) - _MAY_BE_THERE if not name.startswith(_UNFINISHED))
    if others:
        raise SettingError("folder", f"{folder}, which has {others[0]} in it", allowed)
    return folder
