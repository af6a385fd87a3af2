"""The tests that judge mutants: a pytest session of them, the cost of each, and the lines that each runs.

Nothing is left to chance. There are no plugins but our own and that of Hypothesis, which draws the same few examples
each time and does not shrink failing ones.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import TypedDict

import pytest
from coverage import Coverage
from hypothesis import Phase, is_hypothesis_test, settings

from scripts.install import ROOT
from scripts.mutation.forks import Wire, run_forked
from scripts.mutation.mutants import FOLDERS, KEPT, Fate, Mutant

SUITES = (
    *("tests/unit", "tests/contract", "tests/handlers", "tests/simulation"),
    "tests/local/test_dead_queues.py",
)
SEEDED = "tests/simulation"
NO_JUDGES = "test_ctrl_c_"
"""Prefix of tests that do not judge: they start processes, which contain no mutants, and send signals to them."""
EXAMPLES_MAX = 40
# A survivor costs the time of all tests that run its line. So if a test has many cases (above all, seeds), only so many
# cases judge as take this long together, chosen without a pattern. A case that takes too long by itself never judges.
# The limit is lower for seeds: elsewhere, somebody thought of each case.
TEST_SECONDS_MAX = 3.0
SEEDED_TEST_SECONDS_MAX = 0.5
CASE_SECONDS_MAX = 1.0
MEASURED_SECONDS_MAX = 300.0
"""Time limit of a test while tests are measured. The longest takes a minute."""


class SuiteError(Exception):
    """The tests do not pass without any mutant."""


@dataclass(frozen=True)
class Baseline:
    """Measurements of the tests without any mutant.

    `seconds` is the processor time of each test that judges. `lines` says for each file and line which of `tests` run
    it, by their indexes.
    """

    seconds: dict[str, float]
    tests: list[str]
    lines: dict[str, dict[str, list[int]]]

    def tests_of(self, mutant: Mutant) -> list[str]:
        """List the tests that may kill a mutant, quickest first. For a line outside of functions: all of its file."""
        lines = self.lines.get(mutant.path, {})
        if mutant.function:
            covered_lines = range(mutant.first_line, mutant.last_line + 1)
            tests = {test for line in covered_lines for test in lines.get(str(line), ())}
        else:
            tests = {test for covering in lines.values() for test in covering}
        return sorted((self.tests[test] for test in tests), key=lambda test: (self.seconds[test], test))

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digests of all files of tests."""
        files = {test.partition("::")[0] for test in self.tests}
        return {file: sha256((ROOT / file).read_bytes()).hexdigest()[:12] for file in files}


class _Part(TypedDict):
    """Measurements of one process, in the form in which it writes them."""

    seconds: dict[str, float]
    failed: list[str]
    lines: dict[str, dict[int, list[str]]]


class Suite:
    """A pytest session whose tests are run one by one, by name, when `run` asks for them."""

    def __init__(self, run: Callable[["Suite"], None]) -> None:
        self._run = run
        self._items: dict[str, pytest.Item] = {}
        self._failed = False

    @property
    def tests(self) -> Sequence[str]:
        """Names of all tests."""
        return list(self._items)

    def passes(self, test: str) -> bool:
        """Run one test, and tell if it passed."""
        self._failed = False
        item = self._items[test]
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        return not self._failed

    def run_until_failure(self, tests: Sequence[str], seconds: dict[str, float], wire: Wire) -> None:
        """Run tests until one fails. Reports each on the wire, and whether all passed. Unknown tests are left out."""
        for test in tests:
            if test in self._items:
                wire.begin(test, seconds[test])
                if not self.passes(test):
                    return
        wire.passed()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Implement a hook of pytest."""
        for item in items:
            if not item.name.startswith(NO_JUDGES):
                _calm(item)
                self._items[item.nodeid] = item

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Replace pytest's own loop over the tests."""
        if not session.testsfailed:  # otherwise some tests could not be collected
            self._run(self)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Implement a hook of pytest."""
        self._failed |= report.failed


def _calm(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
        test = getattr(item.obj, "__func__", item.obj)
        given = test._hypothesis_internal_use_settings
        test._hypothesis_internal_use_settings = settings(
            given,
            max_examples=min(given.max_examples, EXAMPLES_MAX),
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            report_multiple_bugs=False,
        )


def session(paths: Sequence[str], run: Callable[[Suite], None]) -> None:
    """Collect the tests of these paths, and call `run` with them unless the collection fails."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    plugins = ["-p_hypothesis_pytestplugin", "-peventfabric.testing.pytest_plugin"]
    options = [f"--rootdir={ROOT}", *plugins, "-pno:cacheprovider", "-pno:terminal"]
    pytest.main([*options, *(str(ROOT / path) for path in paths)], plugins=[Suite(run)])


