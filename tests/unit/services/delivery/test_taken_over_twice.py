"""Takeovers of a lane that another function took over meanwhile do nothing."""

from eventfabric.services.delivery.takeover import take_over
from tests.support.failing_handlers import FEW, Failing, fabric_of, named
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, LANE


def test_a_lane_that_is_taken_over_already_is_left_as_it_stands() -> None:
    """Between seeing that it is not and reading all of it, another function may have done that and gone on."""
    fabric = fabric_of(Failing({"a1": 9}), *named("a1", "b1"), **FEW)
    fabric.deliver()
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    ledger = away.cloud.ledger(AWAY)
    before = ledger.state(away.key_of(LANE))
    taken = take_over(
        away.key_of(LANE),
        before,
        1,
        subscription=away.subscription,
        ledger=ledger,
        log=away.log,
        now_ms=away.clock.now_ms(),
    )
    assert taken
    assert ledger.state(away.key_of(LANE)) == before
