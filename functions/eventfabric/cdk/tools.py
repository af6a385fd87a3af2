"""Installation of tools that are not in the environment: once for each lock, completely or not at all."""

import shutil
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from time import time
from typing import Final

from eventfabric.errors import EventFabricError

_SECONDS_LEFT_MAX: Final = 24 * 3600


class InstallError(EventFabricError):
    """A tool cannot be installed."""


def installed(name: str, lock: bytes, commands: Sequence[Sequence[str]], *, folder: Path) -> Path:
    """Return `<name>-<digest of the lock>` in a folder, made by the commands if it does not exist.

    `{folder}` in a command stands for a temporary folder, which is renamed once it is complete. The last command should
    start the tool, since installers of others end with 0 on a full disk. Raises InstallError.
    """
    complete = folder / f"{name}-{sha256(lock).hexdigest()[:16]}"
    if complete.is_dir():
        return complete
    folder.mkdir(parents=True, exist_ok=True)
    clear(folder, f"{name}-*.*")
    making = Path(mkdtemp(prefix=f"{complete.name}.", dir=folder))
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


def clear(folder: Path, pattern: str) -> None:
    """Delete what processes have left that were killed: temporary folders of such a name that are a day old."""
    for left in folder.glob(pattern):
        if time() - left.stat().st_mtime > _SECONDS_LEFT_MAX:
            shutil.rmtree(left, ignore_errors=True)
