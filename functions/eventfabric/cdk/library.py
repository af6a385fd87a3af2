"""The library as it was installed, which is what ships: never a folder that happens to be called `eventfabric`.

An installed wheel has a RECORD of its files and their digests. Those files ship, and only if they still are what was
installed, and no file that would ship lies beside them. An editable installation has no such RECORD: its source ships,
if it is the one that the installation names.
"""

import csv
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import Final

import eventfabric
from eventfabric.deployment.shipped import PACKAGE, is_shipped
from eventfabric.errors import EventFabricError

DISTRIBUTION: Final = "eventfabric-aws"
_AGAIN: Final = f"what was installed (install {DISTRIBUTION} again)"


class LibraryError(EventFabricError):
    """The library that this process imports is not what was installed, so it is not deployed."""


def installation() -> Distribution:
    """Return the installation of this library. Raises LibraryError."""
    try:
        return distribution(DISTRIBUTION)
    except PackageNotFoundError:
        raise LibraryError(
            f"{imported_package()}: found a library that nobody installed, allowed: an installed {DISTRIBUTION}"
        ) from None


def imported_package() -> Path:
    """Return the folder of the package that this process imports."""
    assert eventfabric.__file__ is not None
    return Path(eventfabric.__file__).parent.resolve()  # its files may be links into an installer's cache


def shipped_files(installed: Distribution, package: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield name and content of each file of the library that belongs in the zip. Raises LibraryError.

    Args:
        installed: the installation.
        package: the package that this process imports, which must be the one that was installed.
    """
    digests = _recorded(installed)
    if any(path.parts[:1] == (PACKAGE,) for path in digests):
        return _as_recorded(digests, Path(str(installed.locate_file(""))).resolve(), package)
    sources = _editable_sources(installed, digests)
    if package.parent not in sources:
        raise _elsewhere(package, sources)
    return _as_written(package)


def _recorded(installed: Distribution) -> dict[PurePosixPath, str]:
    """Return the digests of the files that the RECORD of an installation lists; empty for a file without one."""
    try:
        rows = [row for row in csv.reader((installed.read_text("RECORD") or "").splitlines()) if row]
        return {PurePosixPath(name): digest for name, digest, _ in rows}
    except (csv.Error, ValueError) as error:
        raise LibraryError(
            f"RECORD of {DISTRIBUTION}: found what is not three columns a row ({error}), allowed: {_AGAIN}"
        ) from error


def _as_recorded(
    digests: dict[PurePosixPath, str], folder: Path, package: Path
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield the files of an installed wheel, in the order of their names."""
    if package != folder / PACKAGE:
        raise _elsewhere(package, [folder])
    present = set(_present(package))
    for path in sorted(present.union(filter(is_shipped, digests))):
        file = folder / path
        if path not in present:
            raise LibraryError(f"{file}: found no file, allowed: {_AGAIN}")
        if path not in digests:
            raise LibraryError(
                f"{file}: found a file that RECORD does not list, allowed: {_AGAIN}, and no other"
            )
        try:
            content = file.read_bytes()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise LibraryError(f"{file}: found no readable file ({reason}), allowed: {_AGAIN}") from error
        if digests[path] != _digest(content):
            raise LibraryError(f"{file}: found content that is not what was installed, allowed: {_AGAIN}")
        yield path, content


def _as_written(package: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield the files of a source tree, in the order of their names."""
    for path in sorted(_present(package)):
        yield path, (package.parent / path).read_bytes()


def _present(package: Path) -> Iterator[PurePosixPath]:
    """Yield the names of the files in the package that belong in the zip."""
    for file in package.rglob("*"):
        path = PurePosixPath(file.relative_to(package.parent).as_posix())
        if is_shipped(path) and file.is_file():
            yield path


def _editable_sources(installed: Distribution, paths: dict[PurePosixPath, str]) -> list[Path]:
    """List the folders from which an editable installation imports; none for any other installation."""
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    if not origin.get("dir_info", {}).get("editable"):
        return []
    files = [Path(str(installed.locate_file(str(path)))) for path in paths if path.suffix == ".pth"]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [Path(line).resolve() for line in lines if line and not line.startswith(("#", "import"))]


def _digest(content: bytes) -> str:
    return "sha256=" + urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode()


def _elsewhere(package: Path, folders: list[Path]) -> LibraryError:
    places = " or ".join(str(folder / PACKAGE) for folder in folders) or "its own, by pip or the like"
    return LibraryError(f"{package}: found a library that was not installed there, allowed: {places}")
