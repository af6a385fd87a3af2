"""Runs at the end of a lane that was split: its children begin by one passing, and go on with what is parked."""

from itertools import count
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.model import ANY_TAIL, Committed, Lane, ParkedState, Passing
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, SimulatedCrash, at_random, nth
from eventfabric.wire.doorbell import from_body
from tests.support.failing_handlers import Failing, breaker, retry
from tests.support.memory_fabric import HOME, LANE, event
from tests.support.recording_handler import Recorder
from tests.support.split_stream import LEFT, RIGHT, SplitStream, key_of

DEAD_AT_ONCE = retry(immediate=0, attempts=1)
TREE = (LANE, LEFT, RIGHT)


def rung(fabric: SplitStream) -> list[Lane]:
    """Return the lanes of the doorbells that are in the queue, and take them out."""
    messages = fabric.receive()
    for message in messages:
        fabric.queue.delete(message.receipt_handle)
    return [from_body(message.body).lane for message in messages]


def split_with(times: dict[str, int], *, keys: int = 1, **settings: Any) -> SplitStream:
    """Return a stream that was split behind a record of each key, in each of which events fail so many times."""
    fabric = SplitStream(handler=Recorder(before=Failing(times)), **settings)
    for side, child in (("l", LEFT), ("r", RIGHT)):
        for number in range(keys):
            fabric.publish(f"{side}{number}", key=key_of(child, number))
    fabric.split()
    return fabric


def test_events_go_on_behind_a_seal_in_the_child_of_their_key() -> None:
    fabric = SplitStream()
    left, right = key_of(LEFT), key_of(RIGHT)
    fabric.publish("l1", key=left)
    fabric.publish("r1", key=right)
    fabric.split()
    fabric.publish("l2", key=left)
    fabric.publish("r2", key=right)
    fabric.run_all()
    ids = fabric.recorder.ids()
    assert sorted(ids) == ["l1", "l2", "r1", "r2"]
    assert ids.index("l1") < ids.index("l2")
    assert ids.index("r1") < ids.index("r2")
    assert fabric.recorder.ids(LEFT) == ["l2"]


def test_all_three_cursors_note_the_one_passing() -> None:
    fabric = SplitStream()
    fabric.publish("l1", key=key_of(LEFT))
    seal = fabric.split()
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    parent, left, right = (fabric.cursor(lane) for lane in TREE)
    assert parent.past_seal == left.begun == right.begun == Passing(HOME, parent.epoch, parent.version)
    for cursor in (parent, left, right):
        assert (cursor.sequence, cursor.base) == (seal.sequence + 1, seal.sequence + 1)
        assert cursor.chain == seal.chain
    assert parent.begun is left.past_seal is right.past_seal is None
    assert left.epoch == right.epoch == parent.epoch


def test_a_seal_in_an_empty_lane_is_passed_like_any_other() -> None:
    fabric = SplitStream()
    fabric.split()
    fabric.split(LEFT)
    fabric.publish("far", key=key_of(LEFT))
    fabric.run_all()
    assert fabric.recorder.ids() == ["far"]
    assert fabric.cursor(LEFT).past_seal == fabric.cursor(LEFT.children[0]).begun


def test_a_subscription_that_wants_nothing_of_a_lane_is_rung_for_its_seal_and_passes_it() -> None:
    fabric = SplitStream(types=["wanted"])
    fabric.publish("unwanted", key=key_of(LEFT))
    fabric.split()
    wanted = event("wanted", key=key_of(LEFT), type="wanted")
    fabric.put(wanted, of=LEFT, log_lane_tail=fabric.tail_of(LEFT))
    fabric.run_all()
    assert fabric.recorder.ids() == ["wanted"]


def test_children_are_rung_with_doorbells_that_no_queue_drops() -> None:
    fabric = split_with({})
    fabric.publish("l1", key=key_of(LEFT))
    # The child's own doorbell is answered first, and would be taken for a repetition if the parent rang by it again.
    assert fabric.deliver(LEFT).outcome is LaneOutcome.NOT_BEGUN
    assert rung(fabric) == [LANE]
    fabric.deliver()
    assert rung(fabric) == [LEFT, RIGHT]
    fabric.deliver(tail=ANY_TAIL)
    assert rung(fabric) == [LEFT, RIGHT]


def test_a_child_that_has_not_begun_rings_its_parent_and_does_nothing_more() -> None:
    fabric = SplitStream()
    fabric.split()
    fabric.split(LEFT)
    grandchild = LEFT.children[0]
    fabric.publish("far", key=key_of(grandchild))
    assert fabric.deliver(grandchild).outcome is LaneOutcome.NOT_BEGUN
    assert rung(fabric) == [LEFT]
    assert not any(fabric.cursor(lane).version for lane in (*TREE, grandchild))


@pytest.mark.parametrize("lane", [LEFT, LANE], ids=["the parent", "the children"])
def test_where_nobody_can_be_rung_the_doorbell_comes_again(lane: Lane) -> None:
    fabric = split_with({})
    fabric.faults.rules.append(at_random(1, [Fault.THROTTLED], seed=0, names=["doorbells.ring"]))
    assert not fabric.deliver(lane, tail=ANY_TAIL).done
    fabric.faults.heal()
    assert fabric.deliver(lane, tail=ANY_TAIL).done
    assert rung(fabric) == ([LANE] if lane == LEFT else [LEFT, RIGHT])


