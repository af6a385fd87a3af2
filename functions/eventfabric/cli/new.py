"""`eventfabric new`: make a project whose tests pass at once."""

import shlex
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from eventfabric.cli.connection import Json
from eventfabric.cli.output import say, show_json

_REGION = "us-east-1"
_MAY_BE_THERE = {".git", ".venv"}


def new(
    name: Annotated[str, typer.Argument(help="Name of the fabric: all its resources are called NAME-...")],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", help="Folder of the project, new or empty. Default: NAME.", show_default=False
        ),
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
    """Write all files, or none. OSError names the file that could not be written."""
    made: list[Path] = []
    try:
        for path, text in files.items():
            file = target / path
            for folder in reversed([file.parent, *file.parent.parents]):
                if not folder.exists():
                    folder.mkdir()
                    made.append(folder)
            made.append(file)
            try:
                file.write_text(text, encoding="utf-8")
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(file)) from error
    except BaseException:  # an interruption, too, leaves nothing half made
        for there in reversed(made):
            if there.is_dir():
                there.rmdir()
            else:
                there.unlink(missing_ok=True)
        raise


def _empty(folder: Path) -> Path:
    """Return a folder in which there is nothing to overwrite. Raises SettingError, OSError."""
    from eventfabric.errors import SettingError

    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    others = sorted(set(names) - _MAY_BE_THERE)
    if others:
        raise SettingError("folder", f"{folder}, which has {others[0]} in it", "a new or an empty folder")
    if folder.exists() and not folder.is_dir():
        raise SettingError("folder", f"{folder}, which is a file", "a new or an empty folder")
    return folder
