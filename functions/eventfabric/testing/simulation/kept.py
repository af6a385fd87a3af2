"""Keeps what fails: its plan, shrunk, with the history and the picture of that, in a folder a seed."""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.plainer import ALL, Ways
from eventfabric.testing.simulation.plan import Plan
from eventfabric.testing.simulation.shrink import RUNS_MAX, NotShownError, Shrunk, shrink
from eventfabric.testing.simulation.timeline import timeline
from eventfabric.testing.simulation.trial import Outcome
from eventfabric.testing.simulation.verdict import Result, Verdict

Trial = Callable[[Plan], tuple[Outcome, History]]
KEPT_MAX = 8
"""Of one hunt: a defect that shows in every other seed is not kept a thousand times."""


@dataclass(frozen=True)
class Kept:
    """What is kept of a seed. `verdicts` and `history`: of the kept plan. `runs`: in which it was shrunk, or 0."""

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
        """The plan, which `--plan` replays."""
        return self.folder / "plan.json"

    @property
    def shown(self) -> frozenset[str]:
        """Names of what is wrong, as the kept plan shows it."""
        return frozenset(one.checker for one in self.verdicts if one.result is Result.INVALID)

    @property
    def picture(self) -> Path:
        """The picture of its history."""
        return self.folder / "timeline.html"


def chosen(failures: Seq[Outcome]) -> list[Outcome]:
    """Failures that are worth keeping: one of each kind, then others, up to KEPT_MAX."""
    in_order = sorted(failures, key=lambda one: one.seed)
    kinds = {one.signature: one for one in reversed(in_order)}
    first = sorted(kinds.values(), key=lambda one: one.seed)
    return [*first, *(one for one in in_order if one not in first)][:KEPT_MAX]


def as_it_was(outcome: Outcome, plan: Plan, folder: Path) -> Kept:
    """Write down the plan of what failed, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = Kept(outcome.seed, folder, size_before=plan.size, size=plan.size)
    kept.plan.write_bytes(text_of(plan))
    return kept


def keep(
    outcome: Outcome,
    plan: Plan,
    folder: Path,
    *,
    shrinks: bool,
    trial: Trial,
    ways: Ways = ALL,
    runs_max: int = RUNS_MAX,
    wanted: frozenset[str] = frozenset(),
    stop: Callable[[], bool] = lambda: False,
) -> Kept:
    """Shrink the plan of what failed, in so many runs and until `stop`, and write it down.

    `trial`: what comes of a plan. `wanted`: what the plan is to show in the end; default all that it does.
    """
    # First of all: whatever ends this process while it shrinks, the plan is there.
    kept = as_it_was(outcome, plan, folder)
    if not outcome.ended:
        # Tried again, it would take another process with it, or this one.
        return kept
    shrunk = Shrunk(plan, 0, is_minimal=True)
    if shrinks:

        def shows(other: Plan) -> bool:
            return (wanted or outcome.signature) <= trial(other)[0].signature

        # Of handlers that decide by chance it may not show again.
        with suppress(NotShownError):
            shrunk = shrink(plan, shows, ways=ways, runs_max=runs_max, stop=stop)
    found, history = trial(shrunk.plan)
    written = write(found, history, folder) if found.ended else as_it_was(outcome, shrunk.plan, folder)
    return replace(
        written,
        seed=outcome.seed,
        size_before=plan.size,
        size=shrunk.plan.size,
        runs=shrunk.runs,
        is_minimal=shrunk.is_minimal,
    )


def write(outcome: Outcome, history: History, folder: Path) -> Kept:
    """Write down a plan, what came of it, and its picture."""
    folder.mkdir(parents=True, exist_ok=True)
    size = history.plan.size
    kept = Kept(outcome.seed, folder, outcome.verdicts, size, size, history=history)
    kept.plan.write_bytes(text_of(history.plan))
    (folder / "history.jsonl").write_bytes(history.encode())
    kept.picture.write_text(timeline(history, list(outcome.verdicts), error=outcome.error), encoding="utf-8")
    return kept


def text_of(plan: Plan) -> bytes:
    """A plan as JSON that people can read and change."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n"
