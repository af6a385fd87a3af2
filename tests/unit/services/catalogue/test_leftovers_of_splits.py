"""Leftovers of a Region in lanes that were split: what waits in their children, counted once."""

from tests.support.failing_handlers import Failing, retry
from tests.support.memory_fabric import LANE
from tests.support.recording_handler import Recorder
from tests.support.split_stream import LEFT, RIGHT, SplitStream, key_of
from tests.unit.services.catalogue.test_leftovers import left

LOW, HIGH = key_of(LEFT), key_of(RIGHT)


def split_stream(failing: Failing | None = None) -> SplitStream:
    """A lane was split, its left child too, and all of it was delivered."""
    handler = Recorder() if failing is None else Recorder(before=failing)
    fabric = SplitStream(handler=handler, **retry(immediate=0, attempts=1))
    fabric.publish("l0", key=LOW)
    fabric.split()
    fabric.publish("l1", key=LOW)
    fabric.split(LEFT)
    fabric.publish("h1", key=HIGH)
    fabric.run_all()
    return fabric


def test_nothing_is_left_of_a_tree_that_was_delivered() -> None:
    assert left(split_stream()) == []


def test_events_that_wait_in_a_child_are_left() -> None:
    fabric = split_stream()
    fabric.publish("l2", key=LOW)
    fabric.publish("h2", key=HIGH)
    (said,) = left(fabric)
    assert "2 events that wait" in said


def test_a_seal_that_nobody_has_come_to_waits_with_what_is_behind_it() -> None:
    fabric = SplitStream()
    fabric.publish("l0", key=LOW)
    fabric.run_all()
    fabric.split(LANE)
    fabric.publish("l1", key=LOW)
    (said,) = left(fabric)
    assert "2 events that wait" in said, "the seal itself counts as one"


def test_a_dead_letter_is_counted_once_in_whatever_lanes_it_stood() -> None:
    fabric = split_stream(Failing({"l0": 99}))
    (said,) = left(fabric)
    assert "1 dead letters" in said
