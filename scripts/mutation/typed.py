"""Mutants that the type checker refuses: nobody could land such a change, whatever the tests say."""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.install import ROOT
from scripts.mutation.mutants import KEPT, Mutant

_ERROR = re.compile(r"(?P<path>[^:\n]+):(?P<line>\d+): error: ")


def ill_typed(mutants: Sequence[Mutant]) -> Iterator[Mutant]:
    """Yield the mutants for which the type checker finds an error. There is none in the code as it is."""
    for together in _rounds(mutants):
        lines = _lines_with_errors(together)
        for mutant in together:
            wrong = lines.get(mutant.path, [])
            is_here = any(mutant.first_line <= line <= mutant.last_line for line in wrong)
            # An error elsewhere in the file may come from a mutant of another one.
            if is_here or (wrong and mutant.path in _lines_with_errors([mutant])):
                yield mutant


def _rounds(mutants: Iterable[Mutant]) -> Iterator[list[Mutant]]:
    """Yield groups of mutants of different files, which one run of the type checker tells apart."""
    left: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        left.setdefault(mutant.path, []).append(mutant)
    while left:
        yield [of_file.pop() for of_file in left.values()]
        left = {path: of_file for path, of_file in left.items() if of_file}


def _lines_with_errors(mutants: Sequence[Mutant]) -> Mapping[str, list[int]]:
    """Return the lines in which these mutants have errors, by file. RuntimeError: the type checker could not run."""
    with TemporaryDirectory(prefix="eventfabric-mutants-") as folder:
        command = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(KEPT / "mypy")]
        for number, mutant in enumerate(mutants):
            shadow = Path(folder, f"{number}.py")
            shadow.write_bytes(mutant.source())
            command += ["--shadow-file", mutant.path, str(shadow)]
        command += [mutant.path for mutant in mutants]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"mypy: {done.stderr[-500:]}")
    lines: dict[str, list[int]] = {}
    for error in _ERROR.finditer(done.stdout):
        lines.setdefault(error["path"], []).append(int(error["line"]))
    return lines
