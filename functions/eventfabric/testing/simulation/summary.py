"""Totals of a hunt: how often each verdict was given, what took place, and which seeds failed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from eventfabric.testing.simulation.outcome import SeedOutcome

KINDS: Final = ("faults", "happenings", "findings")


@dataclass
class Summary:
    """Totals of many outcomes, which do not depend on their order."""

    profile: str
    seconds: float = 0.0
    seeds: int = 0
    entries: int = 0
    failures: list[SeedOutcome] = field(default_factory=list)
    results: Counter[tuple[str, str]] = field(default_factory=Counter)
    times: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    in_seeds: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    planned: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: SeedOutcome) -> None:
        """Add the outcome of one seed."""
        self.seeds += 1
        self.entries += outcome.entries
        self.results.update((verdict.checker, verdict.result.value) for verdict in outcome.verdicts)
        self.planned.update(outcome.planned)
        for kind in KINDS:
            counts: Mapping[str, int] = getattr(outcome.tally, kind)
            self.times[kind].update(counts)
            self.in_seeds[kind].update(counts.keys())
        if outcome.signature:
            self.failures.append(outcome)

    @property
    def rate(self) -> float:
        """Seeds per second."""
        return self.seeds / self.seconds if self.seconds else 0.0

    @property
    def checkers(self) -> list[str]:
        """Names of all checkers, sorted."""
        return sorted({checker for checker, _ in self.results})
