"""Calls of a pass over 16 lanes in 2 Regions in which nothing happens, and the time of one over many lanes."""

import pytest

from eventfabric.services.reconciliation import pass_bounds
from eventfabric.services.reconciliation.reconcile import PassOrder
from scripts.benchmarks.large_stream import LargeStream
from scripts.benchmarks.passes import SECONDS_MAX, passes
from tests.support.many_subscriptions import ManySubscriptions, calls_of_passes

LIGHT, THOROUGH = PassOrder(repair=True, thorough=False), PassOrder(repair=True)
LANES = 16


@pytest.mark.parametrize("subscriptions", [10, 100])
def test_a_pass_over_lanes_at_rest_reads_their_tails_and_no_state(subscriptions: int) -> None:
    fabric = ManySubscriptions(LANES, subscriptions)
    calls_of_passes(fabric, [LIGHT, LIGHT])
    idle = {
        "ledger.standing": subscriptions,
        "remote ledger.standing": subscriptions,
        "ledger.see": subscriptions,
        "ledger.marks": 2 + 2,  # of two origins, and of what is declared in each
        "log.tail": 2 * LANES,
        "remote log.tail": LANES,
    }
    first, second = calls_of_passes(fabric, [LIGHT, LIGHT])
    assert first == second == idle
    # Every pass was like this one: what a person asks for is still read in full.
    (thorough,) = calls_of_passes(fabric, [THOROUGH])
    declarations = {"log.tail": 2 * LANES + 4, "remote log.tail": LANES + 4}
    assert thorough == {
        **idle,
        **declarations,
        "ledger.state": LANES * subscriptions,
        "ledger.mark": 1 + 2,
    }


def test_states_of_lanes_at_rest_are_read_once_an_hour() -> None:
    fabric = ManySubscriptions(LANES, 2)
    calls_of_passes(fabric, [LIGHT, LIGHT])
    states = [calls["ledger.state"] for calls in calls_of_passes(fabric, [LIGHT] * 24)]
    assert [number for number, reads in enumerate(states, start=1) if reads] == [12, 24]
    assert states[11] == states[23] == LANES * 2
    assert pass_bounds.REST_SECONDS == 12 * 300


def test_a_pass_takes_its_share_of_five_minutes() -> None:
    lanes = 128
    for timed in passes(LargeStream(lanes=lanes, subscriptions=10)):
        assert timed.seconds < SECONDS_MAX * lanes / 4_096, timed
