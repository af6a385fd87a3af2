"""Each checker on histories made by hand: what is good is valid, what is bad is not, and what cannot tell says so."""

from typing import Any

import pytest
from msgspec.structs import replace

from eventfabric.definition.guarantee import Guarantee
from eventfabric.testing.simulation import history as h
from eventfabric.testing.simulation.history import History, LaneStand, ParkedStand
from eventfabric.testing.simulation.plan import Happening, PlannedSubscription
from eventfabric.testing.simulation.verdict import Result
from tests.simulation.checkers.every import CHECKERS, verdicts
from tests.simulation.hand_made import AWAY, HOME, LANE, SUB, Hand, plan_of

VALID, INVALID, UNKNOWN = Result.VALID, Result.INVALID, Result.UNKNOWN


def result(checker: str, of: History) -> Result:
    return CHECKERS[checker](of).result


def ends(
    sequence: int = 1, *, records: int = 1, chain: str = "c0", regions: tuple[str, ...] = (HOME, AWAY)
) -> list[LaneStand]:
    return [LaneStand(region, LANE, sequence, chain, records) for region in regions]


def one_handled() -> Hand:
    hand = Hand().appended("e1", 0).acknowledged("e1", 0).appended("e1", 0, region=AWAY)
    return hand.read().tried("e1", 0).moved(None, 1)


def test_what_went_well_is_valid_for_all_that_can_tell() -> None:
    results = {verdict.checker: verdict.result for verdict in verdicts(one_handled().ended(*ends()))}
    assert INVALID not in results.values()
    assert results.keys() == CHECKERS.keys()
    assert {name for name, result in results.items() if result is UNKNOWN} == {
        "unreported_finding",
        "slow_recovery",
    }


def test_lost_event() -> None:
    assert result("lost_event", one_handled().ended(*ends())) is VALID
    assert result("lost_event", Hand().acknowledged("e1", 0).ended()) is INVALID
    elsewhere = Hand().appended("e2", 0).acknowledged("e1", 0).tried("e2", 0)
    assert result("lost_event", elsewhere.ended()) is INVALID
    assert result("lost_event", Hand().appended("e1", 0).ended()) is INVALID
    assert result("lost_event", Hand().appended("e1", 0).ended(quiet=False)) is UNKNOWN
    dead = Hand().appended("e1", 0).tried("e1", 0, error="Bad").parked(0, state="dead").moved(None, 1)
    assert result("lost_event", dead.ended()) is VALID
    unwanted = Hand(plan_of(PlannedSubscription(SUB, types=("paid",)))).appended("e1", 0)
    assert result("lost_event", unwanted.ended()) is VALID
    once = (
        Hand(plan_of(PlannedSubscription(SUB, guarantee=Guarantee.EXACTLY_ONCE)))
        .appended("e1", 0)
        .tried("e1", 0)
    )
    assert result("lost_event", once.ended()) is INVALID
    made = once.tell(h.EffectMade, region=HOME, subscription=SUB, id="e1", count=1)
    assert result("lost_event", made.ended()) is VALID
    for changed, verdict in (
        (False, INVALID),
        (True, VALID),
    ):  # a changed lane stops, with the copy to be delivered
        copied = Hand().appended("e1", 0, batch="b")
        copied = copied.appended("e1", 0, lane=f"{AWAY}/0.0", region=AWAY, batch="b", note=LANE)
        if changed:
            copied = copied.tell(h.Tampered, what="copy changed", region=AWAY, lane=LANE, sequence=0)
        assert result("lost_event", copied.ended()) is verdict


