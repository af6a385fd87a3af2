"""The checkers of delays, decisions, proofs, lateness and replays, on histories made by hand."""

from typing import Any

import pytest
from msgspec.structs import replace

from eventfabric.model import HybridTime, next_time
from eventfabric.testing.simulation import history as h
from eventfabric.testing.simulation.history import EventPlace, History, ParkedStand
from eventfabric.testing.simulation.plan import Happening, PlannedSubscription
from eventfabric.testing.simulation.verdict import Result
from tests.simulation.checkers.every import CHECKERS
from tests.simulation.hand_made import AWAY, HOME, LANE, SUB, Hand, plan_of

VALID, INVALID, UNKNOWN = Result.VALID, Result.INVALID, Result.UNKNOWN
DEAD = ParkedStand("dead", (0,), 1)


def result(checker: str, of: History) -> Result:
    return CHECKERS[checker](of).result


def hiccups(*faults: float, handled_after_s: float) -> History:
    """One event, calls that failed so many seconds after one another, and its handler."""
    hand = Hand(plan_of(rates={"conflict": 0.1})).appended("e1", 0)
    for seconds in faults:
        hand.tell(h.Called, call="ledger.commit", fault="conflict", after_s=seconds)
    return hand.tried("e1", 0, after_s=handled_after_s).history


def test_undue_delay_allows_each_failed_call_five_seconds() -> None:
    assert result("undue_delay", hiccups(handled_after_s=8)) is VALID
    assert result("undue_delay", hiccups(handled_after_s=10)) is INVALID
    assert result("undue_delay", hiccups(1, 1, handled_after_s=16)) is VALID
    assert result("undue_delay", hiccups(1, 1, handled_after_s=18)) is INVALID


@pytest.mark.parametrize(
    "others",
    [
        {"rates": {"conflict": 0.1, "crash": 0.1}},
        {"happenings": (Happening(0, "outage"),)},
        {"slowness": 20.0},
        {"subscriptions": (PlannedSubscription(SUB, start="latest"),)},
    ],
)
def test_undue_delay_says_nothing_where_more_went_wrong(others: dict[str, Any]) -> None:
    subscriptions = others.get("subscriptions", ())
    rest = {name: value for name, value in others.items() if name != "subscriptions"}
    late = Hand(plan_of(*subscriptions, **rest)).appended("e1", 0).tried("e1", 0, after_s=300)
    assert result("undue_delay", late.history) is not INVALID


def decided(action: str, hand: Hand | None = None, *, region: str = HOME) -> Hand:
    """A dead letter, and what an operator was told is done about it."""
    hand = hand or Hand().appended("e1", 0).tried("e1", 0, error="Bad").parked(0, state="dead")
    about: dict[str, Any] = {
        "region": region,
        "subscription": SUB,
        "lane": LANE,
        "sequence": 0,
        "action": action,
    }
    return hand.tell(h.Decided, actor="operator", **about)


@pytest.mark.parametrize("action", ["redriven", "edited"])
def test_undone_decision_of_a_key_that_is_dead_again_without_an_attempt(action: str) -> None:
    assert result("undone_decision", decided(action).parked(0, state="dead").history) is INVALID
    retrying = ParkedStand("retrying", (0,), 2)
    assert result("undone_decision", decided(action).parked(0, state="dead", was=retrying).history) is INVALID
    tried = decided(action).tried("e1", 0, error="Bad").parked(0, state="dead", was=retrying)
    assert result("undone_decision", tried.history) is VALID
    joined = decided(action).parked(0, 1, state="dead", was=DEAD)  # that it is dead is no news
    assert result("undone_decision", joined.history) is VALID


def test_undone_decision_of_a_discarded_event_that_is_handed_out() -> None:
    assert result("undone_decision", decided("discarded").read().tried("e1", 0).history) is INVALID
    running = decided("discarded").tried("e1", 0)  # it had read the lane before
    assert result("undone_decision", running.history) is VALID
    assert result("undone_decision", decided("redriven").read().tried("e1", 0).history) is VALID
    replayed = decided("discarded").tell(h.Happened, what="replay_begins", about=f"{HOME} {SUB}")
    assert result("undone_decision", replayed.read().tried("e1", 0).history) is VALID


