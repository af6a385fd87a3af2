"""Whole fabrics under every fault: no checker finds anything, in any seed."""

from collections.abc import Iterator

import pytest

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.drawing import FAULTS
from eventfabric.testing.simulation.happenings import HAPPENINGS
from eventfabric.testing.simulation.outcome import silence
from eventfabric.testing.simulation.run import simulate
from tests.simulation.checkers.every import failures
from tests.simulation.profiles import PROFILES

AT_ONCE = 20
# As many seeds as find every planted bug that 200 would find, and 40 at least; 200 of the profile that holds
# everything, and fewer of the last three, which take three to ten times as long and find all of theirs in as many.
SEEDS = dict.fromkeys(PROFILES, 40) | {
    "default": 200,
    "fast": 100,
    "regions": 160,
    "handovers": 120,
    "failures": 80,
    "torn": 60,
    "beginnings": 120,
    "decisions": 160,
    "closing": 100,
    "schemas": 60,
    "anew": 20,
    "hours": 20,
    "spoilt": 20,
    "unwanted": 20,
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A publisher says when a Region gives no reply; here that is all the time."""
    with silence():
        yield


@pytest.mark.parametrize(
    ("profile", "first"),
    [(profile, first) for profile, seeds in SEEDS.items() for first in range(0, seeds, AT_ONCE)],
)
def test_no_seed_has_a_finding(profile: str, first: int) -> None:
    for seed in range(first, first + AT_ONCE):
        verdicts = failures(simulate(PROFILES[profile].plan(seed)))
        assert not verdicts, f"scripts/simulate --profile {profile} --seeds {seed}..{seed}"


def test_every_fault_and_happening_takes_place() -> None:
    of_calls = {
        "crash_before",
        "crash_after",
        "lost_reply",
        "lost_request",
        "throttled",
        "stall",
        "resend",
        "refused",
    }
    happenings = {
        "region_loss",
        "silence",
        "cut",
        "clock",
        "outage",
        "deploy",
        "mend",
        "split",
        "reconcile",
        "days_pass",
        "lose_copy",
        "redrive",
        "discard",
        "edit",
        "prove",
        "replay",
        "pause",
        "failover",
        "failback",
        "backfill",
        "throttled",
        "no_timers",
        "no_doorbells",
        "settings",
        "days_apart",
    }
    processes_died = {"before", "after", "its"}  # at calls; in handlers, and because their time was up
    wanted = {*FAULTS, *of_calls, *happenings, *processes_died}
    seeds = iter(range(200))
    while wanted and (seed := next(seeds, None)) is not None:
        plan = PROFILES["default"].plan(seed)
        wanted -= plan.rates.keys() | {happening.what for happening in plan.happenings}
        for entry in simulate(plan).entries:
            if isinstance(entry, history.Called):
                wanted.discard(entry.fault.partition(" ")[0])
            elif isinstance(entry, history.Crashed):
                wanted.discard(entry.reason.partition(" ")[0])
    assert wanted == set()


def test_every_happening_that_there_is_takes_place_in_some_profile() -> None:
    planned = {
        happening.what
        for profile in PROFILES.values()
        for seed in range(150)
        for happening in profile.plan(seed).happenings
    }
    assert planned == HAPPENINGS.keys() - {"expire", "replay_from_start"}  # parts of others


def test_what_lasts_for_hours_takes_place() -> None:
    plans = [PROFILES["hours"].plan(seed) for seed in range(60)]
    lasting = {
        happening.what for plan in plans for happening in plan.happenings if happening.seconds >= 3_600
    }
    assert {"throttled", "no_timers", "no_doorbells", "silent_queues", "silence", "cut", "outage"} <= lasting


def test_what_drains_drains_in_bounded_steps_and_what_does_not_is_reported() -> None:
    plan = PROFILES["default"].plan(1)
    end = simulate(plan).entries[-1]
    assert isinstance(end, history.Ended)
    assert end.quiet
    assert end.waiting == 0
