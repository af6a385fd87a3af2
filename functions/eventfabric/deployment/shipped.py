"""The rule for what is in the functions' zip: of this library, of other packages, and of the user's folder.

The deployment stages by it; checks of a definition, and fabrics on this machine, hold handlers to it.
"""

import re
from collections.abc import Container
from pathlib import Path, PurePosixPath
from typing import Final

from eventfabric.definition.schema import Definition
from eventfabric.deployment.requirements import requirements_in
from eventfabric.errors import SettingError

PACKAGE: Final = "eventfabric"
SHIPPED: Final = ("aws", "contracts", "definition", "handlers", "model", "runtime", "sdk", "services", "wire")
"""Packages of eventfabric in the zip; the modules beside them are in it, too. A test lists those that are left out."""
LOCK: Final = Path(__file__).resolve().parents[1] / "cdk" / "functions.txt"
"""Packages that the library itself needs in the zip, with versions and hashes."""
_LOCK_WITH_SCHEMAS: Final = LOCK.with_name("functions-with-schemas.txt")
"""Packages of LOCK and jsonschema-rs, which is as large as all of them together."""


def is_shipped(path: PurePosixPath) -> bool:
    """Tell if a file of the library belongs in the zip. Bytecode does not, since it is for this Python."""
    if path.parts[:1] != (PACKAGE,) or any(
        part.startswith(".") or part == "__pycache__" for part in path.parts
    ):
        return False
    return path.parts[1] in SHIPPED if len(path.parts) > 2 else path.suffix in (".py", ".typed")


def is_left_out(module: str) -> bool:
    """Tell if a module of the library stays out of the zip."""
    names = module.split(".")
    if names[0] != PACKAGE or len(names) == 1 or names[1] in SHIPPED:
        return False
    return (LOCK.parents[1] / names[1]).is_dir()


def files_in(functions: Path) -> list[Path]:
    """List the files of the user's folder that belong in the zip, sorted by name.

    Hidden files, bytecode for this Python, requirements files that are read, and a library that lies among them do not.
    SettingError: something is neither file nor folder, such as a link to a folder, or its name is not in UTF-8.
    """
    files, requirements = [], requirements_in(functions)
    for path in functions.rglob("*"):
        parts = path.relative_to(functions).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if hidden or parts[0] == PACKAGE or path in requirements:
            continue
        try:
            path.name.encode()
        except UnicodeEncodeError as error:
            raise SettingError(str(path.parent), path.name, "names in UTF-8") from error
        if path.is_file():
            files.append(path)
        elif path.is_symlink() or not path.is_dir():
            kind = "a link to a folder or to nothing" if path.is_symlink() else "neither file nor folder"
            raise SettingError(str(path), kind, "files, folders, and links to files")
    return sorted(files)


def own_names(functions: Path | None) -> frozenset[str]:
    """Return the names of the packages and modules that the user's folder brings into the zip."""
    paths = [] if functions is None else functions.iterdir()
    return frozenset(path.stem for path in paths if path.name != PACKAGE)


def lock_for(definition: Definition, schemas: Container[str]) -> Path:
    """Return the lock of what the library needs in a definition's zip. `schemas`: streams whose types have some."""
    for own in definition.subscriptions.values():
        if (own.validate and own.stream in schemas) or any(target in schemas for target in own.publishes):
            return _LOCK_WITH_SCHEMAS
    return LOCK


def pins_of(lock: str) -> str:
    """Extract the versions from a lock, without hashes, as constraints for other packages."""
    return "\n".join(re.findall(r"^([A-Za-z0-9._-]+==[^ ;\\]+)", lock, re.MULTILINE)) + "\n"