def test_reordered_key() -> None:
    two = Hand().appended("e1", 0).appended("e2", 1)
    assert result("reordered_key", two.tried("e1", 0).tried("e2", 1).ended()) is VALID
    assert (
        result("reordered_key", Hand().appended("e1", 0).appended("e2", 1).tried("e2", 1).ended()) is INVALID
    )
    failed = Hand().appended("e1", 0).appended("e2", 1).tried("e1", 0, error="Bad").began("e2", 1)
    assert result("reordered_key", failed.ended()) is INVALID
    others = Hand().appended("e1", 0).appended("e2", 1, key="other").tried("e2", 1, key="other")
    assert result("reordered_key", others.ended()) is VALID
    unordered = Hand(plan_of(PlannedSubscription(SUB, order="none"))).appended("e1", 0).appended("e2", 1)
    assert result("reordered_key", unordered.tried("e2", 1).ended()) is VALID
    once = (
        Hand(plan_of(PlannedSubscription(SUB, guarantee=Guarantee.AT_MOST_ONCE)))
        .appended("e1", 0)
        .appended("e2", 1)
    )
    assert result("reordered_key", once.tried("e2", 1).tried("e1", 0).ended()) is INVALID


def test_duplicate_effect() -> None:
    again = one_handled().read().tried("e1", 0)
    assert result("duplicate_effect", again.ended()) is INVALID
    crashed = Hand().appended("e1", 0).read().tried("e1", 0).read().tried("e1", 0).moved(None, 1)
    assert result("duplicate_effect", crashed.ended()) is VALID  # nothing was committed
    replayed = one_handled().read().tried("e1", 0, replay=True)
    assert result("duplicate_effect", replayed.ended()) is VALID
    waits = Hand().appended("e1", 0).parked(0).moved(None, 1).read().tried("e1", 0)
    assert result("duplicate_effect", waits.ended()) is VALID


def test_duplicate_effect_by_rows_copies_and_attempts() -> None:
    once = Hand(plan_of(PlannedSubscription(SUB, guarantee=Guarantee.EXACTLY_ONCE))).appended("e1", 0)
    once.tell(h.EffectMade, region=HOME, subscription=SUB, id="e1", count=1)
    assert result("duplicate_effect", once.history) is VALID
    once.tell(h.EffectMade, region=HOME, subscription=SUB, id="e1", count=2)
    assert result("duplicate_effect", once.history) is INVALID
    twice = Hand().appended("e1", 0).appended("e1", 1, batch="other")
    assert result("duplicate_effect", twice.history) is INVALID
    noted = (
        Hand()
        .appended("e1", 0, batch="b")
        .appended("e1", 0, lane=f"{AWAY}/0.0", region=AWAY, batch="b", note=LANE)
    )
    assert result("duplicate_effect", noted.history) is VALID
    most = (
        Hand(plan_of(PlannedSubscription(SUB, guarantee=Guarantee.AT_MOST_ONCE)))
        .appended("e1", 0)
        .tried("e1", 0, error="Bad")
    )
    assert result("duplicate_effect", most.history) is VALID
    assert result("duplicate_effect", most.tried("e1", 0).history) is INVALID


def test_skipped_sequence() -> None:
    assert result("skipped_sequence", one_handled().history) is VALID
    assert result("skipped_sequence", Hand().appended("e1", 0).moved(None, 1).history) is INVALID
    parked = Hand().appended("e1", 0).tried("e1", 0, error="Bad").parked(0).moved(None, 1)
    assert result("skipped_sequence", parked.history) is VALID
    assert result("skipped_sequence", one_handled().moved(1, 2).history) is INVALID  # beyond the end
    taken = one_handled().appended("e2", 1).moved(1, 2, region=AWAY, epoch=1)
    assert result("skipped_sequence", taken.history) is INVALID
    most = (
        Hand(plan_of(PlannedSubscription(SUB, guarantee=Guarantee.AT_MOST_ONCE)))
        .appended("e1", 0)
        .moved(None, 1)
    )
    assert result("skipped_sequence", most.history) is VALID


@pytest.mark.parametrize(
    ("start", "retention_days", "after_s", "expected"),
    [
        ("latest", 0, 1, VALID),
        ("earliest", 0, 1, INVALID),
        ("earliest", 1, 80_000, INVALID),
        ("earliest", 1, 90_000, VALID),
    ],
)
def test_skipped_sequence_where_a_lane_begins(
    start: str, retention_days: int, after_s: int, expected: Result
) -> None:
    plan = plan_of(PlannedSubscription(SUB, start=start), retention_days=retention_days)
    hand = Hand(plan).appended("e1", 0).appended("e2", 1)
    assert result("skipped_sequence", hand.moved(None, 1, began=1, after_s=after_s).history) is expected