class TestParkedKeys:
    """Keys that are parked in a lane when it ends."""

    def test_keys_go_to_the_children_and_name_the_log_in_which_their_events_stand(self) -> None:
        fabric = split_with({"l0": 99, "r0": 99}, **DEAD_AT_ONCE)
        fabric.publish("l1", key=key_of(LEFT))
        fabric.run_all()
        (left,), (right,) = fabric.parked(LEFT).values(), fabric.parked(RIGHT).values()
        assert [place.lane for place in left.waiting] == [LANE, None]
        assert [place.lane for place in right.waiting] == [LANE]
        assert fabric.recorder.ids() == []
        assert left.state is right.state is ParkedState.DEAD
        for lane in (LEFT, RIGHT):
            cursor = fabric.cursor(lane)
            assert cursor.low is not None
            assert cursor.low.lane == LANE
            assert fabric.ledger.state(fabric.key_of(lane)).fits(HOME)

    def test_the_lane_goes_on_naming_its_keys(self) -> None:
        fabric = split_with({"l0": 99}, **DEAD_AT_ONCE)
        fabric.run_all()
        assert fabric.parked(LANE).keys() == fabric.parked(LEFT).keys()
        assert fabric.cursor(LANE).roster.count == 1

    def test_events_that_failed_before_a_seal_are_tried_again_behind_it_before_later_ones(self) -> None:
        fabric = split_with({"l0": 2}, **retry(immediate=0, attempts=9))
        fabric.publish("l1", key=key_of(LEFT))
        fabric.run_all()
        assert fabric.recorder.ids() == ["r0", "l0", "l1"]
        assert not fabric.parked(LEFT)

    def test_the_timer_of_a_key_rings_the_lane_that_parked_it_which_passes_that_on(self) -> None:
        fabric = split_with({"l0": 1}, **retry(immediate=0, attempts=9))
        fabric.relay_all()
        fabric.answer(fabric.receive())
        rung(fabric)
        fabric.clock.advance(60)
        body = fabric.timers.take()
        assert body is not None
        assert from_body(body).lane == LANE
        fabric.ring_body(body)
        fabric.deliver_all()
        assert fabric.recorder.ids() == ["r0", "l0"]

    @pytest.mark.parametrize("keys", [49, 120])
    def test_more_keys_than_one_transaction_takes_are_copied_in_several(self, keys: int) -> None:
        failing = {f"{side}{number}": 99 for side in "lr" for number in range(keys)}
        fabric = split_with(failing, keys=keys, **DEAD_AT_ONCE, **breaker(parked_keys=1000))
        fabric.deliver()
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        for lane in (LEFT, RIGHT):
            assert len(fabric.parked(lane)) == fabric.cursor(lane).roster.count == keys
            assert fabric.ledger.state(fabric.key_of(lane)).fits(HOME)

    def test_what_a_key_does_not_list_is_found_across_the_seal(self) -> None:
        fabric = SplitStream(handler=Recorder(before=Failing({"e0": 3})), **retry(immediate=0, attempts=9))
        before, behind = limits.PARKED_PLACES_MAX + 30, 50
        left, names = key_of(LEFT), [f"e{number}" for number in range(before + behind)]
        for name in names[:before]:
            fabric.publish(name, key=left)
        fabric.publish("other", key=key_of(RIGHT))
        fabric.split()
        for name in names[before:]:
            fabric.publish(name, key=left)
        fabric.run_all()
        ids = fabric.recorder.ids()
        ids.remove("other")
        assert ids == names
        assert not fabric.parked(LEFT)


class TestRaces:
    """Races of a passing with whatever else is written to its lane."""

    @pytest.mark.parametrize("commit", [2, 3], ids=["copies", "passes"])
    def test_a_run_that_stood_still_begins_anew(self, commit: int) -> None:
        fabric = split_with({"l0": 99}, **DEAD_AT_ONCE)
        ledger, key = fabric.ledger, fabric.key_of(LANE)

        def moves_on(name: str, number: int, of_name: int) -> None:
            """Have another run commit right before one of this run's own commits."""
            if (name, of_name) == ("ledger.commit", commit):
                cursor = ledger.state(key).cursor(HOME)
                assert isinstance(ledger.commit(key, cursor, cursor), Committed)

        fabric.faults.rules.append(moves_on)
        assert fabric.deliver().outcome is LaneOutcome.DELIVERED
        assert fabric.telemetry.totals[Metric.COMMITS_LOST] == 1
        parent = fabric.cursor()
        assert parent.past_seal == fabric.cursor(LEFT).begun == Passing(HOME, 0, parent.version)
        assert len(fabric.parked(LEFT)) == 1

    def test_a_crash_between_any_two_calls_leaves_children_that_begin_all_the_same(self) -> None:
        for number in count(1):
            fabric = split_with({"l0": 2}, **retry(immediate=0, attempts=9))
            fabric.publish("l1", key=key_of(LEFT))
            fabric.publish("r1", key=key_of(RIGHT))
            fabric.relay_all()
            fabric.faults.rules.append(nth(len(fabric.faults.calls) + number, Fault.CRASH_AFTER))
            try:
                fabric.deliver_all()
            except SimulatedCrash:
                fabric.faults.heal()
                fabric.deliver_all()
            else:
                break
            seen = list(dict.fromkeys(fabric.recorder.ids()))
            assert [name for name in seen if name[0] == "l"] == ["l0", "l1"]
            assert [name for name in seen if name[0] == "r"] == ["r0", "r1"]
        assert number > 30
