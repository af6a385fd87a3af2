"""Mutation testing: small changes of the code, one at a time. Each is killed by a test, or survives.

Exit code 1: too many survive.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from eventfabric.cdk.tools import InstallError
from scripts.install import ROOT, installed
from scripts.mutation.mutants import DEAD, KEPT, Fate, Mutant, Verdict, Verdicts, files_under, parsed
from scripts.mutation.report import figures, page, survivors
from scripts.mutation.suite import SuiteError, baseline
from scripts.mutation.typed import ill_typed

LOCK = ROOT / "scripts" / "locks" / "mutation.txt"
SHARE_MIN = 0.9
PROGRESS_SECONDS = 60


def main(
    paths: Annotated[list[str] | None, typer.Argument(help="Files or folders; default: all.")] = None,
    workers: Annotated[int, typer.Option(help="Number of processes.")] = os.cpu_count() or 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Ignore known verdicts, and try everything.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Try survivors again, with all tests.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Try nothing; print known verdicts.")] = False,
    types: Annotated[
        bool, typer.Option("--types", help="With --report: ask the type checker about survivors first.")
    ] = False,
    write: Annotated[Path | None, typer.Option(help="Also write a page of survivors to this file.")] = None,
) -> None:
    """Mutate the protocol, its stored formats, adapters and handlers, and list the mutants that no test kills.

    You can stop it at any time: verdicts are kept in build/mutation, and the next run continues. A verdict holds until
    its function changes. The verdict that a mutant survived holds until a test file changes that runs its line.

    Examples: scripts/mutate functions/eventfabric/wire; nice scripts/mutate --write scripts/mutation/survivors.md
    """
    try:
        mutants = _generated(files_under(paths or []))
        verdicts = Verdicts(KEPT / "verdicts.jsonl")
        if not report:
            _try(mutants, verdicts, workers=workers, fresh=fresh, again=again)
        if types or not report:
            _check_types(mutants, verdicts)
    except (InstallError, SuiteError, ValueError) as error:
        raise SystemExit(f"scripts/mutate: {error}") from error
    known = [(mutant, verdict) for mutant in mutants if (verdict := verdicts.of(mutant))]
    print(survivors(known))
    print(figures(known))
    if write is not None:
        write.write_text(page(known, len(mutants)), encoding="utf-8")
    if len(known) < len(mutants):
        print(f"{len(mutants) - len(known)} mutants have no verdict yet", file=sys.stderr)
        raise typer.Exit(1)
    if sum(verdict.fate in DEAD for _, verdict in known) < SHARE_MIN * len(known):
        raise typer.Exit(1)


def _generated(files: Sequence[str]) -> list[Mutant]:
    """Generate the mutants of these files. Raises InstallError."""
    pip = ["{folder}/bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    tool = installed(
        "mutation",
        LOCK.read_bytes() + sys.version.encode(),
        [
            [sys.executable, "-m", "venv", "{folder}"],
            [*pip, "install", "--require-hashes", "--no-deps", "--requirement", str(LOCK)],
        ],
    )
    command = [str(tool / "bin" / "python"), str(ROOT / "scripts" / "mutation" / "generate.py"), *files]
    return parsed(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def _try(mutants: Sequence[Mutant], verdicts: Verdicts, *, workers: int, fresh: bool, again: bool) -> None:
    """Try the mutants whose fate is not known. Raises SuiteError."""
    from scripts.mutation.judge import Judge

    # Test the code of this folder, even if the environment has another one installed.
    sys.path.insert(0, str(ROOT / "functions"))
    if fresh:
        verdicts.forget(mutants)
    if again:
        verdicts.forget(
            mutant for mutant in mutants if (known := verdicts.of(mutant)) and known.fate not in DEAD
        )
    progress = _Progress(len(mutants))
    progress.say("measuring the tests, unless they are known ...")
    measured = baseline(workers)

    def tell(mutant: Mutant, verdict: Verdict) -> None:
        verdicts.add(verdict)
        progress.step(verdict)

    done = DEAD | {Fate.ILL_TYPED}
    left = [mutant for mutant in mutants if (known := verdicts.of(mutant)) is None or known.fate not in done]
    # In random order, so that the known verdicts are a fair sample whenever somebody stops the run.
    Random(len(mutants)).shuffle(left)
    left.sort(
        key=lambda mutant: verdicts.of(mutant) is None
    )  # what survived first: were tests written for it?
    progress.say(f"{len(mutants)} mutants, {len(left)} of them to try")
    Judge(measured, known=verdicts.of, tell=tell, workers=workers).run(left)


def _check_types(mutants: Sequence[Mutant], verdicts: Verdicts) -> None:
    """Ask the type checker about the mutants that no test killed."""
    survived = (Fate.SURVIVED, Fate.UNTESTED)
    for mutant in ill_typed(
        [mutant for mutant in mutants if (known := verdicts.of(mutant)) and known.fate in survived]
    ):
        verdicts.add(Verdict(mutant.id, Fate.ILL_TYPED))


class _Progress:
    """Reports progress on a copy of standard error, because pytest captures the usual one."""

    def __init__(self, mutants: int) -> None:
        self._out = os.dup(2)
        self._said = time.monotonic()
        self._fates: Counter[Fate] = Counter()

    def say(self, text: str) -> None:
        os.write(self._out, f"{text}\n".encode())

    def step(self, verdict: Verdict) -> None:
        self._fates[verdict.fate] += 1
        if time.monotonic() - self._said >= PROGRESS_SECONDS:
            self._said = time.monotonic()
            self.say(_counts(self._fates.elements()))


def _counts(fates: Iterable[Fate]) -> str:
    counted = Counter(fates)
    return ", ".join(f"{counted[fate]} {fate}" for fate in Fate if counted[fate])


typer.run(main)
