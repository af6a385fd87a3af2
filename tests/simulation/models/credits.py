"""A model of credits: publishers append to a lane only as far as the subscriptions that gate it have granted.

credits_rules      the rules, by name; the protocol is to be learnt from there
credits_world      a stream, its consumers and their faults, on a simulated clock (credits_item, credits_publisher)
credits_scenarios  what falters (credits_trial: how much there is of all)
credits_checks     what must hold
credits_bugs       rules that do not hold, and the scenario that finds each
credits_states     all states of a small configuration, step by step

python -m tests.simulation.models.credits --size page dead tenth
"""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

from tests.simulation.models.credits_bugs import BUGS
from tests.simulation.models.credits_checks import jain, returned_after, wrong_with
from tests.simulation.models.credits_rules import Rules
from tests.simulation.models.credits_scenarios import SCENARIOS
from tests.simulation.models.credits_states import Steps, begin, explore
from tests.simulation.models.credits_trial import LARGE, PAGE, SMALL, Size, Trial

SIZES = {"small": SMALL, "page": PAGE, "large": LARGE}


def try_out(scenario: str, *, size: Size = SMALL, rules: Rules | None = None, seed: int = 0) -> Trial:
    """Run a scenario to its end."""
    return SCENARIOS[scenario](size, rules or Rules(), seed).run()


def figures(trial: Trial) -> str:
    """Return what was measured in a trial."""
    size, world = trial.size, trial.world
    falls = max(events for time, events in world.backlog if size.begins < time < size.recovers)
    after = max(events for time, events in world.backlog if time >= size.recovers)
    units = max(
        publisher.read_units / max(1.0, min(publisher.until, size.ends) - publisher.since)
        for publisher in trial.publishers
    )
    returned = None if trial.recovers is None else returned_after(trial)
    return (
        f"calm {trial.rate(size.begins / 2, size.begins):.1f}/s, "
        f"fall {trial.rate(size.begins + size.fall / 4, size.recovers):.1f}/s, "
        f"back after {'-' if returned is None else f'{returned:.0f} s'}, backlog {falls}, then {after}, "
        f"Jain {jain(trial.shares):.3f}, {units:.2f} read units/s a process, "
        f"{world.writes / size.ends:.1f} writes/s"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run scenarios, and print what is wrong with them. Return how many were wrong."""
    parser = ArgumentParser("credits", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"default all: {', '.join(SCENARIOS)}"
    )
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds (default 1)")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--bug", choices=[bug.rules.__name__ for bug in BUGS], help="plant a bug")
    parser.add_argument("--states", action="store_true", help="explore all states of larger configurations")
    options = parser.parse_args(arguments)
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    rules = next((bug.rules for bug in BUGS if bug.rules.__name__ == options.bug), Rules)
    if options.states:
        for lanes, publishers, events, faults in ((1, 2, 3, 2), (2, 2, 4, 1), (1, 3, 2, 1)):
            start = begin(lanes=lanes, publishers=publishers, events=events, faults=faults)
            print(f"{lanes} lanes, {publishers} publishers:", explore(start, Steps(rules()).of))
        return 0
    failures = 0
    for scenario in options.scenarios or SCENARIOS:
        for seed in range(options.first, options.first + options.seeds):
            trial = try_out(scenario, size=SIZES[options.size], rules=rules(), seed=seed)
            wrong = wrong_with(trial)
            failures += bool(wrong)
            print(f"{scenario}, seed {seed}: {figures(trial)}")
            for text in wrong:
                print(f"    {text}")
    return failures


if __name__ == "__main__":
    raise SystemExit(min(main(), 1))
