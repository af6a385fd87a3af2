"""Folder of schemas: one file for each type that has one, `<stream>/<type>.json`, its name percent-encoded."""

import re
from collections.abc import Collection, Iterator, Mapping, Set
from os import PathLike, listdir
from pathlib import Path
from stat import S_ISREG
from typing import Final
from urllib.parse import quote, unquote

from eventfabric.contracts import SCHEMAS_FOLDER, may_be_there
from eventfabric.contracts.document import SchemaDocument, digest_of, read_schema
from eventfabric.errors import InvalidSchemaError, Problem
from eventfabric.limits import TYPE_CHARACTERS_MAX

_SUFFIX: Final = ".json"


class SchemaFolder:
    """The schemas in a folder. Its files are listed at first, and read when their types are asked for.

    Both hold for good: a file that was listed and cannot be read is an error, and never a type without a schema.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        """List the files, if there is such a folder. InvalidSchemaError: something else is there, or not readable."""
        self.path = Path(path)
        self._known: dict[tuple[str, str], SchemaDocument] = {}
        self._listed = self._list()

    @classmethod
    def beside(cls, definition: str | PathLike[str]) -> "SchemaFolder | None":
        """Return the folder beside a definition's file; None if there is none. InvalidSchemaError."""
        path = Path(definition).parent / SCHEMAS_FOLDER
        return cls(path) if may_be_there(path) else None

    @property
    def names(self) -> Set[str]:
        """Names of what was there beside hidden files: of streams, if all is well."""
        return self._listed.keys()

    def may_have_types(self, name: str) -> bool:
        """Tell if something in it may be a folder of types: it has a file of one, is empty, or cannot be read."""
        names = self._listed.get(name, frozenset())
        return isinstance(names, InvalidSchemaError) or not names or any(map(type_of_file, names))

    def document(self, stream: str, type_: str) -> SchemaDocument | None:
        """Return the schema of a type; None if it has none. InvalidSchemaError: it has a file that is no schema."""
        document = self._known.get((stream, type_))
        return self._find(stream, type_) if document is None else document

    def documents(self, *, streams: Collection[str] | None = None) -> dict[str, dict[str, SchemaDocument]]:
        """Return all schemas by stream and type, as they are listed now. InvalidSchemaError lists all that is wrong.

        `streams`: those that there are; None: any may be.
        """
        problems: list[Problem] = []
        documents: dict[str, dict[str, SchemaDocument]] = {}
        for stream, name in self._files(problems):
            type_ = unquote(name.removesuffix(_SUFFIX))
            try:
                document = self._known.get((stream, type_)) or self._read(stream, type_)
            except InvalidSchemaError as error:
                problems += [_in_file(problem, f"{stream}/{name}") for problem in error.problems]
                continue
            documents.setdefault(stream, {})[type_] = document
        for stream in documents.keys() - (documents.keys() if streams is None else streams):
            problems.append(
                Problem(stream, "schemas of no stream", f"folders called {', '.join(streams or ())}")
            )
        if problems:
            raise InvalidSchemaError(problems, where=str(self.path))
        return documents

    def file_of(self, stream: str, type_: str) -> Path:
        """Return where the schema of a type is, or would be."""
        return self.path / stream / file_name_of(type_)

    def has_room_for(self, stream: str, type_: str) -> bool:
        """Tell if a type's file may stand beside those that there are now: none has its name in other case."""
        folder, own = self.path / stream, file_name_of(type_)
        names = _names_in(folder) if may_be_there(folder) else ()
        return all(name == own or name.lower() != own.lower() for name in names)

    def _find(self, stream: str, type_: str) -> SchemaDocument | None:
        self._listed = self._listed or self._list()
        names = self._listed.get(stream, frozenset())
        if isinstance(names, InvalidSchemaError):  # it may be readable by now, as after a lack of descriptors
            names = self._listed[stream] = _names_in(self.path / stream)
        try:
            # By its name as it is listed: some file systems find a file in any case, which is another type's.
            return self._read(stream, type_) if file_name_of(type_) in names else None
        except UnicodeEncodeError:  # nobody can publish a type of such a name
            return None

    def _read(self, stream: str, type_: str) -> SchemaDocument:
        file = self.file_of(stream, type_)
        try:
            if not S_ISREG(file.stat().st_mode):  # a pipe would be waited for
                raise InvalidSchemaError([Problem("schema", "no file", "a JSON Schema")], where=str(file))
            text = file.read_bytes()
        except OSError as error:
            problem = Problem("schema", _unreadable(error), "a JSON Schema")
            raise InvalidSchemaError([problem], where=str(file)) from error
        document = self._known[stream, type_] = read_schema(text, where=str(file))
        return document

    def _list(self) -> "dict[str, frozenset[str] | InvalidSchemaError]":
        """Return the names of each stream's files, or why its folder cannot be read. InvalidSchemaError."""
        listed: dict[str, frozenset[str] | InvalidSchemaError] = {}
        names = _names_in(self.path) if may_be_there(self.path) else frozenset()
        for stream in sorted(names):
            if not stream.startswith("."):
                try:
                    listed[stream] = _names_in(self.path / stream)
                except InvalidSchemaError as error:
                    listed[stream] = error
        return listed

    def _files(self, problems: list[Problem]) -> Iterator[tuple[str, str]]:
        """Yield each stream with the name of each file; add what does not belong there to `problems`."""
        for stream, names in self._list().items():
            if isinstance(names, InvalidSchemaError):
                problems += [Problem(stream, problem.found, problem.allowed) for problem in names.problems]
                continue
            before = dict[str, str]()
            for name in sorted(names):
                if name.startswith("."):
                    continue
                problem = _problem_of(name, before)
                if problem is None:
                    yield stream, name
                else:
                    problems.append(problem.inside(f"{stream}/{name}"))