def test_undone_decision_binds_who_had_the_lanes_and_not_who_gets_them_later() -> None:
    about: dict[str, Any] = {"region": AWAY, "subscription": SUB, "origin": HOME, "to": AWAY, "epoch": 1}
    later = decided("discarded").tell(h.HandedOver, **about).read().tried("e1", 0)
    assert result("undone_decision", later.history) is VALID
    before = Hand().appended("e1", 0).parked(0, state="dead").tell(h.HandedOver, **about)
    bound = decided("discarded", before, region=AWAY).read(region=AWAY).began("e1", 0, region=AWAY)
    assert result("undone_decision", bound.history) is INVALID


def test_undone_decision_is_none_of_a_region_that_had_the_lanes_no_more() -> None:
    about: dict[str, Any] = {"region": AWAY, "subscription": SUB, "origin": HOME, "to": AWAY, "epoch": 1}
    before = Hand().appended("e1", 0).parked(0, state="dead").tell(h.HandedOver, **about)
    unheard = decided("discarded", before, region=HOME).read().tried("e1", 0)
    assert result("undone_decision", unheard.history) is VALID


@pytest.mark.parametrize("region", [HOME, AWAY])
def test_undone_decision_leaves_out_a_region_that_has_not_heard_that_its_lanes_were_handed_on(
    region: str,
) -> None:
    again = decided("discarded").read(region=region).began("e1", 0, region=region)
    verdict = result("undone_decision", again.history)
    assert verdict is (INVALID if region == HOME else VALID)


def proved(wrong: str, *, tampered: str = "", sequence: int = 1, replicated: bool = True) -> History:
    """Return a history of a proof in the other Region, with tampering with its copy before."""
    hand = Hand().appended("e1", 0)
    if replicated:
        hand.appended("e1", 0, region=AWAY)
    if tampered:
        hand.tell(h.Tampered, what=tampered, region=AWAY, lane=LANE, sequence=0)
    hand.tell(h.ProofBegan, actor="operator", region=AWAY, lane=LANE)
    about: dict[str, Any] = {
        "region": AWAY,
        "subscription": SUB,
        "lane": LANE,
        "sequence": sequence,
        "wrong": wrong,
    }
    return hand.tell(h.Proved, actor="operator", **about).history


def test_false_proof() -> None:
    assert result("false_proof", proved("")) is VALID
    assert result("false_proof", proved("divergence")) is INVALID
    assert result("false_proof", proved("divergence", tampered="copy changed")) is VALID
    assert result("false_proof", proved("hole", tampered="copy lost")) is VALID
    assert result("false_proof", proved("", tampered="copy changed")) is INVALID
    assert result("false_proof", proved("", tampered="copy changed", sequence=0)) is VALID
    assert result("false_proof", proved("cursor_ahead", replicated=False)) is VALID
    assert result("false_proof", proved("cursor_ahead")) is INVALID


def _stands(hand: Hand, name: str, lane: str, appended_ms: int, *, key: str = "k") -> None:
    """An event in the log of its origin, appended at a time."""
    hand.tell(
        h.Appended,
        region=lane.partition("/")[0],
        lane=lane,
        sequence=0,
        ids=(name,),
        keys=(key,),
        types=("placed",),
        chain=name,
        batch=name,
        time=next_time(HybridTime(0), appended_ms),
    )


def crossed(
    *,
    late: bool,
    age_s: float = 200,
    key: str = "k",
    lane: str = f"{AWAY}/0.0",
    gone: bool = False,
    here: bool = True,
) -> History:
    """A later event of another Region, of which a copy is here, is committed; then an older one is handed out."""
    hand = Hand()
    _stands(hand, "e1", LANE, 1_000)
    _stands(hand, "e2", lane, 50_000, key=key)
    if here:
        hand.appended("e2", 0, key=key, lane=lane)
    hand.moved(None, 1, lane=lane)
    if gone:
        hand.tell(h.Removed, region=HOME, lane=lane, sequence=0, count=1)
    hand.read(lane=LANE)
    event = EventPlace("e1", "k", LANE, 0, late)
    return hand.tell(
        h.AttemptBegan,
        region=HOME,
        subscription=SUB,
        number=1,
        replay=False,
        code=0,
        events=(event,),
        after_s=age_s,
    ).history


