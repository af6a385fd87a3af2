"""Owns the wheels in the zip: those of scripts/locks/functions.txt, and the user's, for Lambda's platform. No Docker.

They are fetched once for each change of a lock, and kept unpacked in a cache, so that synthesis needs no network then.
The fabric's own are verified by their hashes; the user's, `requirements.txt` beside the packages of handlers or within
one, may have hashes of their own, and may not ask for other versions of what the fabric brings.
"""

import re
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from platform import machine
from tempfile import mkdtemp

from eventfabric.errors import EventFabricError
from eventfabric.topology import LAMBDA_ARCHITECTURE, LAMBDA_PYTHON

LOCK = Path(__file__).resolve().parent.parent / "scripts" / "locks" / "functions.txt"
REQUIREMENTS = "requirements.txt"
_MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
_MANYLINUX = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014", "linux")
"""Lambda's Python 3.12 and later run on Amazon Linux 2023, whose C library is 2.34."""


@dataclass(frozen=True)
class Platform:
    """What functions run on: `named` tells it from others in the cache, `options` have pip choose wheels for it."""

    title: str
    named: tuple[str, ...]
    options: tuple[str, ...] = ()


def linux(python: str, machine: str) -> Platform:
    """A Python such as `3.13` on Linux, and a machine such as `aarch64`."""
    options = (
        *("--python-version", python, "--implementation", "cp"),
        *(word for tag in _MANYLINUX for word in ("--platform", f"{tag}_{machine}")),
    )
    return Platform(f"Python {python} on Linux ({machine})", named=options, options=options)


LAMBDA = linux(LAMBDA_PYTHON, _MACHINES[LAMBDA_ARCHITECTURE])
HOST = Platform("this Python and machine", named=(sys.version, sys.platform, machine()))
"""This machine and interpreter, as emulators of Lambda let functions run on it."""
PLATFORMS = {"lambda": LAMBDA, "host": HOST}


class WheelsError(EventFabricError):
    """The functions need a package that there is no wheel of for Lambda's platform, or that cannot be fetched."""


def platform_named(name: str) -> Platform:
    """One of PLATFORMS; WheelsError."""
    if name not in PLATFORMS:
        raise WheelsError(f"platform: found {name}, allowed: {' or '.join(PLATFORMS)}")
    return PLATFORMS[name]


def unpacked_wheels(functions: Path, *, cache: Path, platform: Platform = LAMBDA, lock: Path = LOCK) -> Path:
    """The folder with all wheels unpacked, from the cache or fetched into it; WheelsError.

    `functions` is the folder in which every `requirements.txt`, and that of any folder of it, says what the user's
    handlers need; `lock` is what else is needed, with hashes.
    """
    users = requirements_in(functions)
    content = b"\0".join(user.read_bytes() for user in users)
    asked = [lock.read_bytes(), content, *map(str.encode, platform.named)]
    folder = cache / sha256(b"\0".join(asked)).hexdigest()[:16]
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(mkdtemp(prefix="fetching-", dir=cache))
    try:
        _fetch(work / "own", [*platform.options, "--require-hashes", "--no-deps", "--requirement", str(lock)])
        if users:
            pins = work / "pins.txt"
            pins.write_text(pins_of(lock.read_text()))
            named = [word for user in users for word in ("--requirement", str(user))]
            wanted = [*platform.options, *named, "--constraint", str(pins)]
            try:
                _fetch(work / "user", wanted)
            except WheelsError as error:
                ours = " ".join(pins.read_text().split())
                raise WheelsError(
                    f"{', '.join(map(str, users))}: found {error}; allowed: packages with wheels for {platform.title}, "
                    f"and of what the fabric brings only its versions: {ours}"
                ) from error
            _add(work / "user", work / "own")
        # Only what is whole gets the name; another process may have been first, with the same.
        with suppress(OSError):
            (work / "own").rename(folder)
        if not folder.is_dir():
            raise WheelsError(f"packages of the functions: {work / 'own'} cannot become {folder}")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def requirements_in(functions: Path) -> list[Path]:
    """The files that say what the user's handlers need, beside their packages or within them."""
    return sorted([*functions.glob(REQUIREMENTS), *functions.glob(f"*/{REQUIREMENTS}")])


def pins_of(lock: str) -> str:
    """The versions of a lock, without its hashes, as constraints for others."""
    return "\n".join(re.findall(r"^([A-Za-z0-9._-]+==[^ ;\\]+)", lock, re.MULTILINE)) + "\n"


def _fetch(target: Path, wanted: list[str]) -> None:
    """Unpack wheels into a folder; never runs a package's own code."""
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-compile", "--only-binary", ":all:", "--target", str(target), *wanted),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        reasons = [
            line for line in ran.stderr.splitlines() if line.startswith("ERROR")
        ] or ran.stderr.splitlines()
        raise WheelsError(f"packages that cannot be fetched ({' '.join(reasons)})")
    shutil.rmtree(target / "bin", ignore_errors=True)


def _add(source: Path, target: Path) -> None:
    """What is not there yet: what both have is of the same version."""
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_file() and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
