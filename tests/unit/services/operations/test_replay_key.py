"""Replays of one key: its events wait as those of a parked key do, and nobody else's come again."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import ReplayRefusedError
from eventfabric.model.identity import BatchId, SequenceNumber, lane_index
from eventfabric.model.parked import ParkedState
from eventfabric.model.record import EMPTY_TAIL, Note, record_at
from tests.support.failing_handlers import (
    FEW,
    Failing,
    dead_letters,
    drained,
    the_dead_letter,
    waiting,
    world_of,
)
from tests.support.memory_fabric import AWAY, LANE, STREAM, batch_of, event, lane
from tests.support.messages import raises_with
from tests.support.replays import replay, replay_of, the_plan
from tests.support.subscribed_stream import SubscribedStream

BATCH = BatchId(b"b" * 16)
# Keys by their lanes: the first three of lane 0, the last of lane 1.
A, C, D, B = (
    next(name for name in names if lane_index(name, 2) == index)
    for names, index in (("abc", 0), ("defghij", 0), ("pqrstuv", 0), ("klmnop", 1))
)


def handled(*letters: str, **settings: object) -> SubscribedStream:
    """A world with a record an event of key A or C, all handled; events are named by number."""
    world = SubscribedStream(**settings)  # type: ignore[arg-type]  # settings of a subscription
    for number, key in enumerate(letters):
        world.put(event(f"{key}{number}", key=key))
    world.deliver()
    world.recorder.events.clear()
    world.recorder.replays.clear()
    return world


@pytest.mark.parametrize("guarantee", ["at_least_once", "at_most_once", "exactly_once"])
def test_only_its_events_come_again_in_order_and_the_cursor_stays(guarantee: str) -> None:
    world = handled(A, C, A, C, A, guarantee=guarantee)
    world.recorder.effects = False
    replay(world, 1, key=A)
    assert world.cursor().sequence == 5
    assert [(place.sequence, place.replay) for place in world.parked()[A].waiting] == [(2, True), (4, True)]
    drained(world)
    assert world.recorder.handled() == [(f"{A}2", True), (f"{A}4", True)]
    assert world.parked() == {}


def test_new_events_of_the_key_wait_behind_its_replays_and_are_none() -> None:
    world = handled(A, C, A)
    replay(world, 0, key=A)
    for name in (A, C):
        world.put(event(f"{name}new", key=name))
    world.recorder.before = Failing({f"{A}0": 3})
    drained(world)
    assert world.recorder.handled() == [
        (f"{C}new", False),
        (f"{A}0", True),
        (f"{A}2", True),
        (f"{A}new", False),
    ]


def test_a_replay_that_fails_is_a_dead_letter_like_any_other() -> None:
    world = handled(A, C, A, **FEW)
    failing = Failing({f"{A}0": 99})
    world.recorder.before = failing
    replay(world, 0, key=A)
    drained(world)
    assert world.parked()[A].state is ParkedState.DEAD
    assert world.parked()[A].failure.attempts == 4
    failing.times.clear()
    dead_letters(world).redrive(the_dead_letter(world))
    drained(world)
    assert world.recorder.handled() == [(f"{A}0", True), (f"{A}2", True)]


def test_without_order_each_event_waits_by_itself() -> None:
    world = handled(A, C, A, A, order="none", **FEW)
    world.recorder.before = Failing({f"{A}0": 99})
    replay(world, 0, key=A)
    drained(world)
    assert sorted(world.recorder.handled()) == [(f"{A}2", True), (f"{A}3", True)]
    assert waiting(world, A) == [0]


def test_events_that_the_subscription_does_not_want_do_not_wait() -> None:
    world = SubscribedStream(types=["paid"])
    for number in range(4):
        world.put(event(f"{number}", key=A, type="paid" if number % 2 else "placed"))
    world.deliver()
    assert the_plan(world, 0, key=A, counts=True).events == 2
    replay(world, 0, key=A)
    assert waiting(world, A) == [1, 3]


def test_a_key_that_is_parked_is_refused_until_it_is_free() -> None:
    failing = Failing({"1": 99})
    world = drained(world_of(failing, *(event(f"{number}", key=A) for number in range(3)), **FEW))
    with raises_with(ReplayRefusedError, f"'{A}'", LANE, "dead", "sequence 1"):
        replay(world, 0, key=A)
    assert waiting(world, A) == [1, 2]


def test_a_key_without_events_there_is_refused_and_so_is_one_of_another_lane() -> None:
    world = handled(A, C, A)
    for key in (C, D):
        facts = f"'{key}'", "no delivered events", "sequence 2"
        with raises_with(ReplayRefusedError, *facts, f"{LANE} up to 3"):
            replay(world, 2, key=key)
    with raises_with(ReplayRefusedError, f"'{B}'", "in lanes 0.1", f"not in {LANE}"):
        replay(world, 0, key=B, lane=LANE)
    assert world.parked() == {}


@pytest.mark.parametrize("count", [5, 6, 11])
def test_more_events_than_a_key_lists_are_replayed_all_the_same(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(limits, "PARKED_PLACES_MAX", 5)
    world = SubscribedStream()
    world.put(*(event(f"{number}", key=(A, C)[number % 2]) for number in range(2 * count)))
    world.deliver()
    world.recorder.events.clear()
    world.recorder.replays.clear()
    replay(world, 0, key=A)
    world.put(event("new", key=A))
    drained(world)
    assert world.recorder.handled() == [(f"{2 * number}", True) for number in range(count)] + [("new", False)]
    assert world.parked() == {}


def test_without_order_more_events_than_a_commit_takes_are_refused() -> None:
    world = handled(*[A] * limits.TRANSACTION_ACTIONS_MAX, order="none")
    with raises_with(ReplayRefusedError, "100 parked keys", LANE, "commit takes 99"):
        replay(world, 0, key=A)
    replay(world, 1, key=A)
    drained(world)
    assert len(world.recorder.events) == 99


def test_a_lane_that_moves_back_takes_what_waits_for_a_key_with_it() -> None:
    world = handled(A, C, A, C, A)
    replay(world, 0, key=A)
    replay(world, 1)
    assert waiting(world, A) == [0]
    drained(world)
    assert world.recorder.handled() == [
        (f"{name}", True) for name in (f"{A}0", f"{C}1", f"{A}2", f"{C}3", f"{A}4")
    ]


def test_a_key_goes_without_another_subscription() -> None:
    world = handled(A)
    definition = replace(world.subscription.definition, name="audit")
    other = replace(world.subscription, name="audit", definition=definition)
    with raises_with(ReplayRefusedError, "--key", "without --into"):
        replay_of(world, into=other).plan(None, key=A, lane=lane(0))


def test_a_batch_that_stands_in_two_lanes_is_handed_out_once_more_and_not_twice() -> None:
    world = SubscribedStream(deliver="one")
    batch, other = batch_of([event("a", key=A)], BATCH), lane(0, AWAY)
    now_ms = world.clock.now_ms()
    assert (
        world.origin_log.append(record_at(EMPTY_TAIL, LANE, batch, now_ms=now_ms, retention_seconds=None))
        is None
    )
    copy = replace(batch, note=Note(LANE, SequenceNumber(0)))
    there = world.cloud.log(STREAM, AWAY)
    assert there.append(record_at(EMPTY_TAIL, other, copy, now_ms=now_ms, retention_seconds=None)) is None
    world.cloud.replicate()
    world.deliver()
    world.deliver(other)
    replay(world, 0, key=A)
    world.deliver()
    world.deliver(other)
    assert world.recorder.ids() == ["a", "a"]
