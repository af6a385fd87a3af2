"""The content of the functions' zip: an allow-list of the installed library, the user's code, and the wheels they need.

    eventfabric/...    the packages that functions import: no command line, local fabric or deployment
    subscribers/...    the user's handlers, and whatever else is beside them
    definition.json    the resolved definition
    event-schemas/...  the schemas of event types, in canonical text
    and what wheels.py unpacked; beside all modules their bytecode

One folder serves all functions of all Regions. Everybody may read its files, whatever umask they were made under: the
CDK zips them with their modes, and Lambda runs functions as another user. The hash covers only names, modes and bytes,
so that the same input makes the same asset on any machine.
"""

import os
import shutil
from collections.abc import Collection, Mapping
from hashlib import sha256
from pathlib import Path
from stat import S_IMODE, S_ISDIR, S_IXUSR
from typing import Final, TypeAlias

from eventfabric.cdk.bytecode import Compiler
from eventfabric.cdk.library import imported_package, installation, shipped_files
from eventfabric.contracts.document import SchemaDocument
from eventfabric.contracts.folder import file_name_of
from eventfabric.definition.schema import Definition, to_json
from eventfabric.deployment.shipped import PACKAGE, files_in
from eventfabric.errors import SettingError
from eventfabric.resources import DEPLOYED_DEFINITION, DEPLOYED_SCHEMAS

Schemas: TypeAlias = Mapping[str, Mapping[str, SchemaDocument]]
"""Schemas of event types, by stream and type."""
_OURS: Final = (PACKAGE, f"{PACKAGE}.py", DEPLOYED_DEFINITION, DEPLOYED_SCHEMAS)
_MODE_OF_FILES: Final = 0o644
_MODE_OF_PROGRAMS: Final = 0o755
"""Also of folders."""


def stage(
    definition: Definition,
    *,
    functions: Path | None,
    target: Path,
    wheels: Path | None,
    schemas: Schemas | None = None,
    compiler: Compiler | None = None,
) -> str:
    """Fill the folder `target` with the content of the zip, and return the hash of that content.

    Args:
        definition: the definition, resolved; it is put into the zip.
        functions: the user's folder, with `subscribers`; None if there is none.
        target: the folder to fill; its previous content is deleted.
        wheels: a folder of unpacked wheels; None for no wheels, if the templates are only looked at.
        schemas: the schemas of event types, if there are any.
        compiler: what makes bytecode of modules that have none; None for no more bytecode than the wheels have.

    Raises SettingError: a file of the user's cannot be in the zip, or two bring the same. Raises LibraryError.
    """
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    if wheels is not None:
        copy_wheels(wheels, target)
        _refuse_names_of_ours(target)
    for path, content in shipped_files(installation(), imported_package()):
        copy = target / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
    (target / DEPLOYED_DEFINITION).write_bytes(to_json(definition))
    for stream, documents in (schemas or {}).items():
        (target / DEPLOYED_SCHEMAS / stream).mkdir(parents=True)
        for type_, document in documents.items():
            (target / DEPLOYED_SCHEMAS / stream / file_name_of(type_)).write_bytes(document.content)
    taken = {path.name for path in target.iterdir()}
    for source in [] if functions is None else files_in(functions):
        assert functions is not None
        _add(
            source,
            target / source.relative_to(functions),
            taken=_is_taken(source.relative_to(functions), taken),
        )
    if compiler is not None:
        compiler.compile(target)
    _open_to_all(target)
    return hash_of(target)


def copy_wheels(wheels: Path, target: Path) -> None:
    """Copy unpacked wheels into a folder. Since nothing changes their files, they only get another name if they can."""
    shutil.copytree(wheels, target, dirs_exist_ok=True, copy_function=_link)


def _link(source: str, copy: str) -> None:
    try:
        os.link(source, copy)
    except OSError:  # another file system, or one without links
        shutil.copy(source, copy)


def _refuse_names_of_ours(wheels: Path) -> None:
    """Raise SettingError for wheels that have a name of the fabric's own, which it alone brings."""
    for name in _OURS:
        if (wheels / name).exists():
            allowed = "no package that brings it: what is installed here is in the zip anyway"
            raise SettingError("requirements of the functions", name, allowed)


def _is_taken(name: Path, taken: Collection[str]) -> bool:
    """Tell if something that is named so already is in the zip beside a file of the user's, or in place of it."""
    return name.parts[0] == DEPLOYED_SCHEMAS or _rival(name) in taken


def _rival(name: Path) -> str:
    """Return the name of what Python would import in place of a module or package of the user's, or the reverse."""
    top = name.parts[0]
    return top.removesuffix(".py") if top.endswith(".py") else f"{top}.py"


def _add(source: Path, copy: Path, *, taken: bool) -> None:
    """Copy a file of the user's. SettingError: the fabric or a package brings its name, or `taken`, hides it."""
    try:
        if taken or copy.exists():
            raise FileExistsError
        copy.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        brought = "a name that the fabric brings, or a package that functions need"
        raise SettingError(str(source), brought, "another name") from error
    shutil.copy(source, copy)  # with its mode, since it may be a program


def _open_to_all(folder: Path) -> None:
    """Let everybody read a folder and all that is in it, and run what its owner may run."""
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        wanted = _MODE_OF_PROGRAMS if S_ISDIR(mode) or mode & S_IXUSR else _MODE_OF_FILES
        if S_IMODE(mode) != wanted:
            path.chmod(wanted)


def hash_of(folder: Path) -> str:
    """Compute a digest of the names, modes and bytes of all files in a folder, and of bytecode without the bytes.

    Bytecode follows from the modules beside it, and may differ between patch releases of one Python.
    """
    digest = sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, mode = path.relative_to(folder).as_posix().encode(), S_IMODE(path.stat().st_mode)
        content = b"" if path.parent.name == "__pycache__" else path.read_bytes()
        digest.update(f"{len(name)}:{mode:o}:{len(content)}:".encode() + name + content)
    return digest.hexdigest()
