"""Schemas as a commit has them: what those of the folder are compared with where there is no account."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from eventfabric.contracts.document import SchemaDocument, read_schema, read_unchecked
from eventfabric.contracts.folder import type_of_file
from eventfabric.errors import InvalidSchemaError, Problem, SettingError

_LINK: Final = "120000"
_FOLDER: Final = "040000"
_SUBMODULE: Final = "160000"
_LINKS_MAX: Final = 40
"""Most links that a path may go through, as Linux has it: more are a circle."""


@dataclass(frozen=True)
class CommittedSchemas:
    """The schemas of a folder in a commit, by stream and type.

    `unreadable`: why a file of a type cannot be compared. `is_empty`: the commit has nothing at that place.
    """

    documents: dict[tuple[str, str], SchemaDocument] = field(default_factory=dict)
    unreadable: dict[tuple[str, str], Problem] = field(default_factory=dict)
    is_empty: bool = False


def schemas_at(commit: str, folder: Path) -> CommittedSchemas:
    """Read the schemas that a folder has in a commit. Links are followed as that commit has them.

    SettingError: git is not there, the folder is in no repository, the commit is unknown, or has the folder elsewhere.
    """
    if commit.startswith("-") or "\0" in commit:
        raise SettingError("--against", f"git:{commit}", "git: and a commit, branch or tag")
    tree = _Tree(commit, folder.parent)
    own = PurePosixPath(tree.prefix, folder.name)
    try:
        schemas = CommittedSchemas(is_empty=tree.target(own) is None)
        files = [(stream.name, file) for stream in tree.inside(own) for file in tree.inside(stream)]
    except _NotInCommitError as error:
        allowed = f"a commit with {own} in the same repository ({error})"
        raise SettingError("--against", f"git:{commit}", allowed) from error
    for stream, file in files:
        type_ = type_of_file(file.name)
        if type_ is not None:
            _read(tree, file, (stream, type_), schemas)
    return schemas


def never_committed(folder: Path, files: list[Path]) -> dict[Path, str]:
    """Return those of the files that no commit of the folder's repository would have, and why. SettingError."""
    top = Path(os.fsdecode(_git(folder.parent, "", "rev-parse", "--show-toplevel").removesuffix(b"\n")))
    reasons: dict[Path, str] = {}
    inside: dict[str, Path] = {}
    for file in files:
        real = file.resolve()
        if real.is_relative_to(top):
            inside[str(real)] = file
        else:
            reasons[file] = f"{real}, outside of the repository"
    if inside:
        # Their folders, since a command line has no room for the names of all files.
        folders = sorted({str(Path(real).parent) for real in inside})
        command = (
            "--literal-pathspecs",
            "ls-files",
            "-z",
            "--others",
            "--ignored",
            "--exclude-standard",
            "--",
        )
        for name in filter(None, os.fsdecode(_git(top, "", *command, *folders)).split("\0")):
            if own := inside.get(str(top / name)):
                reasons[own] = "a file that git ignores"
    return reasons


def _read(tree: "_Tree", file: PurePosixPath, place: tuple[str, str], schemas: CommittedSchemas) -> None:
    where = f"{tree.commit}:{file}"
    try:
        text = tree.content(file)
    except _NotInCommitError as error:
        schemas.unreadable[place] = Problem(where, str(error), "a file of the repository")
        return
    try:
        schemas.documents[place] = read_schema(text, where=where)
    except InvalidSchemaError:
        # It may have been registered by a version that took it, so it is compared as far as it can be.
        try:
            schemas.documents[place] = read_unchecked(text, where=where)
        except InvalidSchemaError as error:
            schemas.unreadable[place] = error.problems[0].inside(where)


class _NotInCommitError(Exception):
    """A path leads to nothing that the commit has."""


class _Tree:
    """All paths of a commit, with links followed within it. `prefix`: that of the folder which it was asked for."""

    def __init__(self, commit: str, where: Path) -> None:
        self.commit, self._where = commit, where
        _git(where, commit, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
        self.prefix = os.fsdecode(_git(where, commit, "rev-parse", "--show-prefix").removesuffix(b"\n"))
        listed = _git(where, commit, "ls-tree", "-r", "-t", "-z", "--full-tree", commit)
        self.entries: dict[str, tuple[str, str]] = {}
        self._inside: dict[str, list[str]] = {}
        for line in filter(None, os.fsdecode(listed).split("\0")):
            facts, _, path = line.partition("\t")
            mode, _, digest = facts.split(" ")
            self.entries[path] = mode, digest
            self._inside.setdefault(str(PurePosixPath(path).parent), []).append(path)

    def inside(self, folder: PurePosixPath) -> Iterator[PurePosixPath]:
        """Yield the paths of what is in a folder, by its own name: nothing, if the commit has no such folder."""
        target = self.target(folder)
        if target is None:
            return
        if self.entries.get(str(target), (_FOLDER, ""))[0] == _SUBMODULE:
            raise _NotInCommitError(f"{folder} is a submodule")
        for path in self._inside.get(str(target), ()):
            yield folder / PurePosixPath(path).name

    def content(self, file: PurePosixPath) -> bytes:
        """Return what a file holds. Raises _NotInCommitError."""
        mode, digest = self.entries.get(str(self.target(file)), (_FOLDER, ""))
        if mode in (_FOLDER, _SUBMODULE):
            raise _NotInCommitError(f"{file} is no file")
        return self._blob(digest)

    def target(self, path: PurePosixPath) -> PurePosixPath | None:
        """Return where a path leads once all links on it are followed; None if the commit has nothing there."""
        todo, done, links = list(path.parts), PurePosixPath(), 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                if done == PurePosixPath():
                    raise _NotInCommitError(f"{path} leads out of the repository")
                done = done.parent
                continue
            mode, digest = self.entries.get(str(done / part), ("", ""))
            if not mode and not links:
                return None
            if not mode:
                raise _NotInCommitError(f"{path} leads to {done / part}, which is not there")
            if mode != _LINK:
                done /= part
                continue
            links += 1
            link = PurePosixPath(os.fsdecode(self._blob(digest)))
            if link.is_absolute() or links > _LINKS_MAX:
                raise _NotInCommitError(f"{path} leads out of the repository, or to itself")
            todo[:0] = link.parts
        return done

    def _blob(self, digest: str) -> bytes:
        return _git(self._where, self.commit, "cat-file", "blob", digest)


def _git(folder: Path, commit: str, *arguments: str) -> bytes:
    """Return what git prints. SettingError."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, check=True, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        allowed = f"deployed, where git cannot be run ({error!s:.200})"
        raise SettingError("--against", f"git:{commit}", allowed) from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().partition("\n")[0] or "unknown"
        allowed = f"a commit that git knows here ({reason:.200})"
        raise SettingError("--against", f"git:{commit}", allowed) from error
    return done.stdout
