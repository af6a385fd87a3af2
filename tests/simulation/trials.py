"""Tries the project's own plans: what comes of each, with what every checker says of it."""

from eventfabric.testing.simulation import trial
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.outcome import SeedOutcome, failed
from eventfabric.testing.simulation.plan import Plan
from tests.simulation.checkers.every import verdicts
from tests.simulation.profiles import PROFILES


def try_seed(profile: str, seed: int) -> SeedOutcome:
    """Return the outcome of a profile's seed. Processes of a hunt import this function by name."""
    try:
        plan = PROFILES[profile].plan(seed)
    except Exception as error:  # a profile that draws no plan is as much of a failure as any
        return failed(error, History(Plan(seed, profile, (), 0, "", (), (), (), (), {}), []))
    return tried(plan)[0]


def tried(plan: Plan) -> tuple[SeedOutcome, History]:
    """Return the outcome of a plan, with its history: as far as it went, if the simulator failed."""
    return trial.tried(plan, verdicts)
