"""Runs many seeds of trials, keeps and shrinks what fails: for the command line in processes, for tests in this one."""

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path

from eventfabric.simulation.handlers.report import HandlersReport
from eventfabric.simulation.handlers.trials import HandlerTrials, Project, trials_of, try_seed
from eventfabric.simulation.handlers.workload import WAYS
from eventfabric.simulation.hunt import hunt
from eventfabric.simulation.kept import KEPT_MAX, keep
from eventfabric.simulation.progress import Progress
from eventfabric.simulation.summary import Summary
from eventfabric.simulation.trial import Outcome

SHRINK_RUNS_MAX = 300


def run_here(trials: HandlerTrials, seeds: Iterable[int], *, out: Path) -> HandlersReport:
    """Try these seeds in this process; failures are kept under `out`. HandlersFailError.

    Ctrl-C ends it, as it ends whatever else runs in a test.
    """
    trials.check()
    report = HandlersReport(Summary("handlers"), trials.names)
    _fill(report, trials, (trials.try_seed(seed) for seed in seeds), out=out, shrinks=True)
    return report


def run_in_processes(
    project: Project,
    seeds: Iterable[int],
    *,
    jobs: int,
    out: Path,
    shrinks: bool,
    shown: Progress,
    stop: Callable[[], bool] = lambda: False,
) -> HandlersReport:
    """Try these seeds in so many processes, until `stop`. What HandlerTrials raises; HandlersFailError.

    Ctrl-C ends it with what is known by then.
    """
    trials = trials_of(project)
    trials.check()
    report = HandlersReport(Summary("handlers"), trials.names)
    outcomes = hunt(seeds, partial(try_seed, project), jobs=jobs, stop=stop)
    try:
        _fill(report, trials, outcomes, out=out, shrinks=shrinks, shown=shown)
    except KeyboardInterrupt:
        report.interrupted = True
    return report


def _fill(
    report: HandlersReport,
    trials: HandlerTrials,
    outcomes: Generator[Outcome, None, None],
    *,
    out: Path,
    shrinks: bool,
    shown: Progress | None = None,
) -> None:
    begun = time.monotonic()
    with closing(outcomes) as coming:
        for outcome in coming:
            report.summary.add(outcome)
            report.summary.seconds = time.monotonic() - begun
            if shown is not None:
                shown.step(outcome)
    for outcome, wanted in _one_of_each(report.summary.failures):
        if shown is not None:
            shown.say(f"seed {outcome.seed}: {'shrinking' if shrinks else 'writing it down'} ...")
        plan, folder = trials.plan(outcome.seed), out / f"handlers-{outcome.seed}"
        report.kept.append(
            keep(
                outcome, plan, folder, shrinks=shrinks, trial=trials.tried, ways=WAYS, runs_max=SHRINK_RUNS_MAX,
                wanted=wanted,
            )
        )  # fmt: skip


def _one_of_each(failures: list[Outcome]) -> list[tuple[Outcome, frozenset[str]]]:
    """Failures that show each thing that is wrong once, with what they are to show: what a person needs to see."""
    found: list[tuple[Outcome, frozenset[str]]] = []
    seen: set[str] = set()
    for one in sorted(failures, key=lambda one: (len(one.signature), one.seed)):
        wanted = one.signature - seen
        if wanted and len(found) < KEPT_MAX:
            seen |= wanted
            found.append((one, wanted))
    return found