def test_skipped_sequence_of_what_is_gone_only_later() -> None:
    passed = (
        Hand().appended("e1", 0).moved(None, 1).tell(h.Removed, region=HOME, lane=LANE, sequence=0, count=1)
    )
    assert result("skipped_sequence", passed.history) is INVALID
    gone = (
        Hand().appended("e1", 0).tell(h.Removed, region=HOME, lane=LANE, sequence=0, count=1).moved(None, 1)
    )
    assert result("skipped_sequence", gone.history) is VALID


def test_cursor_regression() -> None:
    assert result("cursor_regression", one_handled().moved(1, 0).history) is INVALID
    replayed = one_handled().tell(h.Happened, what="replay_begins", about=f"{HOME} {SUB}")
    assert result("cursor_regression", replayed.moved(1, 0, replay_until=1).history) is VALID
    assert result("cursor_regression", one_handled().moved(1, 0, replay_until=1).history) is INVALID
    assert result("cursor_regression", one_handled().moved(1, 1, epoch_before=2, epoch=1).history) is INVALID
    behind = one_handled().moved(0, 1, copied_to=AWAY).read(region=AWAY).moved(None, 0, region=AWAY, epoch=1)
    assert result("cursor_regression", behind.history) is INVALID
    known = one_handled().moved(0, 1, copied_to=AWAY).read(region=AWAY).moved(None, 1, region=AWAY, epoch=1)
    assert result("cursor_regression", known.history) is VALID


def test_innocent_dead_letter() -> None:
    few = plan_of(PlannedSubscription(SUB, attempts=2))
    guilty = Hand(few).appended("e1", 0).tried("e1", 0, error="Bad").tried("e1", 0, error="Bad")
    assert result("innocent_dead_letter", guilty.parked(0, state="dead", attempts=2).history) is VALID
    once = Hand(few).appended("e1", 0).tried("e1", 0, error="Bad")
    assert result("innocent_dead_letter", once.parked(0, state="dead", attempts=2).history) is INVALID
    refused = Hand(few).appended("e1", 0).tried("e1", 0, error="RefusedForGood")
    assert result("innocent_dead_letter", refused.parked(0, state="dead", attempts=1).history) is VALID
    neighbour = Hand(few).appended("e1", 0).appended("e2", 1)
    neighbour.tried("e1", 0, error="RefusedForGood").parked(1, state="dead", attempts=1)
    assert result("innocent_dead_letter", neighbour.history) is INVALID
    late = Hand(few).appended("e1", 0).parked(0, state="dead", error="eventfabric.errors:LateEventError")
    assert result("innocent_dead_letter", late.history) is INVALID
    assert result("innocent_dead_letter", Hand(few).parked(0, state="dead").history) is INVALID


def test_innocent_dead_letter_of_crashes() -> None:
    crashing = Hand().appended("e1", 0)
    for _ in range(7):
        crashing.began("e1", 0)
    assert result("innocent_dead_letter", crashing.parked(0, state="dead", crashes=8).history) is INVALID
    crashing = Hand().appended("e1", 0)
    for _ in range(8):
        crashing.began("e1", 0)
    assert result("innocent_dead_letter", crashing.parked(0, state="dead", crashes=8).history) is VALID


def test_stuck_lane() -> None:
    assert result("stuck_lane", one_handled().ended(*ends())) is VALID
    assert result("stuck_lane", one_handled().appended("e2", 1).ended()) is INVALID
    assert result("stuck_lane", one_handled().ended(waiting=1)) is INVALID
    assert result("stuck_lane", one_handled().ended(quiet=False)) is INVALID
    assert result("stuck_lane", Hand().appended("e1", 0).ended()) is INVALID
    assert result("stuck_lane", Hand().appended("e1", 0).parked(0).moved(None, 1).ended()) is INVALID
    assert (
        result("stuck_lane", Hand().appended("e1", 0).parked(0, state="dead").moved(None, 1).ended()) is VALID
    )
    assert result("stuck_lane", one_handled().history) is UNKNOWN


