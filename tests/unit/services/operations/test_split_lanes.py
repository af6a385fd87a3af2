"""Operators' views of lanes that were split, and what they decide about the keys in them."""

from dataclasses import replace

import pytest

from eventfabric.errors import NotDeadError, NotTakenOverError
from eventfabric.model import Lane, Standing, Tail
from eventfabric.services.lanes.splits import check_lane, start_of, walked
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.lanes.tails import tails_of
from eventfabric.services.operations.parked_keys import ParkedKey, parked_keys
from eventfabric.services.operations.survey import LaneStanding, ring_again, survey
from eventfabric.testing.memory.faults import Faults
from tests.support.failing_handlers import Failing, dead_letters, fabric_of, retry, the_dead_letter
from tests.support.failovers import failover
from tests.support.memory_fabric import HOME, LANE, event
from tests.support.splits import event_in, pass_seal, put_in, split
from tests.support.subscribed_stream import SubscribedStream

LEFT, RIGHT = LANE.children


def tails(fabric: SubscribedStream) -> dict[Lane, Tail]:
    return tails_of(fabric.log, lanes_of(fabric.stream), now_ms=fabric.clock.now_ms())


def standings(fabric: SubscribedStream) -> list[LaneStanding]:
    ledger = fabric.ledger
    return list(
        survey(fabric.subscription, tails(fabric), log=fabric.log, ledger=ledger, standing=Standing())
    )


def parked(fabric: SubscribedStream) -> list[ParkedKey]:
    return list(
        parked_keys(
            fabric.subscription,
            lanes_of(fabric.stream),
            ledger=fabric.ledger,
            log=fabric.log,
            standing=Standing(),
            clock=fabric.clock,
        )
    )


def with_dead_key() -> SubscribedStream:
    """A key of the left child is dead in the lane, which was split and passed since."""
    fabric = fabric_of(Failing({"bad": 99}), **retry(immediate=0, attempts=1))
    fabric.put(event_in(fabric, LEFT, "bad"), event_in(fabric, LEFT, "behind"), event_in(fabric, RIGHT, "ok"))
    fabric.deliver()
    split(fabric)
    pass_seal(fabric)
    return fabric


class TestWhereLanesStand:
    def test_a_lane_that_was_split_is_followed_by_its_children(self) -> None:
        fabric = SubscribedStream()
        fabric.put(event("a"), event("b"))
        seam = split(fabric)
        put_in(fabric, LEFT, event("c"))
        grandchildren = split(fabric, LEFT)
        own = {lane: tail.sequence for lane, tail in tails(fabric).items()}
        assert own == {LANE: 3, LEFT: 5, **dict.fromkeys(LEFT.children, 5), RIGHT: 3}
        assert (seam.sequence, grandchildren.sequence) == (3, 5)
        assert start_of(fabric.log, RIGHT) == seam
        assert list(own) == [LANE, LEFT, *LEFT.children, RIGHT]

    def test_its_children_lag_from_its_seal_on(self) -> None:
        fabric = SubscribedStream()
        fabric.put(event("a"), event("b"))
        fabric.deliver()
        split(fabric)
        put_in(fabric, LEFT, event("c"), event("d"))
        assert {own.lane: own.lag for own in standings(fabric)} == {LANE: 1, LEFT: 2, RIGHT: 0}
        pass_seal(fabric)
        assert {own.lane: own.lag for own in standings(fabric)} == {LANE: 0, LEFT: 2, RIGHT: 0}

    def test_a_seal_is_waited_for_whatever_is_wanted(self) -> None:
        fabric = SubscribedStream(types=["paid"])
        fabric.put(event("a"), event("b"))
        split(fabric)
        root, *_ = standings(fabric)
        assert (root.lane, root.ahead.sequence, root.lag) == (LANE, 2, 1)
        rung = ring_again(
            standings(fabric), doorbells=fabric.cloud.doorbells(HOME), now_ms=fabric.clock.now_ms()
        )
        assert [own.lane for own in rung] == [LANE]

    def test_a_stream_of_which_nothing_was_split_takes_one_read_a_lane(self) -> None:
        fabric, faults = SubscribedStream(lanes=8), Faults()
        fabric.put(event("a"))
        log, lanes = faults.log(fabric.log), lanes_of(fabric.stream)
        assert len([*walked(log, lanes, now_ms=fabric.clock.now_ms())]) == len(lanes) == 16
        assert faults.calls == 16 * ["log.tail"]

    @pytest.mark.parametrize(
        "text", ["us-east-1/1.0", "us-east-1/0.2", "ap-east-1/0.0", "us-east-1/999999999.0"]
    )
    def test_lanes_that_a_stream_does_not_have_are_refused(self, text: str) -> None:
        fabric = SubscribedStream()
        with pytest.raises(Exception, match=r"lane.*into which they were split"):
            check_lane(fabric.stream, Lane.parse(text), fabric.log)
        assert check_lane(fabric.stream, LANE, fabric.log).sequence == 0


