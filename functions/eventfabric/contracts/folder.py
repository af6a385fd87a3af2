"""Folder of schemas: one file for each type that has one, `<stream>/<type>.json`, its name percent-encoded."""

from collections.abc import Collection, Iterator, Mapping
from errno import ENAMETOOLONG
from os import PathLike, listdir
from pathlib import Path
from stat import S_ISREG
from typing import Final
from urllib.parse import quote, unquote

from eventfabric.contracts import SCHEMAS_FOLDER
from eventfabric.contracts.document import SchemaDocument, digest_of, read_schema
from eventfabric.errors import InvalidSchemaError, Problem
from eventfabric.limits import TYPE_CHARACTERS_MAX

_SUFFIX: Final = ".json"
_WITHOUT_MAX: Final = 10_000
"""Most types without a schema that are remembered: those of a stream may have no end."""


class SchemaFolder:
    """The schemas in a folder. A file is read when its type is asked for first; what was read holds for good."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._was_there = self.path.is_dir()
        self._known: dict[tuple[str, str], SchemaDocument] = {}
        self._without: set[tuple[str, str]] = set()

    @classmethod
    def beside(cls, definition: str | PathLike[str]) -> "SchemaFolder | None":
        """Return the folder beside a definition's file; None if there is none."""
        path = Path(definition).parent / SCHEMAS_FOLDER
        return cls(path) if path.exists() else None

    def document(self, stream: str, type_: str) -> SchemaDocument | None:
        """Return the schema of a type; None if it has none. InvalidSchemaError: it has a file that is no schema."""
        place = stream, type_
        if place in self._without:
            return None
        document = self._known.get(place) or self._read(stream, type_)
        if document is not None:
            return self._known.setdefault(place, document)
        if len(self._without) >= _WITHOUT_MAX:
            self._without.clear()
        self._without.add(place)
        return None

    def documents(self, *, streams: Collection[str] | None = None) -> dict[str, dict[str, SchemaDocument]]:
        """Return all schemas by stream and type. InvalidSchemaError lists all that is wrong in the folder.

        `streams`: those that there are; None: any may be.
        """
        if not self.path.exists():
            return {}
        if not self.path.is_dir():
            raise InvalidSchemaError([Problem("", "a file", "a folder")], where=str(self.path))
        problems: list[Problem] = []
        documents: dict[str, dict[str, SchemaDocument]] = {}
        for stream, file in self._files(problems):
            type_ = unquote(file.name.removesuffix(_SUFFIX))
            try:
                document = self.document(stream, type_)
            except InvalidSchemaError as error:
                problems += [_in_file(problem, self._shown(file)) for problem in error.problems]
                continue
            assert document is not None, "its file was listed"
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
        """Tell if a type's file may stand beside those that there are: none has its name in other case."""
        folder, own = self.path / stream, file_name_of(type_)
        names = listdir(folder) if folder.is_dir() else []
        return all(name == own or name.lower() != own.lower() for name in names)

    def _read(self, stream: str, type_: str) -> SchemaDocument | None:
        try:
            file = self.file_of(stream, type_)
            if not S_ISREG(file.stat().st_mode):  # a pipe would be waited for
                raise InvalidSchemaError([Problem("schema", "no file", "a JSON Schema")], where=str(file))
            text = file.read_bytes()
        except (FileNotFoundError, NotADirectoryError, UnicodeEncodeError):
            self._expect_itself()
            return None
        except OSError as error:
            if error.errno == ENAMETOOLONG:
                return None
            state = f"no readable file ({(error.strerror or str(error)).lower()})"
            raise InvalidSchemaError([Problem("schema", state, "a JSON Schema")], where=str(file)) from error
        # Some file systems find a file by its name in any case, which is that of another type.
        return read_schema(text, where=str(file)) if file.name in listdir(file.parent) else None

    def _expect_itself(self) -> None:
        """Raise InvalidSchemaError if the folder is gone: that a type's file is missing then says nothing."""
        if self._was_there and not self.path.is_dir():
            problem = Problem("schemas", "no folder, where there was one", "the folder of schemas")
            raise InvalidSchemaError([problem], where=str(self.path))

    def _files(self, problems: list[Problem]) -> Iterator[tuple[str, Path]]:
        """Yield each file with its stream, in the order of names; add what does not belong there to `problems`."""
        for folder in sorted(self.path.iterdir()):
            if folder.name.startswith("."):
                continue
            if not folder.is_dir():
                problems.append(Problem(folder.name, "a file", "a folder for each stream"))
                continue
            names = dict[str, str]()
            for file in sorted(folder.iterdir()):
                if file.name.startswith(".") and type_of_file(file.name) is None:
                    continue
                problem = _problem_of(file, names)
                if problem is None:
                    yield folder.name, file
                else:
                    problems.append(problem.inside(self._shown(file)))

    def _shown(self, file: Path) -> str:
        return file.relative_to(self.path).as_posix()


def digest_of_all(documents: Mapping[str, SchemaDocument]) -> str:
    """Return one digest of the schemas of a stream, by type: equal if, and only if, all of them are."""
    lines = (f"{document.digest} {type_}\0" for type_, document in sorted(documents.items()))
    return digest_of("".join(lines).encode("utf-8", "surrogatepass"))


def digests_of(documents: Mapping[str, Mapping[str, SchemaDocument]]) -> dict[str, str]:
    """Return one digest for the schemas of each stream."""
    return {stream: digest_of_all(own) for stream, own in documents.items()}


def file_name_of(type_: str) -> str:
    """Return the name of a type's file."""
    return quote(type_, safe="") + _SUFFIX


def _in_file(problem: Problem, name: str) -> Problem:
    """Return a problem of a schema as one of its file, with the pointer into it, if it has one."""
    pointer = problem.path if problem.path.startswith("#") else ""
    return Problem(f"{name}{pointer}", problem.found, problem.allowed)


def type_of_file(name: str) -> str | None:
    """Return the type that a file of that name is for; None if it is for none."""
    type_ = unquote(name.removesuffix(_SUFFIX))
    return type_ if file_name_of(type_) == name and 0 < len(type_) <= TYPE_CHARACTERS_MAX else None


def _problem_of(file: Path, names: dict[str, str]) -> Problem | None:
    """Return why a file is none of a type. `names`: those before it, in lower case, to which its own is added."""
    if not file.is_file() or type_of_file(file.name) is None:
        allowed = f"a file named after an event type, percent-encoded, such as {file_name_of('OrderPlaced')}"
        return Problem("", "a name of no type" if file.is_file() else "no file", allowed)
    before = names.setdefault(file.name.lower(), file.name)
    if before != file.name:
        return Problem(
            "", f"the name of {before} in other case", "names that every file system can tell apart"
        )
    return None
