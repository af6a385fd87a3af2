"""Trials of a project in another process, since a handler may end its process or never return.

Tasks for a worker are functions of this module, since the worker knows them by their names.
"""

import time
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

from eventfabric.errors import HandlersFailError
from eventfabric.testing.idempotency.trials import HandlerTrials
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.hunt import lost_outcome
from eventfabric.testing.simulation.outcome import SeedOutcome
from eventfabric.testing.simulation.plan import Plan
from eventfabric.testing.simulation.worker import Aside, LostWorkerError

_PATIENCE_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Project:
    """Locations of a project's definition, events and handlers: what a process needs to try them. See HandlerTrials."""

    definition: str
    events: str
    setup: str | None = None
    subscriptions: tuple[str, ...] = ()
    failover: bool = False
    replay: bool = False


@cache
def trials_of(project: Project) -> HandlerTrials:
    """Return a project's trials, loaded once a process. All errors of HandlerTrials; HandlerError for the setup."""
    return HandlerTrials(
        project.definition,
        events=project.events,
        setup=project.setup,
        subscriptions=project.subscriptions,
        failover=project.failover,
        replay=project.replay,
    )


def try_seed(project: Project, seed: int) -> SeedOutcome:
    """Return the outcome of a seed."""
    return trials_of(project).try_seed(seed)


def try_plan(project: Project, plan: Plan) -> tuple[SeedOutcome, History]:
    """Return the outcome of a plan, and its history."""
    return trials_of(project).tried(plan)


def failing(project: Project) -> str:
    """Return why handlers cannot be tried: they fail without faults. Empty if they do not."""
    try:
        trials_of(project).check()
    except HandlersFailError as error:
        return str(error)
    return ""


def check_aside(aside: Aside, project: Project, *, seconds_max: float) -> None:
    """Check the run without faults. HandlersFailError if a handler fails, ends its process or does not return."""
    try:
        failure = aside.do(partial(failing, project), seconds_max=seconds_max)
    except LostWorkerError as lost:
        raise HandlersFailError(f"the run without faults {lost.why}") from lost
    if failure:
        raise HandlersFailError(failure)


class PlansAside:
    """Tries one plan after the other in a worker. A plan that takes far longer than those before it is given up."""

    def __init__(self, aside: Aside, project: Project, *, seconds_max: float) -> None:
        self._aside = aside
        self._project = project
        self._seconds_max = seconds_max
        self._longest_seconds: float | None = None

    def __call__(self, plan: Plan) -> tuple[SeedOutcome, History]:
        """Return the outcome of a plan, and its history, which is empty if the plan was given up."""
        patience_seconds = self._seconds_max
        if self._longest_seconds is not None:
            patience_seconds = min(self._seconds_max, self._longest_seconds + _PATIENCE_SECONDS)
        begun = time.monotonic()
        try:
            result = self._aside.do(partial(try_plan, self._project, plan), seconds_max=patience_seconds)
        except LostWorkerError as lost:
            return lost_outcome(plan.seed, lost), History(plan, [])
        self._longest_seconds = max(self._longest_seconds or 0.0, time.monotonic() - begun)
        return result