class TestParkedKeys:
    def test_they_are_listed_once_in_the_lane_that_delivers_them(self) -> None:
        fabric = with_dead_key()
        (own,) = parked(fabric)
        assert (own.lane, own.place) == (LEFT, f"{LANE}@0")
        assert len(own.parked.waiting) == 2

    def test_a_dead_letter_is_decided_about_in_the_child_of_its_key(self) -> None:
        fabric = with_dead_key()
        letter = the_dead_letter(fabric)
        letters = dead_letters(fabric)
        dead = letters.event(letter)
        assert (letter.lane, letter.place) == (LEFT, f"{LANE}@0")
        assert dead is not None
        assert dead.id == "bad"
        letters.redrive(letter)
        assert parked(fabric)[0].parked.state.value == "retrying"

    def test_a_letter_that_was_listed_before_its_lane_was_passed_is_found_again(self) -> None:
        fabric = fabric_of(Failing({"bad": 99}), **retry(immediate=0, attempts=1))
        fabric.put(event_in(fabric, LEFT, "bad"))
        fabric.deliver()
        letter = the_dead_letter(fabric)
        split(fabric)
        pass_seal(fabric)
        dead_letters(fabric).discard(letter)
        assert parked(fabric) == []

    def test_it_is_refused_in_a_child_that_this_region_has_not_taken_over(self) -> None:
        fabric = with_dead_key()
        letter = the_dead_letter(fabric)
        key = fabric.key_of(LEFT)
        read = fabric.ledger.state(key).cursor(HOME)
        fabric.ledger.commit(key, read, replace(read, begun=None))
        with pytest.raises((NotTakenOverError, NotDeadError), match="goes on once lane"):
            dead_letters(fabric).discard(letter)


class TestFailovers:
    def test_a_handover_has_a_higher_epoch_than_lanes_beneath_a_seal(self) -> None:
        fabric = SubscribedStream()
        fabric.put(event("a"))
        fabric.deliver()
        split(fabric)
        pass_seal(fabric)
        key = fabric.key_of(RIGHT)
        read = fabric.ledger.state(key).cursor(HOME)
        fabric.ledger.commit(key, read, replace(read, epoch=7))
        fabric.cloud.replicate()
        (owner, *_) = failover(fabric).hand_over()
        assert owner.epoch == 8

    def test_it_tells_of_what_waits_in_children(self) -> None:
        fabric = SubscribedStream()
        fabric.put(event("a"))
        fabric.deliver()
        split(fabric)
        pass_seal(fabric)
        put_in(fabric, LEFT, event("b"), event("c"))
        fabric.cloud.replicate()
        (ready, *_) = failover(fabric).readiness()
        assert (ready.waiting, ready.behind, ready.repeated) == (2, 0, 0)
        put_in(fabric, RIGHT, event("d"))
        (ready, *_) = failover(fabric).readiness()
        assert (ready.waiting, ready.behind) == (2, 1)
