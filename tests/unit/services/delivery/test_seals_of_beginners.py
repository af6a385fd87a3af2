"""Subscriptions that begin later than lanes were split, and events that come late across trees of two Regions."""

import pytest

from eventfabric import limits
from eventfabric.model import EMPTY_TAIL, AtTime, Lane, Region, seal_at, tail_behind
from tests.support.expiry import expire
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.split_stream import LEFT, RIGHT, SplitStream, key_of


def begins(fabric: SplitStream) -> None:
    """Have the subscription begin now, in a lane in which nothing was published."""
    other = lane(1)
    fabric.put(event("first", key="other"), of=other)
    fabric.deliver(other)


@pytest.mark.parametrize("generations", [0, 1, 2])
@pytest.mark.parametrize("is_empty", [True, False])
def test_who_begins_with_the_latest_gets_nothing_of_what_was_published_before_in_any_lane_of_a_tree(
    generations: int, is_empty: bool
) -> None:
    fabric = SplitStream(start="latest")
    left, right = key_of(LEFT.children[0]), key_of(RIGHT)
    for number in range(generations + 1):
        if number:
            fabric.split(fabric.lane_now(left))
        if not is_empty:
            fabric.publish(f"old l{number}", key=left)
            fabric.publish(f"old r{number}", key=right)
        fabric.clock.advance(1)
    begins(fabric)
    fabric.clock.advance(1)
    fabric.publish("new l", key=left)
    fabric.publish("new r", key=right)
    fabric.run_all()
    assert sorted(fabric.recorder.ids()) == ["first", "new l", "new r"]
    fabric.split(fabric.lane_now(left))
    fabric.publish("newer l", key=left)
    fabric.run_all()
    assert fabric.recorder.ids()[3:] == ["newer l"]


def test_who_begins_at_a_time_begins_in_each_child_at_that_time() -> None:
    fabric = SplitStream(start=str(AtTime(SplitStream().clock.now_ms() + 2_500)))
    left = key_of(LEFT)
    fabric.publish("l0", key=left)
    fabric.split()
    for number in range(1, 5):
        fabric.clock.advance(1)
        fabric.publish(f"l{number}", key=left)
    fabric.run_all()
    assert fabric.recorder.ids() == ["l3", "l4"]
    assert fabric.cursor(LEFT).began == fabric.records(LEFT)[2].sequence


def test_who_begins_at_a_time_before_the_seal_gets_all_behind_it() -> None:
    fabric = SplitStream(start=str(AtTime(SplitStream().clock.now_ms() + 500)))
    left = key_of(LEFT)
    fabric.publish("l0", key=left)
    fabric.clock.advance(1)
    fabric.publish("l1", key=left)
    fabric.split()
    fabric.publish("l2", key=left)
    fabric.run_all()
    assert fabric.recorder.ids() == ["l1", "l2"]


def test_what_expired_before_a_seal_is_passed_with_it() -> None:
    fabric = SplitStream(retention_days=1)
    left = key_of(LEFT)
    fabric.publish("gone", key=left)
    fabric.split()
    fabric.clock.advance(2 * 86_400)
    assert expire(fabric) == 1
    fabric.publish("kept", key=left)
    fabric.run_all()
    assert fabric.recorder.ids() == ["kept"]


class TestLate:
    """HOME's lanes were split, AWAY's were not; or the reverse."""

    def publish(self, fabric: SplitStream, name: str, key: str, origin: Region, *, split: bool) -> None:
        """Append an event in an origin whose lane was split before, or was not."""
        root = Lane(origin, LANE.generation, LANE.index)
        log, now_ms = fabric.cloud.log(STREAM, origin), fabric.clock.now_ms()
        of, tail = root, log.tail(root)
        if split and not tail.is_sealed:
            seal = seal_at(tail, root, now_ms=now_ms)
            assert log.append(seal) is None
            tail = seal.tail
        if split:
            of = next(child for child in root.children if child.index == (0 if key == key_of(LEFT) else 1))
            tail = log.tail(of) if log.tail(of) != EMPTY_TAIL else tail_behind(tail)
        assert log.append(fabric.record(tail, event(name, key=key), of=of)) is None

    @pytest.mark.parametrize(("here", "there"), [(False, True), (True, False), (True, True)])
    def test_an_event_is_late_whose_key_went_on_in_another_tree(self, here: bool, there: bool) -> None:
        fabric = SplitStream(deliver="one", region=HOME)
        left, right = key_of(LEFT), key_of(RIGHT)
        self.publish(fabric, "l0", left, HOME, split=here)
        self.publish(fabric, "r0", right, HOME, split=here)
        fabric.clock.advance(1)
        self.publish(fabric, "l1", left, AWAY, split=there)
        fabric.cloud.replicate()
        away = Lane(AWAY, LANE.generation, LANE.index)
        for of in (away, *away.children):
            fabric.deliver(of)
        assert fabric.recorder.ids() == ["l1"]
        fabric.clock.advance(limits.LATE_AFTER_SECONDS + 1)
        for of in (LANE, LEFT, RIGHT):
            fabric.deliver(of)
        assert fabric.recorder.ids() == ["l1", "l0", "r0"]
        assert [given.later.id if given.later else None for given in fabric.recorder.events] == [
            None,
            "l1",
            None,
        ]
