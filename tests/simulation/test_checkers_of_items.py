"""Tests of checkers, on histories made by hand: items and clocks that somebody else changed, refusals, and signs."""

from typing import Any

import pytest

from eventfabric.testing.simulation import history as h
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.verdict import Result
from tests.simulation.hand_made import AWAY, HOME, LANE, SUB, Hand, plan_of
from tests.simulation.test_checkers import INVALID, UNKNOWN, VALID, one_handled, result


def test_escaped_error() -> None:
    def raised(name: str) -> Hand:
        return one_handled().tell(h.Crashed, reason=f"{name}: it is so", raised=name)

    assert result("escaped_error", raised("UndecodableItemError").ended()) is INVALID
    assert result("escaped_error", raised("KeyError").ended()) is INVALID
    assert result("escaped_error", raised("ThrottledError").ended()) is VALID
    assert result("escaped_error", raised("LastingError").ended()) is VALID
    assert result("escaped_error", one_handled().tell(h.Crashed, reason="its time was up").ended()) is VALID


@pytest.mark.parametrize(("deed", "expected"), [("item put", VALID), ("far item put", INVALID)])
def test_held_up_key_lets_a_lane_stop_that_somebody_put_an_item_into_and_no_other(
    deed: str, expected: Result
) -> None:
    def waited(lane: str) -> History:
        hand = Hand(plan_of(happenings=(Happening(0, "junk_item"),)))
        hand.tell(h.Tampered, what=deed, region=HOME, lane=lane, sequence=9)
        return hand.appended("e1", 0).tell(h.Healed, actor="world", after_s=500).history

    assert result("held_up_key", waited(LANE)) is expected
    assert result("held_up_key", waited(f"{HOME}/0.1")) is INVALID


def test_slow_recovery() -> None:
    def refused(wait_s: float, *, still: bool = False) -> History:
        hand = Hand(plan_of(happenings=(Happening(0, "denied"),), durability="regional", regions=(HOME,)))
        hand.tell(h.Happened, what="denied").appended("e1", 0)
        if not still:
            hand.tell(h.Happened, what="denied_end")
        hand.tell(h.LaneRead, region=HOME, subscription=SUB, lane=LANE, after_s=wait_s)
        return hand.tried("e1", 0).moved(None, 1).ended()

    assert result("slow_recovery", refused(60)) is VALID
    assert result("slow_recovery", refused(700)) is INVALID
    assert result("slow_recovery", refused(700, still=True)) is VALID
    assert result("slow_recovery", one_handled().ended()) is UNKNOWN


@pytest.mark.parametrize("finding", ["unreadable", "far_tail", "clock_ahead"])
def test_false_alarm_of_items_and_clocks_that_nobody_touched(finding: str) -> None:
    alarm: dict[str, Any] = {"region": AWAY, "lane": LANE, "finding": finding, "alarm": True}
    assert result("false_alarm", one_handled().tell(h.Found, **alarm).history) is INVALID
    deed: dict[str, Any] = {"what": "state spoilt", "region": AWAY, "lane": "", "sequence": -1}
    clocks = plan_of(happenings=(Happening(0, "producer_clock"),))
    excused = Hand(clocks).tell(h.Tampered, **deed).tell(h.Found, **alarm)
    assert result("false_alarm", excused.history) is VALID


def test_blind_sign() -> None:
    def history_of(*ages: float, what: str = "passes") -> History:
        hand = Hand(plan_of(happenings=(Happening(0, what),))).appended("e0", 0).read().tried("e0", 0)
        hand.moved(None, 1).appended("e1", 1)
        about: dict[str, Any] = {"region": HOME, "subscription": SUB, "metric": "OldestUndelivered"}
        for age in ages:
            hand.tell(h.Gauged, value=age, after_s=300, **about)
        return hand.ended()

    assert result("blind_sign", history_of(0, 300, 600)) is VALID
    assert result("blind_sign", history_of(300, 600, 900)) is VALID
    assert result("blind_sign", history_of(0, 300, 0)) is INVALID
    assert result("blind_sign", history_of(0, 0, 0)) is INVALID
    assert result("blind_sign", history_of(0, 0, 0, what="failover")) is UNKNOWN


def test_a_record_that_is_gone_from_the_region_waits_there_for_nobody() -> None:
    hand = Hand(plan_of(happenings=(Happening(0, "hole"),))).read().appended("e0", 0).moved(None, 0)
    hand.tell(h.Removed, region=HOME, lane=LANE, sequence=0, count=1)
    for _ in range(3):
        hand.tell(h.Gauged, region=HOME, subscription=SUB, metric="OldestUndelivered", value=0.0, after_s=300)
    assert result("blind_sign", hand.ended()) is VALID
