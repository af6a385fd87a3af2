"""Replays of lanes that were split: behind the last seal as ever, and across a seal of the whole tree at once."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric.errors import ReplayRefusedError
from eventfabric.model import AtTime, Committed
from eventfabric.services.proof.prove import Prover
from tests.support.failing_handlers import Failing, retry
from tests.support.memory_fabric import HOME, LANE
from tests.support.recording_handler import Recorder
from tests.support.replays import replay, replay_of
from tests.support.split_stream import LEFT, RIGHT, SplitStream, key_of

LOW, HIGH = key_of(LEFT), key_of(RIGHT)


def split_stream(failing: Failing | None = None, **settings: Any) -> SplitStream:
    """Two keys: each has an event in the lane and one in its own child; all of it was delivered."""
    handler = Recorder() if failing is None else Recorder(before=failing)
    fabric = SplitStream(handler=handler, **settings)
    fabric.publish("l0", key=LOW)
    fabric.publish("h0", key=HIGH)
    fabric.run_all()
    fabric.split()
    fabric.publish("l1", key=LOW)
    fabric.publish("h1", key=HIGH)
    fabric.run_all()
    return fabric


def again(fabric: SplitStream) -> list[tuple[str, bool]]:
    """Deliver what a replay rang for. Return which events came, and which of them are marked as replays."""
    before = len(fabric.recorder.events)
    fabric.run_all()
    return fabric.recorder.handled()[before:]


def is_proven(fabric: SplitStream) -> bool:
    prover = Prover(fabric.stream, [fabric.subscription], fabric.ports())
    return all(proof.is_proven for lane in prover.lanes for proof in prover.prove(lane))


def test_a_replay_across_a_seal_has_all_lanes_beneath_it_come_again() -> None:
    fabric = split_stream()
    (done,) = [own for own in replay(fabric, 0, lane=LANE) if own.plan.changes_anything]
    assert (done.plan.lane, done.plan.events, len(done.plan.beneath)) == (LANE, 4, 2)
    assert [fabric.cursor(lane).begun for lane in (LEFT, RIGHT)] == [None, None]
    came = again(fabric)
    assert came[:2] == [("l0", True), ("h0", True)]
    assert sorted(came[2:]) == [("h1", True), ("l1", True)]
    assert [fabric.cursor(lane).is_replaying for lane in (LANE, LEFT, RIGHT)] == [False] * 3
    assert is_proven(fabric)


def test_what_comes_after_it_is_no_replay() -> None:
    fabric = split_stream()
    replay(fabric, 1)
    fabric.publish("l2", key=LOW)
    assert ("l2", False) in again(fabric)
    assert is_proven(fabric)


def test_a_place_behind_the_seal_moves_only_the_lanes_beneath() -> None:
    fabric = split_stream()
    seam = fabric.tail_of(LANE).sequence
    lanes = [own.plan.lane for own in replay(fabric, seam, lane=LANE) if own.plan.changes_anything]
    assert lanes == [LEFT, RIGHT]
    assert sorted(again(fabric)) == [("h1", True), ("l1", True)]
    assert [own.plan.lane for own in replay(fabric, 0, lane=LEFT)] == [LEFT]
    assert again(fabric) == [("l1", True)]


def test_a_time_is_looked_for_in_every_lane() -> None:
    fabric = split_stream()
    fabric.clock.advance(60)
    since = AtTime(fabric.clock.now_ms())
    fabric.publish("l2", key=LOW)
    fabric.run_all()
    assert [own.plan.lane for own in replay(fabric, since) if own.plan.changes_anything] == [LEFT]
    assert again(fabric) == [("l2", True)]


def test_a_key_comes_again_from_all_lanes_in_which_it_stands() -> None:
    fabric = split_stream()
    (done,) = replay(fabric, 0, key=LOW)
    assert (done.plan.lane, done.plan.events) == (LEFT, 2)
    assert again(fabric) == [("l0", True), ("l1", True)]
    with pytest.raises(ReplayRefusedError, match="no delivered events"):
        replay(fabric, fabric.tail_of(LEFT).sequence, key=LOW)
    assert is_proven(fabric)


def test_a_key_that_is_replayed_holds_back_its_later_events() -> None:
    fabric = split_stream()
    replay(fabric, 0, key=LOW)
    fabric.publish("l2", key=LOW)
    assert again(fabric) == [("l0", True), ("l1", True), ("l2", False)]


def dead_since_the_seal() -> SplitStream:
    """The first event of a key is dead, with one behind it in the child."""
    return split_stream(Failing({"l0": 99}), **retry(immediate=0, attempts=1))


def test_what_waits_from_before_the_place_goes_on_waiting() -> None:
    fabric = dead_since_the_seal()
    replay(fabric, 1, lane=LANE)
    (parked,) = fabric.ledger.state(fabric.key_of(LANE)).parked[HOME].values()
    assert [(place.sequence, place.lane) for place in parked.waiting] == [(0, None)]
    assert again(fabric) == [("h0", True), ("h1", True)]
    (moved,) = fabric.ledger.state(fabric.key_of(LEFT)).parked[HOME].values()
    assert [(place.sequence, place.lane) for place in moved.waiting] == [(0, LANE), (3, None)]
    assert is_proven(fabric)


def test_what_waits_from_behind_the_place_comes_again() -> None:
    fabric = dead_since_the_seal()
    assert isinstance(fabric.recorder.before, Failing)
    fabric.recorder.before.times.clear()
    replay(fabric, 0, lane=LANE)
    assert [name for name, _ in again(fabric)] == ["l0", "h0", "l1", "h1"]
    assert fabric.ledger.state(fabric.key_of(LEFT)).parked == {}
    assert is_proven(fabric)


def test_it_is_refused_while_a_lane_beneath_has_not_begun() -> None:
    fabric = split_stream()
    read = fabric.cursor(LEFT)
    taken = fabric.ledger.commit(fabric.key_of(LEFT), read, replace(read, begun=None))
    assert isinstance(taken, Committed)
    with pytest.raises(ReplayRefusedError, match="has not been taken over yet"):
        replay(fabric, 0, lane=LANE)
    with pytest.raises(ReplayRefusedError, match="has not begun"):
        replay(fabric, 0, lane=LEFT)


def test_it_is_refused_where_one_transaction_cannot_hold_it() -> None:
    failing = Failing({f"bad {number}": 99 for number in range(100)})
    fabric = SplitStream(handler=Recorder(before=failing), **retry(immediate=0, attempts=1))
    for number in range(100):
        fabric.publish(f"bad {number}", key=key_of(LEFT, number))
    fabric.publish("good", key=HIGH)
    fabric.run_all()
    fabric.split()
    fabric.run_all()
    with pytest.raises(ReplayRefusedError, match="3 lanes and 100 parked keys together, allowed: 99"):
        replay(fabric, 100, lane=LANE)


def test_one_that_races_with_a_delivery_is_of_the_state_by_then() -> None:
    fabric = split_stream()
    operation = replay_of(fabric)
    (plan,) = [plan for plan in operation.plan(AtTime(0), lane=LANE) if plan.changes_anything]
    fabric.publish("h2", key=HIGH)
    fabric.run_all()
    done = operation.carry_out(plan)
    assert done.plan.events == 5
    assert {name for name, _ in again(fabric)} == {"l0", "h0", "l1", "h1", "h2"}


def test_a_tree_of_three_generations_goes_back_together() -> None:
    fabric = split_stream()
    fabric.split(LEFT)
    fabric.publish("l2", key=LOW)
    fabric.run_all()
    (done,) = [own for own in replay(fabric, 0, lane=LANE) if own.plan.changes_anything]
    assert sorted(change.key.lane for change in done.plan.beneath) == sorted([LEFT, RIGHT, *LEFT.children])
    came = [name for name, _ in again(fabric)]
    assert [name for name in came if name.startswith("l")] == ["l0", "l1", "l2"]
    assert [name for name in came if name.startswith("h")] == ["h0", "h1"]
    assert is_proven(fabric)
