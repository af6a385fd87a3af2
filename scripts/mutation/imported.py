"""Trial of one mutant that takes effect when its module is imported, in a process that has imported nothing before."""

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import CodeType, ModuleType

from scripts.install import ROOT
from scripts.mutation.forks import Wire
from scripts.mutation.mutants import Mutant, mutant_of
from scripts.mutation.suite import session

IMPORT_SECONDS = 1.0


def main(file: Path, pipe: int) -> None:
    """Run the tests that a file names on the mutant that it describes, and report them through a pipe."""
    given = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    sys.path.insert(0, str(ROOT / "functions"))
    _silence()
    mutant, tests, wire = mutant_of(given["mutant"]), given["tests"], Wire(pipe)
    wire.begin("import", IMPORT_SECONDS)
    _import_mutated(mutant)
    files = sorted({test.partition("::")[0] for test in tests})
    session(files, lambda suite: suite.run_until_failure(tests, given["seconds"], wire))


class _Mutated(importlib.machinery.SourceFileLoader):
    """Loads a module from mutated source."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(mutant.module, str(ROOT / mutant.path))
        self._source = mutant.source()

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: object, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        return importlib.util.spec_from_loader(fullname, _Mutated(self._mutant))


def _import_mutated(mutant: Mutant) -> None:
    assert mutant.module not in sys.modules, f"{mutant.module} was imported before"
    sys.meta_path.insert(0, _Finder(mutant))


def _silence() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


main(Path(sys.argv[1]), int(sys.argv[2]))
