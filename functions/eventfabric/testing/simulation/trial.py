"""Tries one plan: runs it, judges its history, and counts what took place."""

from collections.abc import Callable, Iterable

from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.outcome import SeedOutcome, failed, planned, silence, tally
from eventfabric.testing.simulation.plan import Plan
from eventfabric.testing.simulation.run import simulate_in
from eventfabric.testing.simulation.subscribers import handler_for
from eventfabric.testing.simulation.verdict import Verdict
from eventfabric.testing.simulation.world import World

Judge = Callable[[History], Iterable[Verdict]]
"""Judges a history: returns the verdicts of all checkers."""


def tried(plan: Plan, verdicts: Judge) -> tuple[SeedOutcome, History]:
    """Run a plan with the simulation's handlers, and judge its history, which is incomplete if the simulator fails."""
    run_history = History(plan, [])
    try:
        with silence():
            world = World(plan, handlers=handler_for)
            run_history = History(plan, world.entries)
            run_history = simulate_in(world)
            judged = tuple(verdicts(run_history))
    except Exception as error:  # one of thousands of seeds may fail in any way; the others go on
        return failed(error, run_history), run_history
    return SeedOutcome(
        plan.seed, judged, tally(run_history.entries), planned(plan), len(run_history.entries)
    ), run_history
