"""Installation of tools that are not in the environment: once for each lock, completely or not at all."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class InstallError(Exception):
    """A tool cannot be installed."""


def installed(name: str, lock: bytes, commands: Sequence[Sequence[str]]) -> Path:
    """Return the folder build/<name>-<digest of the lock>, made by the commands if it does not exist.

    `{folder}` in a command stands for a temporary folder, which is renamed once it is complete. Raises InstallError.
    """
    folder = ROOT / "build" / f"{name}-{sha256(lock).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    making = folder.with_name(f"{folder.name}.{os.getpid()}")
    making.mkdir(parents=True)
    try:
        for command in commands:
            words = [word.replace("{folder}", str(making)) for word in command]
            ran = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
            if ran.returncode != 0:
                raise InstallError(f"{name} cannot be installed: {ran.stderr[-2000:]}")
        try:
            making.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder
