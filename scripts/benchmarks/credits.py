"""Producers that a subscription holds back, in simulated time: how far it is behind, and how soon they go on."""

from typing import Final

from scripts.benchmarks.credits_trial import SECONDS, Figures, Scenario, Size, Trial
from scripts.benchmarks.measure import Section, Target

RETURNS_SECONDS_MAX: Final = 15
_BEST: Final = 1.05
"""Share of the usual rate that a lane drained at its best: that counts for how far producers may be ahead."""
FULL: Final = Size(64, 20, 200.0)
SMALL: Final = Size(16, 5, 50.0, calm=100, fall=100, after=40, fair=0.7)
"""A quarter of that, for shorter: chance decides what share of so few events a publisher gets."""

SCENARIOS: Final = (
    Scenario("a tenth of the rate", 0.1),
    Scenario("a tenth, half of the events in one lane", 0.1, hot=True),
    Scenario("a tenth, each publisher lives 30 s", 0.1, lives=30),
    Scenario("half of the rate", 0.5),
    Scenario("dead", 0.0),
    Scenario("dead, half of the events in one lane", 0.0, hot=True),
    Scenario("a second gate beside it is well", 0.1, others=1),
    Scenario("one lane halted", 2.5, halted=True),
)


def bench(*, quick: bool) -> Section:
    """Run all scenarios. `quick`: at a quarter of the rate, and for a shorter time."""
    size = SMALL if quick else FULL
    figures = {scenario: Trial(scenario, size).run() for scenario in SCENARIOS}
    heading = ["", "during", "backlog during, after", "full rate after", "Jain", "read units/s", "raises/s"]
    return Section(
        "credits",
        [],
        [target for scenario, own in figures.items() for target in targets(scenario, size, own)],
        [
            f"{size.publishers} publishers want {size.rate:.0f}/s, {size.lanes} lanes; a consumer takes 2.5 times that"
        ],
        [heading, *(_row(scenario.name, own) for scenario, own in figures.items())],
    )


def _row(name: str, figures: Figures) -> list[str]:
    returns = "" if figures.returns_seconds is None else f"{figures.returns_seconds} s"
    return [
        name,
        f"{figures.during:.0f}/s",
        f"{figures.backlog:,}, {figures.backlog_after:,}",
        returns,
        f"{figures.jain:.2f}" if figures.jain else "",
        f"{figures.read_units:.2f}",
        f"{figures.raises:.0f}",
    ]


def targets(scenario: Scenario, size: Size, figures: Figures) -> list[Target]:
    """Return what decision 0083 promises of a scenario."""
    kept = [
        Target(f"{scenario.name}: backlog", figures.backlog, _BEST * SECONDS * size.rate, "events"),
        Target(f"{scenario.name}: reads of a process", figures.read_units, 0.5, "read units/s"),
    ]
    if not scenario.halted:
        returns = RETURNS_SECONDS_MAX + 1 if figures.returns_seconds is None else figures.returns_seconds
        kept.append(Target(f"{scenario.name}: full rate after", returns, RETURNS_SECONDS_MAX, "s"))
    if figures.jain and scenario.share:
        kept.append(Target(f"{scenario.name}: Jain's index", figures.jain, size.fair, "", at_least=True))
    return kept
