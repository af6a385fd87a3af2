"""Whole fabrics under every fault: no checker finds anything, in any seed."""

from collections.abc import Iterator

import pytest

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.drawing import FAULTS
from eventfabric.testing.simulation.happenings import HAPPENINGS
from eventfabric.testing.simulation.run import simulate
from eventfabric.testing.simulation.trial import silence
from tests.simulation.checkers.every import failures
from tests.simulation.profiles import PROFILES

# As many as find nearly all planted bugs; scripts/simulate tries others, by night the workflow `hunt` does.
DEFAULT_SEEDS, OTHER_SEEDS, LONG_SEEDS, AT_ONCE = 500, 60, 20, 20
LONG = ("hours", "signs", "spoilt")
"""Profiles of which a seed takes five to ten times as long as of others."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A publisher says when a Region gives no reply; here that is all the time."""
    with silence():
        yield


def assert_nothing_is_found(profile: str, seeds: range) -> None:
    for seed in seeds:
        verdicts = failures(simulate(PROFILES[profile].plan(seed)))
        assert not verdicts, f"scripts/simulate --profile {profile} --seeds {seed}..{seed}"


@pytest.mark.parametrize("first", range(0, DEFAULT_SEEDS, AT_ONCE))
def test_no_seed_of_the_default_profile_has_a_finding(first: int) -> None:
    assert_nothing_is_found("default", range(first, first + AT_ONCE))


@pytest.mark.parametrize("profile", sorted(PROFILES.keys() - {"default", *LONG}))
@pytest.mark.parametrize("first", range(0, OTHER_SEEDS, AT_ONCE))
def test_no_seed_of_another_profile_has_a_finding(profile: str, first: int) -> None:
    assert_nothing_is_found(profile, range(first, first + AT_ONCE))


@pytest.mark.parametrize("profile", LONG)
def test_no_seed_of_a_long_profile_has_a_finding(profile: str) -> None:
    assert_nothing_is_found(profile, range(LONG_SEEDS))


def test_every_fault_and_happening_takes_place() -> None:
    seen: set[str] = set()
    for seed in range(200):
        plan = PROFILES["default"].plan(seed)
        seen |= plan.rates.keys() | {happening.what for happening in plan.happenings}
        for entry in simulate(plan).entries:
            if isinstance(entry, history.Called):
                seen.add(entry.fault.partition(" ")[0])
            elif isinstance(entry, history.Crashed):
                seen.add(entry.reason.partition(" ")[0])
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
    assert {*FAULTS, *of_calls, *happenings} <= seen
    assert {"before", "after"} <= seen  # processes died at calls
    assert "its" in seen  # and in handlers, and because their time was up


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
