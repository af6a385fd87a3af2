"""Shrinks a plan that shows a failure to a smaller one that still shows it: delta debugging, greedy, to a fixpoint.

Pure: a predicate tells if a plan shows the failure, and is called a bounded number of times. Parts are dropped in large
pieces first, and then one by one; the rest is made as plain as possible. A candidate that no longer shows the failure
may only have drawn another schedule: once nothing more can be dropped with the plan's own seed, other seeds are tried
for each candidate.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from eventfabric.testing.simulation.plainer import ALL, PlanPart, Ways
from eventfabric.testing.simulation.plan import Plan

RUNS_MAX: Final = 1_500
OTHER_SEEDS: Final = (1, 2, 3, 4)

Shows = Callable[[Plan], bool]
Told = Callable[[Plan, int], None]


class NotShownError(ValueError):
    """The plan does not show the failure."""


class Shrunk(msgspec.Struct, frozen=True):
    """The smallest plan found. `runs`: calls of the predicate. `is_minimal`: nothing more can be dropped."""

    plan: Plan
    runs: int
    is_minimal: bool


def shrink(
    plan: Plan,
    shows: Shows,
    *,
    ways: Ways = ALL,
    runs_max: int = RUNS_MAX,
    other_seeds: tuple[int, ...] = OTHER_SEEDS,
    tell: Told = lambda plan, runs: None,
    stop: Callable[[], bool] = lambda: False,
) -> Shrunk:
    """Return a minimal plan that `shows` the failure, like the given one. NotShownError if that does not show it.

    `tell` is called with each step. `stop` is called before each run but the first: once it returns True, no more runs
    are made.
    """
    search = _Search(plan, shows, ways, runs_max, tell, stop)
    if not search.shows(plan):
        raise NotShownError(f"seed {plan.seed} of profile {plan.profile} does not show it")
    try:
        search.to_fixpoint(())
        search.to_fixpoint(other_seeds)
    except _OutOfRunsError:
        return Shrunk(search.plan, search.runs, is_minimal=False)
    return Shrunk(search.plan, search.runs, is_minimal=True)


class _OutOfRunsError(Exception):
    """The predicate may not be called again: the number of runs, or the time, is used up."""


class _Search:
    """A search. `plan` is the smallest plan so far that shows the failure."""

    def __init__(
        self, plan: Plan, shows: Shows, ways: Ways, runs_max: int, tell: Told, stop: Callable[[], bool]
    ) -> None:
        self.plan = plan
        self.runs = 0
        self._shows = shows
        self._ways = ways
        self._runs_max = runs_max
        self._tell = tell
        self._stop = stop
        self._known: dict[bytes, bool] = {}

    def shows(self, plan: Plan) -> bool:
        """Return the predicate's answer for a plan, calling it once for each plan. _OutOfRunsError."""
        text = msgspec.json.encode(plan)
        if text not in self._known:
            if self.runs >= self._runs_max or (self.runs and self._stop()):
                raise _OutOfRunsError
            self.runs += 1
            self._known[text] = self._shows(plan)
        return self._known[text]

    def to_fixpoint(self, other_seeds: tuple[int, ...]) -> None:
        """Go on until a whole round changes nothing."""
        before = None
        while before != self.plan:
            before = self.plan
            for part in self._ways.parts:
                self._drop(part, other_seeds)
            while any(self._is_taken(candidate, other_seeds) for candidate in self._ways.plainer(self.plan)):
                pass

    def _drop(self, part: PlanPart, other_seeds: tuple[int, ...]) -> None:
        """Drop stretches of a part: the whole, its halves, quarters, and so on down to single ones."""
        size = part.count(self.plan)
        while size:
            start = 0
            while start < (count := part.count(self.plan)):
                smaller = part.without(self.plan, range(start, min(start + size, count)))
                if smaller is None or not self._is_taken(smaller, other_seeds):
                    start += size
            size //= 2

    def _is_taken(self, candidate: Plan, other_seeds: tuple[int, ...]) -> bool:
        for seed in (candidate.seed, *other_seeds):
            tried = msgspec.structs.replace(candidate, seed=seed)
            if self.shows(tried):
                self.plan = tried
                self._tell(tried, self.runs)
                return True
        return False
