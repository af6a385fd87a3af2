"""Owns what is in the zip of the functions: an allow-list of our own code, the user's, and the wheels they need.

    eventfabric/...    what functions import; no command line, local fabric, reading of definitions, deployment
    handlers/...       the entry points
    subscribers/...    the user's handlers, and whatever else is beside them
    definition.json    the definition, resolved
    and what infra/wheels.py unpacked

One folder serves all functions of all Regions. Its hash covers names and bytes alone, so that the same input is the
same asset on any machine.
"""

import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from eventfabric.definition.schema import Definition, to_json
from eventfabric.topology import DEPLOYED_DEFINITION

SHIPPED = ("aws", "definition", "model", "runtime", "sdk", "services", "wire")
"""Packages of eventfabric that go along, as do the modules beside them."""
LEFT_OUT = ("cli", "deployment", "local", "simulation", "testing")
"""Packages that do not; a test holds that none is in neither list."""
LIBRARY = Path(__file__).resolve().parent.parent / "functions"
OURS = ("eventfabric", "handlers")
_NEVER = ("__pycache__", "requirements.txt")


def stage(definition: Definition, *, functions: Path, target: Path, wheels: Path | None) -> str:
    """Fill the folder `target` anew; its content hash.

    Args:
        definition: goes along, resolved.
        functions: the user's folder, with `subscribers`; it may be the one that eventfabric and handlers are in.
        target: the folder to fill; what is there already is deleted.
        wheels: a folder of unpacked wheels; None: without any, for templates that are only looked at.
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
    for folder in (*(library / name for name in SHIPPED), LIBRARY / "handlers"):
        yield from files_in(folder)


def _files_of_the_user(functions: Path) -> Iterator[Path]:
    return (path for path in files_in(functions) if path.relative_to(functions).parts[0] not in OURS)


def files_in(folder: Path) -> list[Path]:
    """The files that are worth shipping, sorted by name."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(_is_left_out(part) for part in path.relative_to(folder).parts)
    )


def _is_left_out(part: str) -> bool:
    return part in _NEVER or part.startswith(".")


def hash_of(folder: Path) -> str:
    """A digest over names and bytes of all files."""
    digest = sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, content = path.relative_to(folder).as_posix().encode(), path.read_bytes()
        digest.update(f"{len(name)}:{len(content)}:".encode() + name + content)
    return digest.hexdigest()
