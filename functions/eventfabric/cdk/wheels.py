"""The wheels in the zip: those of functions.txt beside this file, and the user's, for Lambda's platform. No Docker.

They are fetched once for each change of a lock or of the user's requirements, with all that these include, and kept
unpacked in a cache, so that synthesis needs no network.
The fabric's own wheels are verified by their hashes. The user's, listed in `requirements.txt` beside the packages of
handlers or in one of them, may have hashes, and must not ask for other versions of packages that the fabric brings.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from filecmp import cmp
from hashlib import sha256
from pathlib import Path
from platform import machine
from tempfile import mkdtemp

from eventfabric.cdk.bytecode import Compiler
from eventfabric.cdk.staging import copy_wheels
from eventfabric.cdk.tools import clear
from eventfabric.deployment.requirements import read_requirements, requirements_in
from eventfabric.deployment.shipped import LOCK, pins_of
from eventfabric.errors import EventFabricError
from eventfabric.topology import LAMBDA_PYTHON

CACHE = Path("~/.cache/eventfabric/wheels")
"""Folder for the unpacked wheels of all projects of this user."""
_MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
_GLIBC_MINOR, _GLIBC_MINOR_OLDEST = 34, 5
"""Lambda's Python 3.12 and later run on Amazon Linux 2023, whose glibc is 2.34. No wheels are for one before 2.5."""
_LINUX = (
    *(f"manylinux_2_{minor}" for minor in range(_GLIBC_MINOR, _GLIBC_MINOR_OLDEST - 1, -1)),
    *("manylinux2014", "manylinux2010", "manylinux1", "linux"),
)
"""All that run there, the newest first: pip takes a platform that is named to the letter, and no older one."""


@dataclass(frozen=True)
class Platform:
    """A platform that functions run on. `named` identifies it in the cache, `options` make pip choose its wheels."""

    title: str
    python: str
    named: tuple[str, ...]
    options: tuple[str, ...] = ()


def linux(python: str, machine: str) -> Platform:
    """Make the platform of a Python such as `3.13` on Linux, on a machine such as `aarch64`."""
    options = (
        *("--python-version", python, "--implementation", "cp"),
        *(word for tag in _LINUX for word in ("--platform", f"{tag}_{machine}")),
    )
    return Platform(f"Python {python} on Linux ({machine})", python, named=options, options=options)


LAMBDA = linux(LAMBDA_PYTHON, _MACHINES["arm64"])
"""The platform of functions for which a definition names no other architecture."""
HOST = Platform(
    "this Python and machine",
    "{}.{}".format(*sys.version_info),
    named=(sys.version, sys.platform, machine()),
)
"""This machine and interpreter, for emulators that run functions on them."""
PLATFORMS = ("lambda", "host")
_CRASH = "ERROR: Exception:"
"""First line of a traceback of pip's, whose last line has the reason."""


class WheelsError(EventFabricError):
    """A package that functions need has no wheel for Lambda's platform, or cannot be fetched."""


def platform_named(name: str, architecture: str) -> Platform:
    """Choose one of PLATFORMS, for functions of an architecture. Raises WheelsError."""
    if name not in PLATFORMS:
        raise WheelsError(f"platform: found {name}, allowed: {' or '.join(PLATFORMS)}")
    return HOST if name == "host" else linux(LAMBDA_PYTHON, _MACHINES[architecture])


def unpacked_wheels(
    functions: Path | None,
    *,
    cache: Path,
    platform: Platform = LAMBDA,
    lock: Path = LOCK,
    compiler: Compiler | None = None,
) -> Path:
    """Return a folder with all wheels unpacked, from the cache or fetched into it. Raises WheelsError, SettingError.

    `functions` is the user's folder: its `requirements.txt`, and those of the folders directly in it, list what
    handlers need. `lock` lists what else is needed, with hashes. `compiler` puts bytecode beside the modules.
    """
    users = [] if functions is None else requirements_in(functions)
    content = b"".join(read_requirements(users).digests.values())
    asked = [lock.read_bytes(), content, *map(str.encode, platform.named)]
    if compiler is not None:
        asked.append(f"bytecode of {compiler.version}".encode())
    folder = cache / sha256(b"\0".join(asked)).hexdigest()[:16]
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    clear(cache, "fetching-*")
    work = Path(mkdtemp(prefix="fetching-", dir=cache))
    try:
        if users:
            # A user's requirements change more often than the lock, which is fetched only once.
            own = unpacked_wheels(None, cache=cache, platform=platform, lock=lock, compiler=compiler)
            copy_wheels(own, work / "own")
            _add_users(users, work, platform, lock)
        else:
            wanted = ("--require-hashes", "--no-deps", "--requirement", str(lock))
            _fetch(work / "own", [*platform.options, *wanted])
        if compiler is not None:
            compiler.compile(work / "own")
        # Only a complete folder gets this name. Another process may have made the same folder first.
        with suppress(OSError):
            (work / "own").rename(folder)
        if not folder.is_dir():
            raise WheelsError(f"packages of the functions: {work / 'own'} cannot become {folder}")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def _add_users(users: Sequence[Path], work: Path, platform: Platform, lock: Path) -> None:
    """Fetch what a user's files of requirements ask for, and add it to the wheels in `work`. Raises WheelsError."""
    pins = work / "pins.txt"
    pins.write_text(pins_of(lock.read_text()))
    named = [word for user in users for word in ("--requirement", str(user))]
    try:
        _fetch(work / "user", [*platform.options, *named, "--constraint", str(pins)])
        _add(work / "user", work / "own")
    except WheelsError as error:
        ours = " ".join(pins.read_text().split())
        raise WheelsError(
            f"{', '.join(map(str, users))}: found {error}; allowed: packages with wheels for {platform.title}, "
            f"and of what the fabric brings only its versions: {ours}"
        ) from error


def _fetch(target: Path, wanted: list[str]) -> None:
    """Unpack wheels into a folder, without ever running a package's own code."""
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-compile", "--only-binary", ":all:", "--target", str(target), *wanted),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        lines = ran.stderr.splitlines()
        reasons = [line for line in lines if line.startswith("ERROR") and line != _CRASH] or lines[-1:]
        raise WheelsError(f"packages that cannot be fetched ({' '.join(reasons)})")
    shutil.rmtree(target / "bin", ignore_errors=True)


def _add(source: Path, target: Path) -> None:
    """Copy the files that `target` lacks. Raises WheelsError if both have a file, and it is not the same.

    Records of installations differ by what was asked for.
    """
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        copy = target / name
        if path.is_file() and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)  # with its mode, since a package may bring programs
        elif (
            path.is_file() and not name.parts[0].endswith(".dist-info") and not cmp(path, copy, shallow=False)
        ):
            raise WheelsError(f"two packages that bring {name}")
