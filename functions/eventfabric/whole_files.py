"""Files that are written as a whole: whoever is interrupted, or finds the disk full, leaves what was there before."""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EACCES, EBUSY, ELOOP, ENOENT, EPERM, EROFS
from pathlib import Path
from secrets import token_hex

_NAME_CHARACTERS_MAX = 100
_KEEPS_ITS_FILES = (EACCES, EBUSY, EPERM, EROFS)
"""Errors of a folder that takes no other file, and of a file that is mounted and not to be replaced."""


def write_whole(contents: Mapping[Path, str | bytes]) -> None:
    """Write files, in UTF-8: each of them wholly, and none before all could be written.

    A link stays a link; what is no file, such as /dev/stdout, is written to. So is, at the end, a file that can be
    written and not replaced. OSError names the file that could not be written.
    """
    encoded = {path: own.encode() if isinstance(own, str) else own for path, own in contents.items()}
    written: dict[Path, tuple[Path, Path]] = {}
    try:
        for path, content in encoded.items():
            with _naming(path):
                target = Path(os.path.realpath(path))
                if target.is_symlink():  # in a circle of links there is no end
                    raise OSError(ELOOP, os.strerror(ELOOP))
                if path.is_relative_to("/dev") or (target.exists() and not target.is_file()):
                    path.write_bytes(content)
                    continue
                unfinished = target.with_name(f".{target.name[:_NAME_CHARACTERS_MAX]}.{token_hex(4)}")
                written[path] = unfinished, target
                _prepare(unfinished, content, target)
        for path, (unfinished, target) in written.items():
            with _naming(path):
                _put(unfinished, encoded[path], target)
    except BaseException:  # an interruption, too, leaves nothing behind
        for unfinished, _ in written.values():
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
        raise


def _prepare(unfinished: Path, content: bytes, target: Path) -> None:
    """Write the file that is to replace the target, if its folder takes one."""
    is_there = target.exists()
    if is_there and not os.access(target, os.W_OK):
        raise PermissionError(EACCES, os.strerror(EACCES))
    try:
        _write(unfinished, content, like=target)
    except OSError as error:
        if not is_there or error.errno not in _KEEPS_ITS_FILES:
            raise


def _put(unfinished: Path, content: bytes, target: Path) -> None:
    """Replace the target by the unfinished file; where that cannot be, write to the target itself."""
    try:
        unfinished.replace(target)
    except OSError as error:
        if error.errno not in (*_KEEPS_ITS_FILES, ENOENT):
            raise
        target.write_bytes(content)
        unfinished.unlink(missing_ok=True)


def _write(unfinished: Path, content: bytes, *, like: Path) -> None:
    """Write a new file, with the rights of another if that is there."""
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if like.exists():
        unfinished.chmod(stat.S_IMODE(like.stat().st_mode))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Have errors name the file that was asked for, and not the one beside it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