def test_unflagged_late() -> None:
    assert result("unflagged_late", crossed(late=True)) is VALID
    assert result("unflagged_late", crossed(late=False)) is INVALID
    assert result("unflagged_late", crossed(late=False, age_s=30)) is VALID
    assert result("unflagged_late", crossed(late=False, key="other")) is VALID
    assert result("unflagged_late", crossed(late=False, lane=f"{AWAY}/0.1")) is VALID  # holds other keys
    assert result("unflagged_late", crossed(late=False, gone=True)) is VALID
    assert result("unflagged_late", crossed(late=False, here=False)) is VALID  # only its cursor came so far


def replayed(*sequences: int, order: str = "key") -> History:
    """Three events of a key, and which of them a replay from 0 hands out, one after another."""
    hand = Hand(plan_of(PlannedSubscription(SUB, order=order)))
    for sequence in range(3):
        hand.appended(f"e{sequence}", sequence)
    hand.moved(None, 3).moved(3, 0, replay_until=3).read()
    for sequence in sequences:
        hand.tried(f"e{sequence}", sequence, replay=True)
    return hand.history


def test_reordered_replay() -> None:
    assert result("reordered_replay", replayed(0, 1, 2)) is VALID
    assert result("reordered_replay", replayed(0, 1, 1, 2)) is VALID  # after a crash
    assert result("reordered_replay", replayed(0, 2)) is INVALID
    assert result("reordered_replay", replayed(1)) is INVALID
    assert result("reordered_replay", replayed(2, 0, order="none")) is VALID
    given_up = replayed(0, 2)
    given_up.plan = replace(given_up.plan, happenings=(Happening(0, "reorder"),))
    assert result("reordered_replay", given_up) is VALID


@pytest.mark.parametrize("dropped", [{"dropped": (1,)}, {"since": 1, "until": 3}, {"since": 2, "until": 3}])
def test_reordered_replay_steps_over_what_was_discarded_with_an_earlier_event(
    dropped: dict[str, Any],
) -> None:
    of = replayed(0, 2)
    about: dict[str, Any] = {"region": HOME, "subscription": SUB, "lane": LANE, "sequence": 9, "key": "k"}
    settled = h.Settled(at_ms=0, actor="operator", action="discarded", **about, **dropped)
    verdict = result("reordered_replay", History(of.plan, [settled, *of.entries]))
    assert verdict is (INVALID if dropped.get("since") == 2 else VALID)


def charged(*keys: str, region: str = HOME) -> Hand:
    """An event that is attempted, and charged by these keys one after another."""
    hand = Hand(plan_of(PlannedSubscription(SUB, steps=True))).appended("e1", 0).began("e1", 0)
    for key in keys:
        hand.tell(h.Charged, region=region, subscription=SUB, id="e1", key=key)
    return hand


def test_repeated_step() -> None:
    assert result("repeated_step", charged("k").tried("e1", 0).history) is VALID
    assert result("repeated_step", charged("k", "k").history) is INVALID
    assert result("repeated_step", charged("k", "other").began("e1", 0, region=AWAY).history) is INVALID
    elsewhere = charged("k").began("e1", 0, region=AWAY)
    elsewhere.tell(h.Charged, region=AWAY, subscription=SUB, id="e1", key="k")
    assert result("repeated_step", elsewhere.history) is VALID  # it could not know
    assert (
        result("repeated_step", charged().tried("e1", 0).history) is INVALID
    )  # handled, and charged nothing
    assert result("repeated_step", charged().tried("e1", 0, error="Bad").history) is VALID
