"""The report of trials: each effect, if it is idempotent, and a short schedule that shows that it is not."""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from eventfabric.testing.idempotency.story import story
from eventfabric.testing.idempotency.trials import REPEATED, STUCK
from eventfabric.testing.simulation.kept import KeptFailure
from eventfabric.testing.simulation.outcome import SeedOutcome
from eventfabric.testing.simulation.summary import Summary
from eventfabric.testing.simulation.verdict import Anomaly, Result, Verdict

HINT = (
    "An effect in DynamoDB: write it by the event's id, or on a condition, or with delivery.transaction (exactly_once);"
    " one elsewhere: with delivery.once(...), whose key the other side knows again."
)


@dataclass
class HandlersReport:
    """Results of many seeds. `kept_failures`: one failure of each kind, shrunk, with its picture.

    `command`: the words of the command that replays a plan, without the plan; empty if no command line can.
    """

    summary: Summary
    names: tuple[str, ...]
    kept_failures: list[KeptFailure] = field(default_factory=list)
    interrupted: bool = False
    command: tuple[str, ...] = ()

    @property
    def found(self) -> list[str]:
        """Effects that are not idempotent, and everything else that is wrong; sorted."""
        return sorted(set().union(*(failure.signature for failure in self.summary.failures)))

    @property
    def repeated(self) -> dict[str, int]:
        """Number of attempts that repeated an earlier one, by subscription. 0: nothing is known of its effects."""
        times = self.summary.times["happenings"]
        return {name: times[f"{REPEATED}: {name}"] for name in self.names}

    @property
    def effects(self) -> list[tuple[str, int, int, int]]:
        """Each effect, and the number of seeds in which it was as without faults, was not, or could not be judged."""
        results = self.summary.results
        return [
            (
                name,
                results[name, Result.VALID.value],
                results[name, Result.INVALID.value],
                results[name, Result.UNKNOWN.value],
            )
            for name in self.summary.checkers
        ]

    def check(self) -> None:
        """Raise an AssertionError with the whole report if an effect is not idempotent, or not everything was tried."""
        if self.found:
            raise AssertionError("\n".join(["not idempotent under faults:", *self.lines()]))
        if self.interrupted:
            raise AssertionError(f"interrupted after {self.summary.seeds} seeds: nothing was found by then")
        if not self.summary.seeds:
            raise AssertionError("no seed was tried: nothing is known")

    def lines(self) -> Iterator[str]:
        """Yield the report for people: each kind of failure with its schedule."""
        for failure in self.kept_failures:
            outcome = next(
                (outcome for outcome in self.summary.failures if outcome.seed == failure.seed), None
            )
            if outcome is None:
                yield f"seed {failure.seed}: nothing is wrong any more"
            else:
                yield from _failure_lines(outcome, failure)
            yield f"  plan:    {self.again(failure)}"
            if failure.picture.exists():
                yield f"  picture: {failure.picture}"
        if any(": " in name for name in self.found):
            yield ""
            yield HINT

    def again(self, failure: KeptFailure) -> str:
        """Return the command that replays a plan; or only the plan, if no command line can."""
        return shlex.join([*self.command, "--plan", str(failure.plan)]) if self.command else str(failure.plan)

    def as_json(self) -> dict[str, Any]:
        """Return everything, for programs."""
        return {
            "seeds": self.summary.seeds,
            "seconds": round(self.summary.seconds, 3),
            "interrupted": self.interrupted,
            "repeated": self.repeated,
            "effects": {
                name: {"same": same, "differs": differs, "unknown": unknown}
                for name, same, differs, unknown in self.effects
            },
            "found": self.found,
            "failures": [
                self._failure(outcome)
                for outcome in sorted(self.summary.failures, key=lambda outcome: outcome.seed)
            ],
        }

    def _failure(self, outcome: SeedOutcome) -> dict[str, Any]:
        failure = next((failure for failure in self.kept_failures if failure.seed == outcome.seed), None)
        verdicts = _shown(outcome, failure) if failure else outcome.verdicts
        content: dict[str, Any] = {
            "seed": outcome.seed,
            "found": sorted(outcome.signature),
            "what": {
                verdict.checker: [anomaly.what for anomaly in verdict.anomalies]
                for verdict in verdicts
                if verdict.result is Result.INVALID
            },
            "error": outcome.error,
        }
        if failure is not None:
            content["plan"] = str(failure.plan)
            content["again"] = self.again(failure)
            content["picture"] = str(failure.picture)
            content["schedule"] = (
                story(failure.history, subscriptions_in(verdicts)) if failure.history else []
            )
        return content


def _shown(outcome: SeedOutcome, failure: KeptFailure) -> tuple[Verdict, ...]:
    """Return the verdicts of the kept plan; if they show nothing any more, those of the original failure."""
    if any(verdict.result is Result.INVALID for verdict in failure.verdicts):
        return failure.verdicts
    return outcome.verdicts


def _failure_lines(outcome: SeedOutcome, failure: KeptFailure) -> Iterator[str]:
    shown = _shown(outcome, failure)
    for verdict in shown:
        if verdict.result is Result.INVALID:
            yield ""
            yield verdict.checker
            yield from (f"  {anomaly.what}" for anomaly in verdict.anomalies)
    if outcome.error:
        yield from ("", *outcome.error.splitlines())
    how = (
        f", shrunk from size {failure.size_before} to {failure.size} in {failure.runs} runs"
        if failure.runs
        else ""
    )
    yield f"  seed {outcome.seed}{how}:"
    if failure.history is not None:
        yield from (f"    {line}" for line in story(failure.history, subscriptions_in(shown)))
    if shown is not failure.verdicts and failure.verdicts:
        yield "    (it did not show again: it may be decided by chance, by time, or by what a module keeps)"


def subscriptions_in(verdicts: tuple[Verdict, ...]) -> frozenset[str]:
    """Return the subscriptions whose effects are wrong."""
    names: set[str] = set()
    for verdict in verdicts:
        if verdict.result is not Result.INVALID:
            continue
        if verdict.checker == STUCK:
            names.update(_raising(verdict.anomalies))
        else:
            names.update(verdict.checker.partition(":")[0].split(" and "))
    return frozenset(names)


def _raising(anomalies: Iterable[Anomaly]) -> Iterator[str]:
    """Yield the subscriptions whose handlers, by the anomalies' texts, raised errors."""
    for anomaly in anomalies:
        subscription, raised, _ = anomaly.what.partition(" raised ")
        if raised:
            yield subscription
