"""Replays of one key: its events wait as those of a parked key do, and nobody else's come again."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import ReplayRefusedError
from eventfabric.model import EMPTY_TAIL, BatchId, Note, ParkedState, SequenceNumber, lane_index, record_at
from tests.support.failing_handlers import (
    FEW,
    Failing,
    dead_letters,
    drained,
    fabric_of,
    the_dead_letter,
    waiting,
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
    """A fabric with a record an event of key A or C, all handled; events are named by number."""
    fabric = SubscribedStream(**settings)  # type: ignore[arg-type]  # settings of a subscription
    for number, key in enumerate(letters):
        fabric.put(event(f"{key}{number}", key=key))
    fabric.deliver()
    fabric.recorder.events.clear()
    fabric.recorder.replays.clear()
    return fabric


@pytest.mark.parametrize("guarantee", ["at_least_once", "at_most_once", "exactly_once"])
def test_only_its_events_come_again_in_order_and_the_cursor_stays(guarantee: str) -> None:
    fabric = handled(A, C, A, C, A, guarantee=guarantee)
    fabric.recorder.effects = False
    replay(fabric, 1, key=A)
    assert fabric.cursor().sequence == 5
    assert [(place.sequence, place.replay) for place in fabric.parked()[A].waiting] == [(2, True), (4, True)]
    drained(fabric)
    assert fabric.recorder.handled() == [(f"{A}2", True), (f"{A}4", True)]
    assert fabric.parked() == {}


def test_new_events_of_the_key_wait_behind_its_replays_and_are_none() -> None:
    fabric = handled(A, C, A)
    replay(fabric, 0, key=A)
    for name in (A, C):
        fabric.put(event(f"{name}new", key=name))
    fabric.recorder.before = Failing({f"{A}0": 3})
    drained(fabric)
    assert fabric.recorder.handled() == [
        (f"{C}new", False),
        (f"{A}0", True),
        (f"{A}2", True),
        (f"{A}new", False),
    ]


def test_a_replay_that_fails_is_a_dead_letter_like_any_other() -> None:
    fabric = handled(A, C, A, **FEW)
    failing = Failing({f"{A}0": 99})
    fabric.recorder.before = failing
    replay(fabric, 0, key=A)
    drained(fabric)
    assert fabric.parked()[A].state is ParkedState.DEAD
    assert fabric.parked()[A].failure.attempts == 4
    failing.times.clear()
    dead_letters(fabric).redrive(the_dead_letter(fabric))
    drained(fabric)
    assert fabric.recorder.handled() == [(f"{A}0", True), (f"{A}2", True)]


def test_without_order_each_event_waits_by_itself() -> None:
    fabric = handled(A, C, A, A, order="none", **FEW)
    fabric.recorder.before = Failing({f"{A}0": 99})
    replay(fabric, 0, key=A)
    drained(fabric)
    assert sorted(fabric.recorder.handled()) == [(f"{A}2", True), (f"{A}3", True)]
    assert waiting(fabric, A) == [0]


def test_events_that_the_subscription_does_not_want_do_not_wait() -> None:
    fabric = SubscribedStream(types=["paid"])
    for number in range(4):
        fabric.put(event(f"{number}", key=A, type="paid" if number % 2 else "placed"))
    fabric.deliver()
    assert the_plan(fabric, 0, key=A, counts=True).events == 2
    replay(fabric, 0, key=A)
    assert waiting(fabric, A) == [1, 3]


def test_a_key_that_is_parked_is_refused_until_it_is_free() -> None:
    failing = Failing({"1": 99})
    fabric = drained(fabric_of(failing, *(event(f"{number}", key=A) for number in range(3)), **FEW))
    with raises_with(ReplayRefusedError, f"'{A}'", LANE, "dead", "sequence 1"):
        replay(fabric, 0, key=A)
    assert waiting(fabric, A) == [1, 2]


def test_a_key_without_events_there_is_refused_and_so_is_one_of_another_lane() -> None:
    fabric = handled(A, C, A)
    for key in (C, D):
        facts = f"'{key}'", "no delivered events", "sequence 2"
        with raises_with(ReplayRefusedError, *facts, f"{LANE} up to 3"):
            replay(fabric, 2, key=key)
    with raises_with(ReplayRefusedError, f"'{B}'", "in lanes 0.1", f"not in {LANE}"):
        replay(fabric, 0, key=B, lane=LANE)
    assert fabric.parked() == {}


@pytest.mark.parametrize("count", [5, 6, 11])
def test_more_events_than_a_key_lists_are_replayed_all_the_same(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(limits, "PARKED_PLACES_MAX", 5)
    fabric = SubscribedStream()
    fabric.put(*(event(f"{number}", key=(A, C)[number % 2]) for number in range(2 * count)))
    fabric.deliver()
    fabric.recorder.events.clear()
    fabric.recorder.replays.clear()
    replay(fabric, 0, key=A)
    fabric.put(event("new", key=A))
    drained(fabric)
    assert fabric.recorder.handled() == [(f"{2 * number}", True) for number in range(count)] + [
        ("new", False)
    ]
    assert fabric.parked() == {}


def test_without_order_more_events_than_a_commit_takes_are_refused() -> None:
    fabric = handled(*[A] * limits.TRANSACTION_ACTIONS_MAX, order="none")
    with raises_with(ReplayRefusedError, "100 parked keys", LANE, "commit takes 99"):
        replay(fabric, 0, key=A)
    replay(fabric, 1, key=A)
    drained(fabric)
    assert len(fabric.recorder.events) == 99


def test_a_lane_that_moves_back_takes_what_waits_for_a_key_with_it() -> None:
    fabric = handled(A, C, A, C, A)
    replay(fabric, 0, key=A)
    replay(fabric, 1)
    assert waiting(fabric, A) == [0]
    drained(fabric)
    assert fabric.recorder.handled() == [
        (f"{name}", True) for name in (f"{A}0", f"{C}1", f"{A}2", f"{C}3", f"{A}4")
    ]


def test_a_key_goes_without_another_subscription() -> None:
    fabric = handled(A)
    definition = replace(fabric.subscription.definition, name="audit")
    other = replace(fabric.subscription, name="audit", definition=definition)
    with raises_with(ReplayRefusedError, "--key", "without --into"):
        replay_of(fabric, into=other).plan(None, key=A, lane=lane(0))


def test_a_batch_that_stands_in_two_lanes_is_handed_out_once_more_and_not_twice() -> None:
    fabric = SubscribedStream(deliver="one")
    batch, other = batch_of([event("a", key=A)], BATCH), lane(0, AWAY)
    now_ms = fabric.clock.now_ms()
    assert (
        fabric.origin_log.append(record_at(EMPTY_TAIL, LANE, batch, now_ms=now_ms, retention_seconds=None))
        is None
    )
    copy = replace(batch, note=Note(LANE, SequenceNumber(0)))
    there = fabric.cloud.log(STREAM, AWAY)
    assert there.append(record_at(EMPTY_TAIL, other, copy, now_ms=now_ms, retention_seconds=None)) is None
    fabric.cloud.replicate()
    fabric.deliver()
    fabric.deliver(other)
    replay(fabric, 0, key=A)
    fabric.deliver()
    fabric.deliver(other)
    assert fabric.recorder.ids() == ["a", "a"]
