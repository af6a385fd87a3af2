"""Runs trials for many seeds, keeps and shrinks failures: in processes for the command line, in this one for tests."""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from eventfabric.testing.idempotency.project import PlansAside, Project, check_aside, trials_of, try_seed
from eventfabric.testing.idempotency.report import HandlersReport
from eventfabric.testing.idempotency.trials import HandlerTrials
from eventfabric.testing.idempotency.workload import WAYS
from eventfabric.testing.simulation.hunt import SEED_SECONDS_MAX, Progress, hunt
from eventfabric.testing.simulation.kept import KEPT_MAX, KeptFailure, Trial, as_it_was, keep, write
from eventfabric.testing.simulation.outcome import SeedOutcome
from eventfabric.testing.simulation.plan import Plan
from eventfabric.testing.simulation.summary import Summary
from eventfabric.testing.simulation.worker import Aside

SHRINK_RUNS_MAX = 300
_RIVALS_MAX: Final = 3
SHRINK_SECONDS_MAX = 180.0
"""Time limit for shrinking one failure, so that a plan that hangs in every other run does not take all day."""


def run_here(trials: HandlerTrials, seeds: Iterable[int], *, out: Path) -> HandlersReport:
    """Try these seeds in this process, and keep failures under `out`. HandlersFailError.

    Ctrl-C ends it, like anything else that runs in a test.
    """
    trials.check()
    report = HandlersReport(Summary("handlers"), trials.names)
    _try(report, (trials.try_seed(seed) for seed in seeds), None)
    _keep(report, trials.plan, trials.tried, out=out, shrinks=True)
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
    seconds_max: float = SEED_SECONDS_MAX,
) -> HandlersReport:
    """Try these seeds in `jobs` processes, until `stop`. HandlersFailError, and all errors of HandlerTrials.

    A seed, or the run without faults, is given up after `seconds_max`. Ctrl-C ends it; the report has what is known by
    then.
    """
    trials = trials_of(project)
    report = HandlersReport(Summary("handlers"), trials.names)
    try:
        shown.say("a run without faults ...")
        with Aside() as aside:
            check_aside(aside, project, seconds_max=seconds_max)
        outcomes = hunt(seeds, partial(try_seed, project), jobs=jobs, stop=stop, seed_seconds_max=seconds_max)
        _try(report, outcomes, shown)
        with Aside() as aside:
            trial = PlansAside(aside, project, seconds_max=seconds_max)
            _keep(report, trials.plan, trial, out=out, shrinks=shrinks, say=shown.say)
    except KeyboardInterrupt:
        report.interrupted = True
    return report


def replay(project: Project, plan: Plan, *, out: Path, seconds_max: float) -> HandlersReport:
    """Try a kept plan again in another process. HandlersFailError, SettingError, and all errors of HandlerTrials."""
    trials = trials_of(project)
    trials.check_plan(plan)
    report = HandlersReport(Summary("handlers"), trials.names)
    with Aside() as aside:
        check_aside(aside, project, seconds_max=seconds_max)
        outcome, history = PlansAside(aside, project, seconds_max=seconds_max)(plan)
    report.summary.add(outcome)
    folder = out / "replay"
    report.kept_failures.append(
        write(outcome, history, folder) if outcome.ended else as_it_was(outcome, plan, folder)
    )
    return report


def _try(
    report: HandlersReport, outcomes: Generator[SeedOutcome, None, None], shown: Progress | None
) -> None:
    begun = time.monotonic()
    with closing(outcomes) as coming:
        for outcome in coming:
            report.summary.add(outcome)
            report.summary.seconds = time.monotonic() - begun
            if shown is not None:
                shown.step(outcome)


def _keep(
    report: HandlersReport,
    plan_of: Callable[[int], Plan],
    trial: Trial,
    *,
    out: Path,
    shrinks: bool,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Keep failures, each first as it is: if shrinking is interrupted, the report has the plan as it was."""
    for rivals, wanted in worth_keeping(report.summary.failures, lambda seed: plan_of(seed).size):
        first = rivals[0]
        say(f"seed {first.seed}: {'shrinking' if shrinks else 'writing it down'} ...")
        report.kept_failures.append(as_it_was(first, plan_of(first.seed), out / f"handlers-{first.seed}"))
        ends, runs_left = time.monotonic() + SHRINK_SECONDS_MAX, SHRINK_RUNS_MAX
        candidates: list[KeptFailure] = []
        for rival in rivals if shrinks else [first]:
            # Nobody can tell beforehand which plan shrinks furthest. The smallest need the fewest runs.
            if candidates and (runs_left <= 0 or _is_over(ends)):
                break
            candidates.append(
                keep(
                    rival,
                    plan_of(rival.seed),
                    out / f"handlers-{rival.seed}",
                    shrinks=shrinks,
                    trial=trial,
                    ways=WAYS,
                    runs_max=runs_left,
                    wanted=wanted,
                    stop=partial(_is_over, ends),
                )
            )
            runs_left -= candidates[-1].runs
            report.kept_failures[-1] = min(
                candidates, key=lambda candidate: (len(wanted - candidate.shown), candidate.size)
            )


def _is_over(ends: float) -> bool:
    return time.monotonic() >= ends


def worth_keeping(
    failures: Sequence[SeedOutcome], size_of: Callable[[int], int]
) -> list[tuple[list[SeedOutcome], frozenset[str]]]:
    """Return a few failures for each thing that is wrong, with the signatures that they are to show.

    `size_of`: returns the size of a seed's plan; the smallest plans come first.
    """
    by_size = sorted(failures, key=lambda failure: (size_of(failure.seed), failure.seed))
    choices: list[tuple[list[SeedOutcome], frozenset[str]]] = []
    covered: set[str] = set()
    for failure in sorted(by_size, key=lambda failure: len(failure.signature)):
        wanted = failure.signature - covered
        if wanted and len(choices) < KEPT_MAX:
            # A failure that also shows something else is left for that.
            rivals = [rival for rival in by_size if rival.signature - covered == wanted]
            choices.append((rivals[:_RIVALS_MAX], wanted))
            covered |= wanted
    return choices
