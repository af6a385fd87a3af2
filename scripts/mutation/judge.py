"""Trials of mutants: each in its own process, by the tests that run its lines, until one fails.

Most mutants are inside a function. For those, tests are collected once, and each fork only replaces the code of the
existing functions. Mutants outside of functions (defaults, constants, fields) take effect at import: each of those has
a new process (imported.py).
"""

import gc
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from types import CodeType, FunctionType

from scripts.install import ROOT
from scripts.mutation.forks import Ended, Wire, run_forked
from scripts.mutation.mutants import FOLDERS, KEPT, Fate, Mutant, Verdict
from scripts.mutation.suite import SUITES, Baseline, Suite, session


@dataclass(frozen=True)
class _Trial:
    mutant: Mutant
    tests: Sequence[str]
    codes: Sequence[tuple[FunctionType, CodeType]] = ()


class Judge:
    """Tries mutants and reports each verdict at once.

    Tests that killed a mutant of the same function are run first, then the quickest: the first or second test kills
    most mutants.
    """

    def __init__(
        self,
        baseline: Baseline,
        *,
        known: Callable[[Mutant], Verdict | None],
        tell: Callable[[Mutant, Verdict], None],
        workers: int,
    ) -> None:
        self._baseline = baseline
        self._known = known
        self._tell = tell
        self._workers = workers
        self._kills: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    def run(self, mutants: Sequence[Mutant]) -> None:
        """Try the mutants."""
        in_functions = [mutant for mutant in mutants if mutant.function]
        left: list[Mutant] = [mutant for mutant in mutants if not mutant.function]
        if in_functions:
            session(SUITES, lambda suite: left.extend(self._try_within(in_functions, suite)))
        for trial, ended in run_forked(self._trials(left), self._in_a_new_process, self._workers):
            self._note(trial, ended)

    def _try_within(self, mutants: Sequence[Mutant], suite: Suite) -> list[Mutant]:
        """Try mutants of functions. Returns those whose functions were not found."""
        functions = Functions()
        not_found: list[Mutant] = []

        def trials() -> Iterator[_Trial]:
            for trial in self._trials(mutants):
                codes = functions.mutated(trial.mutant)
                if codes:
                    yield _Trial(trial.mutant, trial.tests, codes)
                else:
                    not_found.append(trial.mutant)

        def child(trial: _Trial, wire: Wire) -> None:
            for function, code in trial.codes:
                function.__code__ = code
            suite.run_until_failure(trial.tests, self._baseline.seconds, wire)

        gc.collect()
        gc.freeze()  # forks share this memory, as long as the garbage collector does not touch it
        for trial, ended in run_forked(trials(), child, self._workers):
            self._note(trial, ended)
        return not_found

    def _in_a_new_process(self, trial: _Trial, wire: Wire) -> None:
        """Replace this process by one that has imported nothing yet: this one has the modules as they are."""
        seconds = {test: self._baseline.seconds[test] for test in trial.tests}
        given = {"mutant": asdict(trial.mutant), "tests": trial.tests, "seconds": seconds}
        file = KEPT / f"trial-{os.getpid()}.json"
        file.write_text(json.dumps(given), encoding="utf-8")
        command = [sys.executable, "-m", "scripts.mutation.imported", str(file), str(wire.handed_on())]
        os.execv(sys.executable, command)

    def _trials(self, mutants: Sequence[Mutant]) -> Iterator[_Trial]:
        for mutant in mutants:
            tests = self._baseline.tests_of(mutant)
            known = self._known(mutant)
            if not tests:
                self._tell(mutant, Verdict(mutant.id, Fate.UNTESTED))
                continue
            if known is not None and known.fate is Fate.SURVIVED:
                digests = self._baseline.digests
                tests = [test for test in tests if known.tried.get(_file(test)) != digests[_file(test)]]
                if not tests:
                    continue
            kills = self._kills[mutant.path, mutant.function]
            yield _Trial(mutant, sorted(tests, key=lambda test: -kills[test]))

    def _note(self, trial: _Trial, ended: Ended) -> None:
        mutant, tried = trial.mutant, {}
        if ended.fate is Fate.SURVIVED:
            files = {_file(test) for test in self._baseline.tests_of(mutant)}
            tried = {file: self._baseline.digests[file] for file in sorted(files)}
        else:
            self._kills[mutant.path, mutant.function][ended.by] += 1
        self._tell(mutant, Verdict(mutant.id, ended.fate, ended.by, tried))


def _file(test: str) -> str:
    return test.partition("::")[0]


class Functions:
    """The functions of this process that may contain mutants."""

    def __init__(self) -> None:
        folders = tuple(str(ROOT / folder) for folder in FOLDERS)
        gc.unfreeze()  # the tests' conftest freezes what is imported, and frozen objects are not listed
        self._known: defaultdict[tuple[str, str, int], list[FunctionType]] = defaultdict(list)
        for candidate in gc.get_objects():
            if isinstance(candidate, FunctionType) and candidate.__code__.co_filename.startswith(folders):
                self._known[_name(candidate.__code__)].append(candidate)

    def mutated(self, mutant: Mutant) -> list[tuple[FunctionType, CodeType]]:
        """List the functions that contain a mutant, each with its mutated code; empty if it cannot be put in place."""
        module = compile(mutant.source(), str(ROOT / mutant.path), "exec", dont_inherit=True)
        return [
            (function, code)
            for code in _codes_in(module)
            if code.co_qualname == mutant.function
            for function in self._known[_name(code)]
            if function.__code__ != code and function.__code__.co_freevars == code.co_freevars
        ]


def _name(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes_in(constant)
