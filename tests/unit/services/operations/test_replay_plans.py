"""Plans of a replay for a lane, as a whole, before anything is done: cursor, parked keys, number of events."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.model import (
    EMPTY_TAIL,
    UNKNOWN_CHAIN,
    AtTime,
    Chain,
    Cursor,
    Failure,
    HybridTime,
    LaneKey,
    Parked,
    ParkedChange,
    ParkedState,
    Place,
    Region,
    SequenceNumber,
    Start,
    StreamName,
    SubscriptionName,
    Tail,
    after_changes,
)
from eventfabric.services.operations.replay_plan import LanePlan, LaneReplayed, ReplayRequest
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.wire.keys import record_key
from tests.support.failing_handlers import FEW, Failing, drained, fabric_of, named
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.replays import at_sequence, replay, replay_of, the_plan
from tests.support.subscribed_stream import SubscribedStream
from tests.unit.services.operations.test_replay import delivered
from tests.unit.services.operations.test_replay_into import audit
from tests.unit.services.operations.test_replay_key import A, C, D

DAY_SECONDS = 86_400


def moved(read: Cursor, sequence: int, base: int, until: int, chain: Chain) -> Cursor:
    """A cursor as it was read, put there, with a replay from there on."""
    position, of = SequenceNumber(sequence), SequenceNumber(base)
    return replace(
        read,
        sequence=position,
        base=of,
        replay_from=position,
        replay_until=SequenceNumber(until),
        chain=chain,
    )


def by_id(fabric: SubscribedStream) -> dict[str, Parked]:
    return {parked.id: parked for parked in fabric.parked().values()}


def test_a_lane_whose_events_were_all_handled_goes_back_and_has_them_again() -> None:
    fabric = delivered(2, 3, 1)
    read = fabric.cursor()
    request = ReplayRequest(at_sequence(3), None, fresh=False)
    to = moved(read, 3, 2, 6, fabric.records()[0].chain)
    assert replay_of(fabric).plan(at_sequence(3)) == [
        LanePlan(request, LANE, read, to, (), 3),
        LanePlan(request, lane(1), fabric.cursor(lane(1)), fabric.cursor(lane(1)), (), 0),
    ]
    assert fabric.cursor() == read


def test_what_waits_behind_that_place_is_taken_from_its_keys_in_the_same_commit() -> None:
    """a waits on both sides of it, b behind it only, c before it only."""
    failing = Failing({"a1": 99, "b2": 99, "c1": 99})
    fabric = drained(fabric_of(failing, *named("z1", "a1", "c1", "z2", "a2", "b2"), **FEW))
    read, keys = fabric.cursor(), fabric.parked()
    assert set(keys) == {"a", "b", "c"}
    changes = (
        ParkedChange(keys["a"], replace(keys["a"], waiting=keys["a"].waiting[:1])),
        ParkedChange(keys["b"], None),
    )
    to = moved(read, 3, 3, 6, fabric.records()[2].chain).beside(after_changes(by_id(fabric), changes))
    plan = the_plan(fabric, 3)
    assert (plan.to, plan.events, plan.asked) == (to, 3, ReplayRequest(at_sequence(3), None, fresh=False))
    assert sorted(plan.changes, key=str) == sorted(changes, key=str)
    assert to.low == Place(SequenceNumber(1), SequenceNumber(1))


def test_a_key_waits_with_its_events_and_is_due_at_once() -> None:
    fabric = SubscribedStream()
    for number, key in enumerate((A, C, A)):
        fabric.put(event(f"{number}", key=key))
    fabric.deliver()
    read, now_ms = fabric.cursor(), fabric.clock.now_ms()
    plan = the_plan(fabric, 0, key=A)
    (change,) = plan.changes
    assert change.after is not None
    assert change == ParkedChange(
        None,
        Parked(
            f"k/{A}",
            A,
            ParkedState.RETRYING,
            (
                Place(SequenceNumber(0), SequenceNumber(0), replay=True),
                Place(SequenceNumber(2), SequenceNumber(2), replay=True),
            ),
            now_ms,
            Failure("Replayed", "", "", "replayed by an operator", 0, 0, now_ms, now_ms),
            version=change.after.version,
        ),
    )
    to = replace(read, low=Place(SequenceNumber(0), SequenceNumber(0))).beside(after_changes({}, [change]))
    assert plan == LanePlan(ReplayRequest(at_sequence(0), A, fresh=False), LANE, read, to, (change,), 2)


def test_a_key_that_is_made_has_versions_that_no_key_before_it_had() -> None:
    fabric = SubscribedStream()
    fabric.put(event("1", key=A))
    fabric.deliver()
    replay = replay_of(fabric)
    versions = {replay.plan(at_sequence(0), key=A)[0].changes[0].version for _ in range(3)}
    assert len(versions) == 3
    assert min(versions) > 1


def test_keys_that_are_parked_already_stand_beside_the_new_one() -> None:
    failing = Failing({"c1": 99})
    fabric = drained(fabric_of(failing, event("z", key=D), event("c1", key=C), event("a1", key=A), **FEW))
    plan = the_plan(fabric, 0, key=A)
    assert plan.to == plan.read.beside(after_changes(by_id(fabric), plan.changes))
    replay(fabric, 0, key=A)
    assert set(fabric.parked()) == {A, C}
    assert fabric.cursor().low == Place(SequenceNumber(1), SequenceNumber(1))


def test_without_order_each_event_of_a_key_has_a_parked_key_of_its_own() -> None:
    fabric = SubscribedStream(order="none")
    fabric.put(event("1", key=A), event("2", key=A))
    fabric.deliver()
    plan = the_plan(fabric, 0, key=A)
    parked_keys = [change.after for change in plan.changes]
    assert [
        (parked.id, parked.key, [place.sequence for place in parked.waiting])
        for parked in parked_keys
        if parked
    ] == [
        ("s/0", A, [0]),
        ("s/1", A, [1]),
    ]
    assert plan.events == 2


@pytest.mark.parametrize("start", [at_sequence(0), at_sequence(1), AtTime(0)], ids=str)
def test_what_may_have_expired_is_not_gone_back_to_though_it_is_still_there(start: Start) -> None:
    fabric = SubscribedStream(retention_days=4)
    for number in range(3):
        fabric.put(event(f"{number}a"), event(f"{number}b"))
        fabric.clock.advance(2 * DAY_SECONDS)
    fabric.deliver()
    plan = the_plan(fabric, start)
    assert (plan.to.sequence, plan.to.base, plan.to.replay_until) == (2, 2, 6)
    assert plan.to.chain == fabric.records()[0].chain


@pytest.mark.parametrize("newer", [False, True])
@pytest.mark.parametrize("retention_days", [0, 4])
def test_a_lane_of_which_nothing_is_left_stays_unless_its_log_was_made_anew(
    retention_days: int, newer: bool
) -> None:
    fabric = delivered(1, 1, retention_days=retention_days)
    for sequence in (0, 1):
        fabric.table.write("Delete", {"Key": record_key(LANE, sequence)})
    if newer:
        fabric.put(event("new"), log_lane_tail=Tail(SequenceNumber(2), fabric.cursor().chain, HybridTime(0)))
    was_made_anew = not retention_days and not newer  # nothing of it can have expired
    assert any(plan.changes_anything for plan in replay_of(fabric).plan(at_sequence(0))) is was_made_anew


@pytest.mark.parametrize("origin", [HOME, AWAY])
def test_where_the_first_has_expired_it_goes_back_to_the_next_however_new_that_is(origin: Region) -> None:
    """Records before the cursor have been here, so a missing one has expired, and is not about to arrive."""
    fabric, of = SubscribedStream(retention_days=1, deliver="everywhere"), lane(0, origin)
    first = fabric.put(event("0"), of=of)
    fabric.clock.advance(1.5 * DAY_SECONDS)
    fabric.put(event("1"), of=of)
    fabric.deliver(of)
    fabric.table.write("Delete", {"Key": record_key(of, first.sequence)})
    (plan,) = replay_of(fabric).plan(at_sequence(0), lane=of)
    assert plan.to == moved(fabric.cursor(of), 1, 1, 2, UNKNOWN_CHAIN)


def test_a_lane_that_stands_at_that_place_stays_though_its_event_is_being_tried_with_care() -> None:
    fabric = delivered(2)
    careful = replace(fabric.cursor(), attempting=True, crashes=2)
    fabric.cloud.ledger(HOME).commit(fabric.key_of(LANE), fabric.cursor(), careful)
    assert not any(plan.changes_anything for plan in replay_of(fabric).plan(at_sequence(2)))
    assert (the_plan(fabric, 1).to.attempting, the_plan(fabric, 1).to.crashes) == (False, 0)


def test_the_events_of_a_key_are_found_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    fabric = SubscribedStream()
    for number in range(5):
        fabric.put(event(f"{number}", key=C if number == 2 else A))
    fabric.deliver()
    monkeypatch.setattr(limits, "PAGE_RECORDS_MAX", 2)
    faults = Faults()
    (plan,) = replay_of(fabric, faults=faults).plan(at_sequence(0), key=A)
    assert [place.sequence for change in plan.changes if change.after for place in change.after.waiting] == [
        0,
        1,
        3,
        4,
    ]
    assert (plan.events, faults.count("log.read")) == (4, 3)


def test_a_replay_of_a_replay_ends_where_the_furthest_was_and_began_where_the_first_did() -> None:
    fabric = delivered(5)
    ledger = fabric.cloud.ledger(HOME)
    ledger.commit(fabric.key_of(LANE), fabric.cursor(), replace(fabric.cursor(), began=SequenceNumber(2)))
    replay(fabric, 3)
    assert (fabric.cursor().replay_until, fabric.cursor().began) == (5, 2)
    replay(fabric, 1)
    assert (fabric.cursor().replay_until, fabric.cursor().began) == (5, 1)
    assert the_plan(fabric, 0).events == 5


def test_counting_a_lane_counts_what_its_subscription_wants_and_of_a_key_only_its_own() -> None:
    fabric = SubscribedStream(types=["paid"])
    for number in range(4):
        fabric.put(event(f"p{number}", key=A, type="paid"), event(f"q{number}", key=C))
    fabric.deliver()
    assert [plan.events for plan in replay_of(fabric).plan(at_sequence(2), counts=True)] == [3, 0]
    assert [plan.events for plan in replay_of(fabric).plan(at_sequence(2), counts=False)] == [6, 0]
    assert [plan.events for plan in replay_of(fabric).plan(at_sequence(2), key=A, counts=True)] == [3]


def test_counting_one_that_wants_all_reads_no_events() -> None:
    fabric, faults = delivered(3), Faults()
    (plan, _) = replay_of(fabric, faults=faults).plan(at_sequence(1), counts=True)
    assert (plan.events, faults.count("log.read")) == (2, 0)


def test_many_lanes_may_be_asked_at_once() -> None:
    fabric = delivered(2)
    asked: list[int] = []

    def map_counted(do: Callable[[Any], Any], of: Iterable[Any]) -> Iterable[Any]:
        lanes = list(of)
        asked.append(len(lanes))
        return [do(lane) for lane in lanes]

    assert len(replay_of(fabric).plan(at_sequence(1), map_lanes=map_counted)) == 2
    assert asked == [2, 2]


def test_what_was_done_is_reported_with_whether_its_lane_was_rung() -> None:
    fabric = delivered(2)
    silent = replay_of(fabric, faults=Faults(nth(1, Fault.THROTTLED, name="doorbells.ring")))
    for start, rung_replay, rung in ((1, silent, False), (0, replay_of(fabric), True)):
        plan = rung_replay.plan(at_sequence(start), lane=LANE)[0]
        assert rung_replay.carry_out(plan) == LaneReplayed(plan, rung)
    (other,) = replay_of(fabric).plan(at_sequence(0), lane=lane(1))
    assert replay_of(fabric).carry_out(other) == LaneReplayed(other, rung=True)


@pytest.mark.parametrize("fed", [2, 5])
def test_one_that_is_fed_has_replays_up_to_where_it_stood_however_far_the_other_came(fed: int) -> None:
    fabric = SubscribedStream()
    for number in range(6):
        fabric.put(event(f"{number}"))
    ledger = fabric.cloud.ledger(HOME)
    key = LaneKey(StreamName(STREAM), SubscriptionName("audit"), LANE)
    for of, sequence in ((key, 4), (fabric.key_of(LANE), fed)):
        tail = fabric.log.tail(LANE, before=SequenceNumber(sequence))
        read = ledger.state(of).cursor(HOME)
        ledger.commit(of, read, Cursor(tail.sequence, tail.sequence, tail.chain))
    (plan,) = replay_of(fabric, into=audit(fabric)).plan(at_sequence(1), lane=LANE)
    assert (plan.read.sequence, plan.to.sequence, plan.to.replay_until) == (4, 1, 4)
    assert (plan.events, plan.to.is_replay, plan.asked.fresh) == (3, True, False)


def test_one_that_is_fed_from_the_start_gets_whole_lanes_of_every_origin_that_it_delivers() -> None:
    fabric = SubscribedStream(deliver="everywhere")
    fabric.put(event("0"))
    fabric.put(event("1"), of=lane(1, AWAY))
    plans = replay_of(fabric, into=audit(fabric)).plan(None)
    assert [plan.lane for plan in plans] == [
        lane(index, origin) for origin in (HOME, AWAY) for index in (0, 1)
    ]
    assert [plan.asked for plan in plans] == [ReplayRequest(at_sequence(0), None, fresh=True)] * 4
    assert not any(plan.changes_anything for plan in plans)
    assert {plan.to.sequence for plan in plans} == {EMPTY_TAIL.sequence}


@pytest.mark.parametrize("races", range(limits.LANE_RACES_MAX))
def test_a_lane_may_be_overtaken_twice_and_is_replayed_then(races: int) -> None:
    fabric = delivered(2)

    def overtake(called: str, overall: int, of_name: int) -> None:
        if called == "ledger.commit" and of_name <= races:
            fabric.put(event(f"late{of_name}"))
            fabric.deliver()

    replay = replay_of(fabric, faults=Faults(overtake))
    assert replay.carry_out(replay.plan(at_sequence(1))[0]).rung
    assert (fabric.cursor().sequence, fabric.cursor().replay_until) == (1, 2 + races)


@pytest.mark.parametrize("begins", [2, 3])
def test_one_that_begins_behind_what_the_other_had_has_no_replays(begins: int) -> None:
    fabric = delivered(2)
    fabric.put(event("new"), event("newer"))
    (plan,) = replay_of(fabric, into=audit(fabric)).plan(at_sequence(begins), lane=LANE)
    assert (plan.to.sequence, plan.to.base, plan.to.began) == (begins, 2, begins)
    assert (plan.to.replay_until, plan.events, plan.changes_anything) == (0, 0, True)
