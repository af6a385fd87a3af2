"""The outcome of a seed: the verdicts on its history, and what took place. A failing simulator is an outcome, too."""

import logging
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.plan import Plan
from eventfabric.testing.simulation.verdict import Result, Verdict

_NOT_YET: Final = "begins"
_IN_A_CALL: Final = ("before ", "after ")
"""Beginnings of reasons for crashes that a fault of a call caused. Such a fault is counted by itself."""


class Tally(msgspec.Struct, frozen=True):
    """Numbers of times that things took place, by name."""

    faults: dict[str, int]
    happenings: dict[str, int]
    findings: dict[str, int]


class SeedOutcome(msgspec.Struct, frozen=True):
    """Result of a seed. `error`: traceback, if the simulator failed; then no checker was called."""

    seed: int
    verdicts: tuple[Verdict, ...] = ()
    tally: Tally = Tally({}, {}, {})
    planned: tuple[str, ...] = ()
    """Faults that had a rate. Some of them leave no trace in a history."""
    entries: int = 0
    broke: str = ""
    """Error that the simulator raised, with the function that raised it; empty if it came to its end."""
    error: str = ""
    ended: bool = True
    """True if the process that tried the seed lived on; if not, trying it again could kill any other process."""

    @property
    def signature(self) -> frozenset[str]:
        """Names of the checkers that failed, or of the simulator's own failure; empty if all is well."""
        if self.broke:
            return frozenset({self.broke})
        return frozenset(verdict.checker for verdict in self.verdicts if verdict.result is Result.INVALID)


def failed(error: Exception, run_history: History) -> SeedOutcome:
    """Return the outcome of a simulator that raised."""
    text = "".join(traceback.format_exception(error))
    plan, counts = run_history.plan, tally(run_history.entries)
    return SeedOutcome(plan.seed, (), counts, planned(plan), len(run_history.entries), _place(error), text)


def planned(plan: Plan) -> tuple[str, ...]:
    """Return the faults that have a rate."""
    return tuple(sorted(name for name, rate in plan.rates.items() if rate > 0))


def tally(entries: Iterable[history.AnyEntry]) -> Tally:
    """Count how often each fault and happening took place, and how often each finding was made."""
    faults, happenings, findings = Counter[str](), Counter[str](), Counter[str]()
    for entry in entries:
        match entry:
            case history.Called():
                faults[_fault(entry)] += 1
            case history.Crashed() if not entry.reason.startswith(_IN_A_CALL):
                faults[_reason(entry)] += 1
            case history.Happened() if entry.outcome != _NOT_YET and not entry.what.endswith(f"_{_NOT_YET}"):
                failed = entry.outcome.endswith(("Error", "Crash"))
                happenings[f"{entry.what}: {entry.outcome}" if failed else entry.what] += 1
            case history.Tampered():
                happenings[entry.what] += 1
            case history.Found():
                findings[f"{entry.finding} (repaired)" if entry.repaired else entry.finding] += 1
            case _:
                pass
    return Tally(dict(faults), dict(happenings), dict(findings))


def _fault(entry: history.Called) -> str:
    """Return the kind of a fault, without the lane that doorbells' faults name."""
    kind = entry.fault.partition(" for ")[0]
    return (
        f"doorbell {kind}" if entry.call == "doorbells.ring" and kind in ("lost", "late", "refused") else kind
    )


def _reason(entry: history.Crashed) -> str:
    """Return why a process died, or an invocation failed, without the details."""
    kind, separator, _ = entry.reason.partition(": ")
    return f"raised {kind}" if separator else kind.partition(" at ")[0]


def _place(error: Exception) -> str:
    """Return the error and its function, without line number and message, which vary between equal failures."""
    return f"{type(error).__name__} in {traceback.extract_tb(error.__traceback__)[-1].name}"


@contextmanager
def silence() -> Iterator[None]:
    """Log nothing meanwhile: nobody reads the logs of a thousand simulated processes."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