def baseline(workers: int) -> Baseline:
    """Measure the tests, or load the measurements of exactly the same files. Raises SuiteError if a test fails."""
    stored = KEPT / f"baseline-{_digest()}.json"
    if stored.exists():
        return Baseline(**json.loads(stored.read_text(encoding="utf-8")))
    parts = [KEPT / f"part-{os.getpid()}.{number}" for number in range(workers)]
    KEPT.mkdir(parents=True, exist_ok=True)

    def measure_part(number: int, wire: Wire) -> None:
        def measure(suite: Suite) -> None:
            _measure(suite, _cases_of_tests(suite.tests)[number::workers], parts[number], wire)

        session(SUITES, measure)
        wire.passed()

    try:
        for _, ended in run_forked(iter(range(workers)), measure_part, workers):
            if ended.fate is not Fate.SURVIVED:
                raise SuiteError(f"the tests ended by {ended.fate}")
        if not all(part.exists() for part in parts):
            raise SuiteError("the tests cannot be collected: see scripts/test")
        measured = _joined([json.loads(part.read_text(encoding="utf-8")) for part in parts])
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    stored.write_text(json.dumps(asdict(measured)), encoding="utf-8")
    return measured


def _measure(suite: Suite, tests: Sequence[Sequence[str]], into: Path, wire: Wire) -> None:
    """Run the cases that will judge, once to time them, and once more, slowly, to record the lines that they run."""
    seconds: dict[str, float] = {}
    failed = []

    def passes(case: str) -> None:
        wire.begin(case, MEASURED_SECONDS_MAX)
        if not suite.passes(case):
            failed.append(case)

    for cases in tests:
        spent = 0.0
        for case in cases:
            began = time.process_time()
            passes(case)
            took = time.process_time() - began
            spent += took
            if took <= CASE_SECONDS_MAX:
                seconds[case] = took
            if spent >= (SEEDED_TEST_SECONDS_MAX if case.startswith(SEEDED) else TEST_SECONDS_MAX):
                break
    coverage = Coverage(data_file=None, config_file=False, source=[str(ROOT / folder) for folder in FOLDERS])
    coverage.start()
    for case in seconds:
        coverage.switch_context(case)
        passes(case)
    coverage.stop()
    data = coverage.get_data()
    lines = {
        Path(file).relative_to(ROOT).as_posix(): data.contexts_by_lineno(file)
        for file in data.measured_files()
    }
    part: _Part = {"seconds": seconds, "failed": failed, "lines": lines}
    into.write_text(json.dumps(part), encoding="utf-8")


def _joined(parts: Sequence[_Part]) -> Baseline:
    failed = sorted({test for part in parts for test in part["failed"]})
    if failed:
        raise SuiteError("tests fail without any mutant:\n  " + "\n  ".join(failed))
    seconds = dict(sorted((test, took) for part in parts for test, took in part["seconds"].items()))
    tests = list(seconds)
    number = {test: index for index, test in enumerate(tests)}
    lines: dict[str, dict[str, list[int]]] = {}
    for file, line, contexts in _measured_lines(parts):
        known = lines.setdefault(file, {}).setdefault(line, [])
        known += [number[test] for test in contexts if test in number]
    return Baseline(seconds, tests, lines)


def _measured_lines(parts: Sequence[_Part]) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Yield each file and line with the tests that ran it in one of the parts."""
    for part in parts:
        for file, by_line in part["lines"].items():
            for line, contexts in by_line.items():
                yield file, str(line), contexts


def _cases_of_tests(cases: Sequence[str]) -> list[list[str]]:
    """Group the cases by test, in an order without a pattern, because neighbouring cases are alike."""
    in_order = sorted(cases, key=lambda case: (_test(case), sha256(case.encode()).digest()))
    return [list(group) for _, group in groupby(in_order, _test)]


def _test(case: str) -> str:
    return case.partition("[")[0]


def _digest() -> str:
    digest = sha256(f"{EXAMPLES_MAX}".encode())
    for file in sorted(_files()):
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _files() -> Iterator[Path]:
    for folder in ("functions", *SUITES):
        path = ROOT / folder
        yield from [path] if path.is_file() else path.rglob("*.py")