def digest_of_all(documents: Mapping[str, SchemaDocument]) -> str:
    """Return one digest of the schemas of a stream, by type: equal if, and only if, all of them are."""
    lines = (f"{document.digest} {type_}\0" for type_, document in sorted(documents.items()))
    return digest_of("".join(lines).encode("utf-8", "surrogatepass"))


def digests_of(documents: Mapping[str, Mapping[str, SchemaDocument]]) -> dict[str, str]:
    """Return one digest for the schemas of each stream."""
    return {stream: digest_of_all(own) for stream, own in documents.items()}


def file_name_of(type_: str) -> str:
    """Return the name of a type's file, which is never hidden: programs put files of their own beside others."""
    return re.sub(r"^\.", "%2E", quote(type_, safe="")) + _SUFFIX


def _in_file(problem: Problem, name: str) -> Problem:
    """Return a problem of a schema as one of its file, with the pointer into it, if it has one."""
    pointer = problem.path if problem.path.startswith("#") else ""
    return Problem(f"{name}{pointer}", problem.found, problem.allowed)


def type_of_file(name: str) -> str | None:
    """Return the type that a file of that name is for; None if it is for none."""
    type_ = unquote(name.removesuffix(_SUFFIX))
    return type_ if file_name_of(type_) == name and 0 < len(type_) <= TYPE_CHARACTERS_MAX else None


def _problem_of(name: str, names: dict[str, str]) -> Problem | None:
    """Return why a file is none of a type. `names`: those before it, in lower case, to which its own is added."""
    if type_of_file(name) is None:
        allowed = f"a file named after an event type, percent-encoded, such as {file_name_of('OrderPlaced')}"
        return Problem("", "a name of no type", allowed)
    before = names.setdefault(name.lower(), name)
    if before != name:
        return Problem(
            "", f"the name of {before} in other case", "names that every file system can tell apart"
        )
    return None


def _names_in(folder: Path) -> frozenset[str]:
    """Return the names in a folder. InvalidSchemaError."""
    try:
        return frozenset(listdir(folder))
    except OSError as error:
        state = "a file" if isinstance(error, NotADirectoryError) else _unreadable(error)
        allowed = "a folder for each stream, and in it a file for each type"
        raise InvalidSchemaError([Problem("folder", state, allowed)], where=str(folder)) from error


def _unreadable(error: OSError) -> str:
    return f"nothing that can be read ({(error.strerror or str(error)).lower()})"
