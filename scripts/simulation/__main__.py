"""The command line of the simulator, `scripts/simulate`.

Exit codes: 0 no checker found anything; 1 a checker found something, or the simulator failed; 2 wrong arguments;
130 interrupted.
"""

import datetime
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from itertools import count

from eventfabric.cli.seed_progress import progress
from eventfabric.testing.simulation.hunt import hunt
from eventfabric.testing.simulation.kept import KeptFailure, chosen, keep, write
from eventfabric.testing.simulation.outcome import SeedOutcome
from eventfabric.testing.simulation.plan import Plan
from eventfabric.testing.simulation.summary import Summary
from eventfabric.testing.simulation.worker import ends_in_order
from scripts.simulation import regressions
from scripts.simulation.arguments import Arguments, parsed
from scripts.simulation.report import as_json, print_failure, print_plan, print_summary
from tests.simulation.profiles import PROFILES
from tests.simulation.trials import tried, try_seed

FOUND, BAD_INPUT, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulator from the command line. Returns the exit code."""
    asked = parsed(arguments)
    try:
        if asked.regression:
            return _regression(asked)
        with ends_in_order():
            return _replay(asked, asked.plan) if asked.plan else _hunt(asked)
    except regressions.RegressionError as error:
        print(f"scripts/simulate: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("scripts/simulate: interrupted", file=sys.stderr)
        return INTERRUPTED


def _hunt(asked: Arguments) -> int:
    summary, saved, interrupted = Summary(asked.profile), list[KeptFailure](), False
    begun = time.monotonic()
    try:
        with progress(asked.count, jobs=asked.jobs, profile=asked.profile) as shown:
            with closing(_outcomes(asked, begun)) as outcomes:
                for outcome in outcomes:
                    summary.add(outcome)
                    summary.seconds = time.monotonic() - begun
                    shown.step(outcome)
            for outcome in chosen(summary.failures):
                shown.say(f"seed {outcome.seed}: {'shrinking' if asked.shrink else 'writing it down'} ...")
                saved.append(_saved(asked, outcome))
    except KeyboardInterrupt:
        interrupted = True
    if asked.json:
        print(as_json(summary, saved, interrupted=interrupted))
    else:
        _print(summary, saved)
    if summary.failures:
        return FOUND
    return INTERRUPTED if interrupted else 0


def _print(summary: Summary, saved: Sequence[KeptFailure]) -> None:
    print_summary(summary)
    of_seed = {failure.seed: failure for failure in saved}
    for outcome in sorted(summary.failures, key=lambda outcome: outcome.seed):
        print_failure(outcome, summary.profile, of_seed.get(outcome.seed))


def _outcomes(asked: Arguments, begun: float) -> Generator[SeedOutcome, None, None]:
    ends = None if asked.minutes is None else begun + 60 * asked.minutes
    seeds: Iterable[int] = count(asked.first) if asked.last is None else range(asked.first, asked.last + 1)
    return hunt(
        seeds,
        partial(try_seed, asked.profile),
        jobs=asked.jobs,
        stop=lambda: ends is not None and time.monotonic() >= ends,
    )


def _saved(asked: Arguments, outcome: SeedOutcome) -> KeptFailure:
    plan = PROFILES[asked.profile].plan(outcome.seed)
    folder = asked.out / f"{asked.profile}-{outcome.seed}"
    return keep(outcome, plan, folder, shrinks=asked.shrink, trial=tried)


def _replay(asked: Arguments, plan: Plan) -> int:
    """Run a saved plan again, and write its history and its picture."""
    outcome, history = tried(plan)
    summary = Summary(plan.profile)
    summary.add(outcome)
    saved = write(outcome, history, asked.out / "replay")
    if asked.json:
        print(as_json(summary, [saved], interrupted=False))
    else:
        print_plan(outcome, saved)
    return FOUND if outcome.signature else 0


def _regression(asked: Arguments) -> int:
    """Add a plan to the list of regressions, and say whether it still fails."""
    plan = asked.plan or PROFILES[asked.profile].plan(asked.first)
    today = datetime.datetime.now(datetime.UTC).date()
    file = regressions.add(
        asked.regression, plan, seed=asked.first, reason=asked.reason, path=regressions.LIST, today=today
    )
    outcome, _ = tried(plan)
    print(f"{file}: {', '.join(sorted(outcome.signature)) or 'nothing is wrong any more'}")
    return FOUND if outcome.signature else 0


if __name__ == "__main__":
    raise SystemExit(main())
