"""Owns what a mutant is, what became of it, and the file that remembers it."""

import json
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from scripts.install import ROOT

FOLDERS = tuple(
    f"functions/eventfabric/{package}" for package in ("services", "model", "wire", "aws", "runtime")
)
KEPT = ROOT / "build" / "mutation"


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    LOOPED = "looped"
    """A test used up many times the processor time that it needs: the mutant loops. Counts as killed."""
    STUCK = "stuck"
    """A test did nothing at all for very long: the mutant waits for ever. Counts as killed."""
    SURVIVED = "survived"
    UNTESTED = "untested"
    """No test runs the line."""


DEAD = frozenset({Fate.KILLED, Fate.LOOPED, Fate.STUCK})


@dataclass(frozen=True)
class Mutant:
    """One change of one file. `function` is the outermost one that holds it, empty where it is in none."""

    path: str
    operator: str
    function: str
    unit: tuple[int, int]
    start: int
    end: int
    replacement: str
    line: int
    first_line: int
    last_line: int

    @cached_property
    def id(self) -> str:
        """The same for the same change of the same function, wherever that stands in its file."""
        begin, end = self.unit
        unit = source_of(self.path)[begin:end].decode()
        said = (self.path, self.function, unit, self.start - begin, self.end - begin, self.replacement)
        return sha256(json.dumps(said).encode()).hexdigest()[:16]

    @property
    def module(self) -> str:
        """The name that the mutated file is imported by."""
        return self.path.removeprefix("functions/").removesuffix(".py").replace("/", ".")

    def source(self) -> bytes:
        """The file with the change made."""
        before = source_of(self.path)
        return before[: self.start] + self.replacement.encode() + before[self.end :]

    def change(self) -> tuple[str, str]:
        """What the change replaces by what, on one line each, with the rest of its line for the smallest."""
        before, after = source_of(self.path), self.source()
        begin = before.rfind(b"\n", 0, self.start) + 1
        grown = len(after) - len(before)
        end = before.find(b"\n", self.end)
        return _flat(before[begin:end]), _flat(after[begin : end + grown])


@cache
def source_of(path: str) -> bytes:
    """A file as it was when the run began."""
    return (ROOT / path).read_bytes()


def _flat(code: bytes) -> str:
    return " ".join(code.decode().split())


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant, by which test; and of a survivor, which test files were tried, as they were."""

    id: str
    fate: Fate
    by: str = ""
    tried: Mapping[str, str] = field(default_factory=dict)


class Verdicts:
    """What is known of mutants, kept in one file that only grows; the last word on a mutant holds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Verdict] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                found = json.loads(line)
                self._known[found["id"]] = Verdict(**{**found, "fate": Fate(found["fate"])})

    def of(self, mutant: Mutant) -> Verdict | None:
        """What is known of a mutant."""
        return self._known.get(mutant.id)

    def add(self, verdict: Verdict) -> None:
        """Remember a verdict, at once."""
        self._known[verdict.id] = verdict
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(verdict)) + "\n")

    def forget(self, mutants: Iterable[Mutant]) -> None:
        """Know nothing of these any more."""
        for mutant in mutants:
            self._known.pop(mutant.id, None)


def parsed(lines: str) -> list[Mutant]:
    """The mutants that the generator printed."""
    return [_mutant(json.loads(line)) for line in lines.splitlines()]


def _mutant(found: dict[str, Any]) -> Mutant:
    return Mutant(**{**found, "unit": tuple(found["unit"])})


def files_under(paths: Seq[str]) -> list[str]:
    """The Python files of these paths that are mutated, relative to the repository; ValueError for one that is not."""
    files: set[str] = set()
    for path in paths or FOLDERS:
        full = (ROOT / path).resolve()
        found = [full] if full.is_file() else [*full.rglob("*.py")]
        names = [one.relative_to(ROOT).as_posix() for one in found if one.stat().st_size]
        if not names or not all(name.startswith(FOLDERS) and name.endswith(".py") for name in names):
            raise ValueError(
                f"{path} is not a Python file, or a folder of them, under {' or '.join(FOLDERS)}"
            )
        files.update(names)
    return sorted(files)
