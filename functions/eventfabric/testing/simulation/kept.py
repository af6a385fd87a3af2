"""Keeps failures: the plan, shrunk, with its history and picture, in one folder for each seed."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.outcome import SeedOutcome
from eventfabric.testing.simulation.plainer import ALL, Ways
from eventfabric.testing.simulation.plan import Plan
from eventfabric.testing.simulation.shrink import RUNS_MAX, NotShownError, Shrunk, shrink
from eventfabric.testing.simulation.timeline import timeline
from eventfabric.testing.simulation.verdict import Result, Verdict
from eventfabric.whole_files import write_whole

Trial = Callable[[Plan], tuple[SeedOutcome, History]]
KEPT_MAX = 8
"""Most failures that one hunt keeps, since a defect may show in every other seed."""


@dataclass(frozen=True)
class KeptFailure:
    """Files kept of a seed. `verdicts`, `history`: those of the kept plan. `runs`: spent on shrinking, or 0."""

    seed: int
    folder: Path
    verdicts: tuple[Verdict, ...] = ()
    size_before: int = 0
    size: int = 0
    runs: int = 0
    is_minimal: bool = True
    history: History | None = None

    @property
    def plan(self) -> Path:
        """Path of the plan, which `--plan` replays."""
        return self.folder / "plan.json"

    @property
    def shown(self) -> frozenset[str]:
        """Names of the checkers that the kept plan fails."""
        return frozenset(verdict.checker for verdict in self.verdicts if verdict.result is Result.INVALID)

    @property
    def picture(self) -> Path:
        """Path of the picture of its history."""
        return self.folder / "timeline.html"


def chosen(failures: Sequence[SeedOutcome]) -> list[SeedOutcome]:
    """Return failures worth keeping: one of each kind, then others, up to KEPT_MAX."""
    in_order = sorted(failures, key=lambda failure: failure.seed)
    kinds = {failure.signature: failure for failure in reversed(in_order)}
    first = sorted(kinds.values(), key=lambda failure: failure.seed)
    return [*first, *(failure for failure in in_order if failure not in first)][:KEPT_MAX]


def as_it_was(outcome: SeedOutcome, plan: Plan, folder: Path) -> KeptFailure:
    """Write down the plan of a failure, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    failure = KeptFailure(outcome.seed, folder, size_before=plan.size, size=plan.size)
    write_whole({failure.plan: text_of(plan)})
    return failure


def keep(
    outcome: SeedOutcome,
    plan: Plan,
    folder: Path,
    *,
    shrinks: bool,
    trial: Trial,
    ways: Ways = ALL,
    runs_max: int = RUNS_MAX,
    wanted: frozenset[str] = frozenset(),
    stop: Callable[[], bool] = lambda: False,
) -> KeptFailure:
    """Shrink the plan of a failure, in at most `runs_max` runs and until `stop`, and write it down.

    `trial`: runs a plan, and returns its outcome and history. `wanted`: the signature that the plan must show in the
    end; default: all of its own.
    """
    # Write the plan first, so that it is kept even if this process ends while shrinking.
    failure = as_it_was(outcome, plan, folder)
    if not outcome.ended:
        # Running it again could take this process, or another one, down with it.
        return failure
    shrunk = Shrunk(plan, 0, is_minimal=True)
    if shrinks:

        def shows(candidate: Plan) -> bool:
            return (wanted or outcome.signature) <= trial(candidate)[0].signature

        # If handlers decide by chance, the failure may not show again.
        with suppress(NotShownError):
            shrunk = shrink(plan, shows, ways=ways, runs_max=runs_max, stop=stop)
    final_outcome, history = trial(shrunk.plan)
    written = (
        write(final_outcome, history, folder)
        if final_outcome.ended
        else as_it_was(outcome, shrunk.plan, folder)
    )
    return replace(
        written,
        seed=outcome.seed,
        size_before=plan.size,
        size=shrunk.plan.size,
        runs=shrunk.runs,
        is_minimal=shrunk.is_minimal,
    )


def write(outcome: SeedOutcome, history: History, folder: Path) -> KeptFailure:
    """Write down a plan, its history and verdicts, and the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    size = history.plan.size
    failure = KeptFailure(outcome.seed, folder, outcome.verdicts, size, size, history=history)
    write_whole(
        {
            failure.plan: text_of(history.plan),
            folder / "history.jsonl": history.encode(),
            failure.picture: timeline(history, list(outcome.verdicts), error=outcome.error),
        }
    )
    return failure


def text_of(plan: Plan) -> bytes:
    """Return a plan as JSON that people can read and change."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n"
