"""The content of the functions' zip: an allow-list of the fabric's code, the user's code, and the wheels they need.

    eventfabric/...    the packages that functions import: no command line, local fabric or deployment
    subscribers/...    the user's handlers, and whatever else is beside them
    definition.json    the resolved definition
    and what wheels.py unpacked

One folder serves all functions of all Regions. Its hash covers only names and bytes, so that the same input makes the
same asset on any machine.
"""

import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from eventfabric.definition.schema import Definition, to_json
from eventfabric.topology import DEPLOYED_DEFINITION

SHIPPED = ("aws", "definition", "handlers", "model", "runtime", "sdk", "services", "wire")
"""Packages of eventfabric in the zip; the modules beside them are in it, too. A test lists those that are left out."""
LIBRARY = Path(__file__).resolve().parents[2]
OURS = ("eventfabric",)
_NEVER = ("__pycache__", "requirements.txt")


def stage(definition: Definition, *, functions: Path, target: Path, wheels: Path | None) -> str:
    """Fill the folder `target` with the content of the zip, and return the hash of that content.

    Args:
        definition: the definition, resolved; it is put into the zip.
        functions: the user's folder, with `subscribers`. It may be the one that contains eventfabric.
        target: the folder to fill; its previous content is deleted.
        wheels: a folder of unpacked wheels; None for no wheels, if the templates are only looked at.
    """
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    if wheels is not None:
        shutil.copytree(wheels, target, dirs_exist_ok=True)
    for folder, sources in ((LIBRARY, _own_files()), (functions, _files_of_the_user(functions))):
        for source in sources:
            copy = target / source.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    (target / DEPLOYED_DEFINITION).write_bytes(to_json(definition))
    return hash_of(target)


def _own_files() -> Iterator[Path]:
    library = LIBRARY / "eventfabric"
    yield from sorted(path for path in library.iterdir() if path.suffix in (".py", ".typed"))
    for name in SHIPPED:
        yield from files_in(library / name)


def _files_of_the_user(functions: Path) -> Iterator[Path]:
    return (path for path in files_in(functions) if path.relative_to(functions).parts[0] not in OURS)


def files_in(folder: Path) -> list[Path]:
    """List the files of a folder that belong in the zip, sorted by name."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(_is_left_out(part) for part in path.relative_to(folder).parts)
    )


def _is_left_out(part: str) -> bool:
    return part in _NEVER or part.startswith(".")


def hash_of(folder: Path) -> str:
    """Compute a digest of the names and bytes of all files in a folder."""
    digest = sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, content = path.relative_to(folder).as_posix().encode(), path.read_bytes()
        digest.update(f"{len(name)}:{len(content)}:".encode() + name + content)
    return digest.hexdigest()