def test_held_up_key() -> None:
    waiting = Hand().appended("e1", 0, key="a").appended("e2", 1, key="b")
    assert result("held_up_key", waiting.parked(0, 1, key="a").history) is INVALID
    unordered = Hand(plan_of(PlannedSubscription(SUB, order="none"))).appended("e1", 0).appended("e2", 1)
    assert result("held_up_key", unordered.parked(0, 1).history) is INVALID
    late = Hand().appended("e1", 0).appended("e2", 1, key="b").tried("e1", 0, after_s=300)
    assert result("held_up_key", late.history) is INVALID
    assert (
        result("held_up_key", Hand().appended("e1", 0).tried("e1", 0).tried("e1", 0, after_s=300).history)
        is VALID
    )
    faulty = Hand(plan_of(rates={"crash": 0.1})).appended("e1", 0).tried("e1", 0, after_s=300)
    assert result("held_up_key", faulty.history) is UNKNOWN
    stand = ParkedStand("retrying", (0,), 1)
    overdue = Hand().appended("e1", 0).parked(0).parked(0, was=stand, after_s=500)
    assert result("held_up_key", overdue.history) is INVALID
    due = Hand().appended("e1", 0).parked(0).parked(0, was=stand, after_s=50)
    assert result("held_up_key", due.history) is VALID


def test_zombie_commit() -> None:
    assert result("zombie_commit", one_handled().history) is VALID
    assert result("zombie_commit", one_handled().moved(1, 1, skips=1).history) is INVALID
    parked = Hand().appended("e1", 0).parked(0).parked(0, was=ParkedStand("retrying", (0,), 3))
    assert result("zombie_commit", parked.history) is VALID
    handed: dict[str, Any] = {
        "region": HOME,
        "subscription": SUB,
        "origin": HOME,
        "to": AWAY,
        "epoch": 1,
        "copied": True,
    }
    fenced = one_handled().appended("e2", 1).tell(h.HandedOver, **handed).read().tried("e2", 1).moved(1, 2)
    assert result("zombie_commit", fenced.history) is INVALID
    unseen = one_handled().appended("e2", 1).read().tell(h.HandedOver, **handed).tried("e2", 1).moved(1, 2)
    assert result("zombie_commit", unseen.history) is VALID
    believer = one_handled().appended("e2", 1)
    believer.tell(h.LaneRead, region=HOME, subscription=SUB, lane=LANE, after_s=60).began("e2", 1)
    assert result("zombie_commit", believer.history) is INVALID


def test_replica_divergence() -> None:
    assert result("replica_divergence", one_handled().ended(*ends())) is VALID
    assert result("replica_divergence", one_handled().ended(*ends(regions=(HOME,)))) is INVALID
    short = [LaneStand(HOME, LANE, 1, "c0", 1), LaneStand(AWAY, LANE, 0, "", 0)]
    assert result("replica_divergence", one_handled().ended(*short)) is INVALID
    other = Hand().appended("e1", 0).appended("e1", 0, region=AWAY, chain="other")
    assert result("replica_divergence", other.ended(*ends())) is INVALID
    assert result("replica_divergence", one_handled().ended(quiet=False)) is UNKNOWN


def test_backfill_gap() -> None:
    def filled(copied: bool, state: str = "done") -> History:
        hand = (
            Hand()
            .appended("e1", 0)
            .tell(h.Happened, actor="operator", what="backfill_begins", about=f"{AWAY} {HOME}")
        )
        if copied:
            hand.appended("e1", 0, region=AWAY)
        return hand.tell(h.Backfilled, actor="operator", region=AWAY, source=HOME, state=state).history

    assert result("backfill_gap", filled(True)) is VALID
    assert result("backfill_gap", filled(False)) is INVALID
    assert result("backfill_gap", filled(False, state="running")) is VALID


