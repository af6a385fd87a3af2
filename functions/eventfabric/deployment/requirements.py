"""The user's requirements files, which say what handlers need from the package index, in pip's format.

They are read before pip is, for two reasons: wheels are kept in a cache by all that these files depend on, and what
makes pip run a package's own code is refused.
"""

import re
import shlex
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from os import fsencode
from os.path import realpath
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from eventfabric.errors import SettingError

REQUIREMENTS: Final = "requirements.txt"
"""Name of a file that lists what the user's handlers need, beside their packages or in one of them."""
_FLAGS: Final = ("--no-index", "--pre", "--prefer-binary", "--require-hashes")
_INDEXES: Final = ("-i", "--index-url", "--extra-index-url", "--trusted-host")
_INCLUDES: Final = ("-r", "--requirement", "-c", "--constraint")
_LINKS: Final = ("-f", "--find-links")
_OPTIONS: Final = (*_FLAGS, *_INDEXES, *_INCLUDES, *_LINKS, "--only-binary")
_OF_REQUIREMENTS: Final = ("--hash",)
_COMMENT: Final = re.compile(r"(^|\s+)#.*$")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_AT_A_PLACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^]]*])?\s*@\s*(.+)")
_ARCHIVES: Final = (
    ".whl",
    ".zip",
    ".tar",
    ".gz",
    ".tgz",
    ".bz2",
    ".tbz",
    ".xz",
    ".txz",
    ".tlz",
    ".lz",
    ".lzma",
)


def requirements_in(functions: Path) -> list[Path]:
    """List the files that say what the user's handlers need, beside their packages or in them."""
    return sorted([*functions.glob(REQUIREMENTS), *functions.glob(f"*/{REQUIREMENTS}")])


def requirements_for(module: str, functions: Path) -> Path:
    """Return the file in which what a module of the user's needs belongs, or would if it existed."""
    own = functions / module.partition(".")[0] / REQUIREMENTS
    return own if own.is_file() else functions / REQUIREMENTS


@dataclass
class Requirements:
    """The requirements that files list, without comments and options, and digests of all that pip would read for them.

    Those are the files, the files that they include, wheels that they name by a path, and folders of wheels.
    """

    lines: list[str] = field(default_factory=list)
    digests: dict[Path, bytes] = field(default_factory=dict)

    def text_of(self, file: Path) -> str:
        """Return the text of a file. Raises SettingError."""
        content = self.content_of(file)
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise SettingError(str(file), f"no UTF-8 ({error.reason})", "text in UTF-8") from error

    def content_of(self, file: Path) -> bytes:
        """Return the content of a file, and note its digest. Raises SettingError."""
        try:
            content = file.read_bytes()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SettingError(str(file), reason, "a readable file") from error
        self.digests[file] = sha256(fsencode(file.name) + b"\0" + content).digest()
        return content


def read_requirements(files: Iterable[Path]) -> Requirements:
    """Read requirements files. SettingError: one cannot be read, or asks for what no wheel brings."""
    requirements = Requirements()
    waiting, visited = [(Path(realpath(file)), True) for file in files], set[tuple[Path, bool]]()
    while waiting:
        file, lists = waiting.pop(0)
        if (file, lists) in visited:
            continue
        visited.add((file, lists))
        for line in _lines(requirements.text_of(file)):
            requirement, options = _parts(line)
            if requirement:
                _note_wheel(requirements, file, requirement)
                if lists:
                    requirements.lines.append(requirement)
            waiting += _included(
                requirements, file, _options(file, options, _OF_REQUIREMENTS if requirement else _OPTIONS)
            )
    return requirements


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a file as pip joins them, without comments and empty lines."""
    joined = ""
    for line in [*text.splitlines(), ""]:
        if line.endswith("\\") and not _COMMENT.match(line):
            joined += line.strip("\\")
            continue
        whole = _COMMENT.sub("", f"{joined} {line}" if _COMMENT.match(line) else joined + line).strip()
        joined = ""
        if whole:
            yield whole


def _parts(line: str) -> tuple[str, str]:
    """Divide a line into a requirement and options, either of which may be empty."""
    words = line.split(" ")
    index = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    return " ".join(words[:index]).strip(), " ".join(words[index:])


def _options(file: Path, text: str, harmless: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield options with their values. SettingError: an option that is not in a list of those that are harmless."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SettingError(str(file), text, "quotation marks in pairs") from error
    while words:
        word = words.pop(0)
        name, _, value = word.partition("=") if word.startswith("--") else (word[:2], "", word[2:])
        if words and not value and name not in _FLAGS:
            value = words.pop(0)
        if name not in harmless or (name == "--only-binary" and value != ":all:"):
            allowed = f"{', '.join(harmless)}, with only wheels (:all:), so that nothing is built"
            raise SettingError(str(file), name, allowed)
        yield name, value


def _included(
    requirements: Requirements, file: Path, options: Iterable[tuple[str, str]]
) -> Iterator[tuple[Path, bool]]:
    """Yield the files that options include, and if they list requirements; note folders of wheels. SettingError."""
    for option, value in options:
        if option in (*_INCLUDES, *_LINKS) and "${" in value:
            raise SettingError(str(file), f"{option} {value}", "paths without variables")
        if option in _INCLUDES:
            yield Path(realpath(file.parent / value)), option in _INCLUDES[:2]
        elif option in _LINKS:
            _note_links(requirements, file, value)


def _note_wheel(requirements: Requirements, file: Path, requirement: str) -> None:
    """Note the wheel that a requirement names by its place, if it does. SettingError: that is no wheel."""
    place = _place(requirement)
    if place is None:
        return
    scheme, path = _split(file, place)
    if not path.endswith(".whl") or scheme not in ("", "file", "http", "https") or "${" in path:
        allowed = "a package of the index, or a wheel by its path or URL: nothing is built"
        raise SettingError(str(file), requirement, allowed)
    if scheme in ("", "file"):
        requirements.content_of(Path(realpath(path)))


def _place(requirement: str) -> str | None:
    """Return the path or URL that a requirement names; None for a package of the index."""
    named = _AT_A_PLACE.fullmatch(requirement)
    text = named[1] if named else requirement
    if named or _URL.match(text):
        return re.split(r"\s+;|;\s+", text)[0].strip()
    text = re.sub(r"\[[^]]*]$", "", text.partition(";")[0].strip())
    return text if "/" in text or text.startswith(".") or text.endswith(_ARCHIVES) else None


def _note_links(requirements: Requirements, file: Path, value: str) -> None:
    """Note the wheels in a folder of this machine to which an option links, if it does."""
    scheme, path = _split(file, value)
    if scheme in ("", "file"):
        folder = next((folder for folder in (file.parent / path, Path(path)) if folder.is_dir()), None)
        for wheel in sorted(folder.glob("*.whl")) if folder else []:
            requirements.content_of(wheel)


def _split(file: Path, place: str) -> tuple[str, str]:
    """Return scheme and path of a URL that a file names; the scheme is empty for a path of this machine."""
    if not _URL.match(place):
        return "", place
    try:
        parts = urlsplit(place)
    except ValueError as error:
        raise SettingError(str(file), place, f"valid URLs ({error})") from error
    return parts.scheme, url2pathname(parts.path)
