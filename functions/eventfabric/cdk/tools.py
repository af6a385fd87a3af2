"""Installation of tools that are not in the environment: once for each lock, completely or not at all."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from eventfabric.errors import EventFabricError


class InstallError(EventFabricError):
    """A tool cannot be installed."""


def installed(name: str, lock: bytes, commands: Sequence[Sequence[str]], *, folder: Path) -> Path:
    """Return `<name>-<digest of the lock>` in a folder, made by the commands if it does not exist.

    `{folder}` in a command stands for a temporary folder, which is renamed once it is complete. Raises InstallError.
    """
    complete = folder / f"{name}-{sha256(lock).hexdigest()[:16]}"
    if complete.is_dir():
        return complete
    making = complete.with_name(f"{complete.name}.{os.getpid()}")
    making.mkdir(parents=True)
    try:
        for command in commands:
            words = [word.replace("{folder}", str(making)) for word in command]
            ran = subprocess.run(words, capture_output=True, text=True, check=False)
            if ran.returncode != 0:
                raise InstallError(f"{name} cannot be installed: {ran.stderr[-2000:]}")
        try:
            making.rename(complete)
        except OSError:  # another process was faster
            if not complete.is_dir():
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return complete
