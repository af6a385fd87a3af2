"""The rule for what is in the functions' zip: of this library, of other packages, and of the user's folder.

The deployment stages by it; checks of a definition, and fabrics on this machine, hold handlers to it.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

PACKAGE: Final = "eventfabric"
SHIPPED: Final = ("aws", "definition", "handlers", "model", "runtime", "sdk", "services", "wire")
"""Packages of eventfabric in the zip; the modules beside them are in it, too. A test lists those that are left out."""
LOCK: Final = Path(__file__).resolve().parents[1] / "cdk" / "functions.txt"
"""Packages that the library itself needs in the zip, with versions and hashes."""
REQUIREMENTS: Final = "requirements.txt"
"""Name of a file that lists what the user's handlers need, beside their packages or in one of them."""
_NEVER: Final = ("__pycache__", REQUIREMENTS)


def is_shipped(path: PurePosixPath) -> bool:
    """Tell if a file of the library belongs in the zip. Bytecode does not, since it is for this Python."""
    if path.parts[0] != PACKAGE or any(part.startswith(".") or part == "__pycache__" for part in path.parts):
        return False
    return path.parts[1] in SHIPPED if len(path.parts) > 2 else path.suffix in (".py", ".typed")


def is_left_out(module: str) -> bool:
    """Tell if a module of the library stays out of the zip."""
    names = module.split(".")
    if names[0] != PACKAGE or len(names) == 1 or names[1] in SHIPPED:
        return False
    return (LOCK.parents[1] / names[1]).is_dir()


def files_in(folder: Path) -> list[Path]:
    """List the files of a folder that belong in the zip, sorted by name."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part in _NEVER or part.startswith(".") for part in path.relative_to(folder).parts)
    )


def own_names(functions: Path | None) -> frozenset[str]:
    """Return the names of the packages and modules that the user's folder brings into the zip."""
    paths = [] if functions is None else functions.iterdir()
    return frozenset(path.stem for path in paths if path.name != PACKAGE)


def requirements_in(functions: Path) -> list[Path]:
    """List the files that say what the user's handlers need, beside their packages or in them."""
    return sorted([*functions.glob(REQUIREMENTS), *functions.glob(f"*/{REQUIREMENTS}")])


def requirements_for(module: str, functions: Path) -> Path:
    """Return the file in which what a module of the user's needs belongs, or would if it existed."""
    own = functions / module.partition(".")[0] / REQUIREMENTS
    return own if own.is_file() else functions / REQUIREMENTS


def pins_of(lock: str) -> str:
    """Extract the versions from a lock, without hashes, as constraints for other packages."""
    return "\n".join(re.findall(r"^([A-Za-z0-9._-]+==[^ ;\\]+)", lock, re.MULTILINE)) + "\n"


def requirement_lines(path: Path) -> Iterator[str]:
    """Yield the requirements in a file, and in those that it includes, without comments and options."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.partition(" #")[0].strip()
        included = re.match(r"(?:-r|--requirement)[ =]\s*(.+)", text)
        if included:
            yield from requirement_lines(path.parent / included[1])
        elif text and not text.startswith(("#", "-")):
            yield text
