"""Mutants, their verdicts, and the file in which verdicts are kept."""

import json
from collections.abc import Iterable, Mapping, Sequence
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
    """The fate of a mutant."""

    KILLED = "killed"
    LOOPED = "looped"
    """A test used many times its usual processor time: the mutant loops. Counts as killed."""
    STUCK = "stuck"
    """A test did nothing for a very long time: the mutant waits forever. Counts as killed."""
    SURVIVED = "survived"
    UNTESTED = "untested"
    """No test runs the mutated line."""
    ILL_TYPED = "ill-typed"
    """No test kills it, but the type checker refuses it, which comes before all tests. It is told apart."""


DEAD = frozenset({Fate.KILLED, Fate.LOOPED, Fate.STUCK})


@dataclass(frozen=True)
class Mutant:
    """One change of one file. `function` is the outermost function that contains it, or empty."""

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
        """Identity of the mutant. It depends on the function and the change, but not on the function's place."""
        begin, end = self.unit
        unit = source_of(self.path)[begin:end].decode()
        identity = (self.path, self.function, unit, self.start - begin, self.end - begin, self.replacement)
        return sha256(json.dumps(identity).encode()).hexdigest()[:16]

    @property
    def module(self) -> str:
        """Name by which the mutated file is imported."""
        return self.path.removeprefix("functions/").removesuffix(".py").replace("/", ".")

    def source(self) -> bytes:
        """Make the changed content of the file."""
        before = source_of(self.path)
        return before[: self.start] + self.replacement.encode() + before[self.end :]

    def change(self) -> tuple[str, str]:
        """Show the code before and after the change, whole lines at least, each joined into one line."""
        before, after = source_of(self.path), self.source()
        begin = before.rfind(b"\n", 0, self.start) + 1
        grown = len(after) - len(before)
        end = before.find(b"\n", self.end)
        return _flat(before[begin:end]), _flat(after[begin : end + grown])


@cache
def source_of(path: str) -> bytes:
    """Read a file once, so that it stays as it was when the run began."""
    return (ROOT / path).read_bytes()


def _flat(code: bytes) -> str:
    return " ".join(code.decode().split())


@dataclass(frozen=True)
class Verdict:
    """The fate of a mutant, and the test that decided it. For a survivor: digests of the test files that were tried."""

    id: str
    fate: Fate
    by: str = ""
    tried: Mapping[str, str] = field(default_factory=dict)


class Verdicts:
    """Known verdicts, kept in a file that only grows. The last verdict on a mutant counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Verdict] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                fields = json.loads(line)
                self._known[fields["id"]] = Verdict(**{**fields, "fate": Fate(fields["fate"])})

    def of(self, mutant: Mutant) -> Verdict | None:
        """Look up the verdict on a mutant, or None."""
        return self._known.get(mutant.id)

    def add(self, verdict: Verdict) -> None:
        """Keep a verdict, and write it to the file at once."""
        self._known[verdict.id] = verdict
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(verdict)) + "\n")

    def forget(self, mutants: Iterable[Mutant]) -> None:
        """Forget the verdicts on these mutants in this run."""
        for mutant in mutants:
            self._known.pop(mutant.id, None)


def parsed(lines: str) -> list[Mutant]:
    """Parse the mutants that the generator printed."""
    return [mutant_of(json.loads(line)) for line in lines.splitlines()]


def mutant_of(fields: dict[str, Any]) -> Mutant:
    """Make a mutant of its fields, as JSON has them."""
    return Mutant(**{**fields, "unit": tuple(fields["unit"])})


def files_under(paths: Sequence[str]) -> list[str]:
    """List the Python files to mutate, relative to the repository. ValueError for a path that is never mutated."""
    files: set[str] = set()
    for path in paths or FOLDERS:
        full = (ROOT / path).resolve()
        python_files = [full] if full.is_file() else [*full.rglob("*.py")]
        names = [file.relative_to(ROOT).as_posix() for file in python_files if file.stat().st_size]
        if not names or not all(name.startswith(FOLDERS) and name.endswith(".py") for name in names):
            raise ValueError(
                f"{path} is not a Python file, or a folder of them, under {' or '.join(FOLDERS)}"
            )
        files.update(names)
    return sorted(files)
