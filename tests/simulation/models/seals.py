"""A model of seals: lanes that are split, by a record that ends them.

    root      [ 0 ][ 2 ][ 3 ][seal 5]                     what was put before anybody knew
    child 0                          [ 6 ][ 8 ]           keys whose next bit is 0; goes on counting
    child 1                          [ 6 ][ 7 ][ 9 ]      keys whose next bit is 1

    the log        a seal takes one sequence, holds no event, never expires, is put like any record. Nothing stands
                   behind it. A child's first record continues its chain.
    publishing     whoever loses its place to a seal cuts its batch in two, and goes on in the children
    delivery       the run that comes to the seal copies the lane's parked keys to the children. Then, in one
                   transaction, the lane is `past_seal`, and both children have `begun`, by one and the same passing.
                   Only that begins a child. A child that has not begun rings its parent; a lane past its seal gives its
                   children what they lack, and rings both.
    takeover       root first: a child's former cursor counts if it was begun by the passing that its parent notes
    replay         of a lane and all lanes beneath it, in one transaction

Where to read: seals_values.py (what is stored); seals_publishing.py, seals_delivery.py, seals_takeover.py and
seals_operations.py (the rules: each is a method, which a planted bug of seals_bugs.py replaces); seals_truth.py (what
must hold); seals_world.py (tables, queues, replication, faults); seals_plans.py and seals_drawing.py (what happens in a
schedule). docs/decisions/0084-a-seal-ends-a-lane.md says why.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.models.schedules import Choices, Exploration, RandomChoices, Violation
from tests.simulation.models.seals_bugs import BUGS, Bug
from tests.simulation.models.seals_drawing import BOUNDED, PROFILES, drawn
from tests.simulation.models.seals_plans import Plan, Run, Seals

_CHUNK = 500


def run_one(seed: int, profile: str, rules: Seals) -> None:
    """Run the schedule of a seed. Raises Violation, or AssertionError where a rule's own assertion fails."""
    Run(rules, drawn(seed, PROFILES[profile]), RandomChoices(random.Random(f"{profile} {seed}"))).run()


def failures(seeds: Iterable[int], profile: str, rules: Seals) -> list[tuple[int, str]]:
    """Return the seeds of which a schedule fails, and why each does."""
    failed: list[tuple[int, str]] = []
    for seed in seeds:
        try:
            run_one(seed, profile, rules)
        except AssertionError as violation:
            failed.append((seed, str(violation)))
    return failed


def schedules_until_found(bug: Bug, schedules_max: int) -> int | None:
    """Return how many schedules of its profile it takes to find a bug; None: more than so many."""
    rules = bug.rules()
    return next(
        (seed + 1 for seed in range(schedules_max) if failures([seed], bug.profile, rules)),
        None,
    )


def explore(plan: Plan, rules: Seals, *, schedules_max: int) -> tuple[bool, Exploration]:
    """Explore every schedule of a plan, up to its bounds. Return if there were no more than so many. Violation."""
    exploration = Exploration()

    def scenario(choices: Choices) -> None:
        Run(rules, plan, choices, tracks=True).run()

    return exploration.run(scenario, schedules_max=schedules_max), exploration


def _run_random(arguments: argparse.Namespace) -> int:
    """Run random schedules of all profiles, or of one, and print what fails."""
    profiles = [arguments.profile] if arguments.profile else [*PROFILES]
    share = -(-arguments.schedules // len(profiles))
    chunks = [
        (range(start, min(start + _CHUNK, arguments.first + share)), profile)
        for start in range(arguments.first, arguments.first + share, _CHUNK)
        for profile in profiles
    ]
    failed = 0
    with ProcessPoolExecutor(arguments.jobs) as pool:
        work: Callable[..., list[tuple[int, str]]] = partial(_chunk, rules=Seals())
        for number, ((seeds, profile), failing) in enumerate(
            zip(chunks, pool.map(work, chunks), strict=True)
        ):
            for seed, reason in failing:
                failed += 1
                print(f"{profile} {seed}: {reason}", flush=True)
            if number % 40 == 39:
                print(f"{profile}: up to {seeds.stop}, {failed} failed", flush=True)
    print(f"{share * len(profiles)} schedules of {', '.join(profiles)}: {failed} failed")
    return int(failed > 0)


def _chunk(chunk: tuple[Sequence[int], str], *, rules: Seals) -> list[tuple[int, str]]:
    return failures(*chunk, rules)


def _run_bugs(arguments: argparse.Namespace) -> int:
    """Look for each planted bug, and print after how many schedules it is found."""
    missed = 0
    for bug in BUGS:
        count = schedules_until_found(bug, arguments.schedules)
        missed += count is None
        print(f"{bug.name:26} {bug.profile:12} {count or 'not found'}", flush=True)
    return int(missed > 0)


def _run_exploration(arguments: argparse.Namespace) -> int:
    """Explore the bounded plans, and print how large they are."""
    for name, plan in BOUNDED.items():
        try:
            is_whole, exploration = explore(plan, Seals(), schedules_max=arguments.schedules)
        except Violation as violation:
            print(f"{name}: {violation}")
            return 1
        size = f"{exploration.schedules} schedules, {exploration.states} states"
        print(f"{name}: {'all' if is_whole else 'only'} {size}", flush=True)
    return 0


def _census(arguments: argparse.Namespace) -> int:
    """Print how often each bug is found in each profile, by which checkers."""
    for bug in BUGS:
        for profile in PROFILES:
            failing = failures(range(arguments.schedules), profile, bug.rules())
            kinds = Counter(reason.partition(":")[0] for _, reason in failing)
            print(f"{bug.name:26} {profile:10} {len(failing):5} {dict(kinds)}", flush=True)
    return 0


def main() -> int:
    """Run what the command line asks for. Return 0 if nothing unexpected was found."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.models.seals",
        description="Runs the model of seals: random schedules, whose rules must survive all of them.",
        epilog="example: python -m tests.simulation.models.seals --schedules 200000 --jobs 1",
    )
    parser.add_argument(
        "--schedules", type=int, default=5000, help="how many, or how many at most (default 5000)"
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument(
        "--profile", choices=[*PROFILES], help="only this distribution (default: all, by turns)"
    )
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--bugs", action="store_true", help="look for each planted bug in its profile")
    asked.add_argument("--census", action="store_true", help="count each planted bug in every profile")
    asked.add_argument(
        "--explore", action="store_true", help="explore the bounded plans instead, all of each"
    )
    arguments = parser.parse_args()
    if arguments.bugs:
        return _run_bugs(arguments)
    if arguments.census:
        return _census(arguments)
    return _run_exploration(arguments) if arguments.explore else _run_random(arguments)


if __name__ == "__main__":
    sys.exit(main())