def test_false_alarm() -> None:
    alarm: dict[str, Any] = {"region": AWAY, "lane": LANE, "finding": "divergence", "alarm": True}
    assert result("false_alarm", one_handled().tell(h.Found, **alarm).history) is INVALID
    deed: dict[str, Any] = {"what": "copy changed", "region": AWAY, "lane": LANE, "sequence": 0}
    assert (
        result("false_alarm", one_handled().tell(h.Tampered, **deed).tell(h.Found, **alarm).history) is VALID
    )
    assert result("false_alarm", one_handled().tell(h.Found, **{**alarm, "alarm": False}).history) is VALID
    expired = {**alarm, "finding": "expired_unread"}
    assert result("false_alarm", one_handled().tell(h.Found, **expired).history) is INVALID
    owner: dict[str, Any] = {**alarm, "finding": "stale_owner", "subscription": SUB}
    assert result("false_alarm", one_handled().tell(h.Found, **owner).history) is INVALID
    handed: dict[str, Any] = {"region": HOME, "subscription": SUB, "origin": HOME, "to": AWAY, "epoch": 1}
    went_on = one_handled().tell(h.HandedOver, **handed).moved(1, 1).tell(h.Found, **owner)
    assert result("false_alarm", went_on.history) is VALID


def test_unreported_finding() -> None:
    changed: dict[str, Any] = {"what": "copy changed", "region": AWAY, "lane": LANE, "sequence": 0}

    def tampered() -> Hand:
        hand = one_handled().tell(h.Tampered, actor="tamperer", **changed)
        return hand.appended("e1", 0, region=AWAY, chain="other")

    assert result("unreported_finding", tampered().ended()) is INVALID
    hand = tampered().tell(h.Found, region=AWAY, lane=LANE, finding="divergence", alarm=True)
    assert result("unreported_finding", hand.ended()) is VALID
    assert result("unreported_finding", tampered().appended("e1", 0, region=AWAY).ended()) is VALID
    handed_out = tampered().read(region=AWAY).began("e1", 0, region=AWAY)
    handed_out.tell(h.Found, region=AWAY, lane=LANE, finding="divergence", alarm=True)
    assert result("unreported_finding", handed_out.ended()) is INVALID
    expired = tampered().read(region=AWAY)
    expired.tell(h.Removed, region=AWAY, lane=LANE, sequence=0, count=1).began("e2", 1, region=AWAY)
    assert result("unreported_finding", expired.ended()) is VALID  # what was changed is gone
    assert result("unreported_finding", one_handled().ended()) is UNKNOWN


def test_breaker_attempts() -> None:
    def switched(state: str) -> Hand:
        hand = Hand().appended("e1", 0)
        return hand.tell(h.CircuitSwitched, region=HOME, subscription=SUB, state=state, probe_ms=0)

    assert result("breaker_attempts", switched("paused").read().began("e1", 0).history) is INVALID
    assert result("breaker_attempts", switched("closed").read().began("e1", 0).history) is VALID
    several = plan_of()
    several = replace(
        several,
        subscriptions=tuple(replace(subscription, concurrency=8) for subscription in several.subscriptions),
    )
    for after_s, expected in (
        (1, VALID),
        (6, INVALID),
    ):  # another lane's deliverer knows of it after five seconds
        beside = Hand(several).tell(
            h.CircuitSwitched, region=HOME, subscription=SUB, state="paused", probe_ms=0
        )
        beside.appended("e1", 0).read().began("e1", 0, after_s=after_s)
        assert result("breaker_attempts", beside.history) is expected
    before = Hand().read().tell(h.CircuitSwitched, region=HOME, subscription=SUB, state="paused", probe_ms=0)
    assert result("breaker_attempts", before.began("e1", 0).history) is VALID
    probing, often = switched("open"), switched("open")
    for _ in range(3):
        probing.read().tried("e1", 0, error="Down")
    assert result("breaker_attempts", probing.history) is VALID
    for _ in range(6):
        often.read().tried("e1", 0, error="Down")
    assert result("breaker_attempts", often.history) is INVALID
    moved = Hand(plan_of(happenings=(Happening(0, "clock"),)))
    moved.tell(h.CircuitSwitched, region=HOME, subscription=SUB, state="open", probe_ms=0)
    for _ in range(6):
        moved.read().tried("e1", 0, error="Down")
    assert result("breaker_attempts", moved.history) is VALID
