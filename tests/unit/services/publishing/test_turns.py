"""Threads of one process that write to one lane take turns, in the order in which they came."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from math import inf
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any, TypeVar

import pytest

from eventfabric import deadline
from eventfabric.deadline import call_within, seconds_left
from eventfabric.errors import ContendedAppendError
from eventfabric.model import GENERATION_FIRST, Lane, LaneIndex
from eventfabric.services.publishing import append as append_module
from eventfabric.services.publishing import turns as turns_module
from eventfabric.services.publishing.turns import Turns
from eventfabric.testing.memory.faults import Faults
from tests.support.interruptions import interrupted
from tests.support.memory_fabric import HOME, LANE, batch_of, event
from tests.support.subscribed_stream import SubscribedStream

OTHER = Lane(HOME, GENERATION_FIRST, LaneIndex(1))
SECONDS = 10
T = TypeVar("T")
HELD = Lock()
HELD.acquire()


def elsewhere(call: Callable[..., T], *arguments: Any) -> T:
    """Return the result of a call in another thread."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(call, *arguments).result(SECONDS)


@contextmanager
def turn_of(turns: Turns, lane: Lane, timeout_seconds: float) -> Iterator[bool]:
    """Take a turn in the lane, as an append does; yields whether it came."""
    turn, inside = turns.of(lane), Lock()
    with inside:
        try:
            yield turn.take(inside, timeout_seconds)
        finally:
            turn.pass_on()


def queued(turns: Turns, number: int) -> None:
    """Wait until so many wait for the lane."""
    while len(turns.of(LANE)._waiting) < number:
        Flag().wait(0.001)


def test_who_waits_goes_on_in_the_order_in_which_they_came() -> None:
    turns, order = Turns(), []

    def take(number: int) -> None:
        with turn_of(turns, LANE, SECONDS) as has_turn:
            assert has_turn
            order.append(number)

    with turn_of(turns, LANE, SECONDS):
        threads = []
        for number in range(5):
            threads.append(Thread(target=take, args=(number,)))
            threads[-1].start()
            queued(turns, number + 1)
    for thread in threads:
        thread.join(SECONDS)
    assert order == [0, 1, 2, 3, 4]
    assert turns.of(LANE).take(HELD, 0)


def test_who_passes_a_turn_on_and_asks_again_is_behind_those_who_wait() -> None:
    turns, order = Turns(), []

    def take() -> None:
        with turn_of(turns, LANE, SECONDS):
            order.append("other")

    with turn_of(turns, LANE, SECONDS):
        thread = Thread(target=take)
        thread.start()
        queued(turns, 1)
    with turn_of(turns, LANE, SECONDS):
        order.append("again")
    thread.join(SECONDS)
    assert order == ["other", "again"]


def test_lanes_do_not_wait_for_one_another() -> None:
    turns = Turns()
    with turn_of(turns, LANE, SECONDS) as first, turn_of(turns, OTHER, 0) as second:
        assert (first, second) == (True, True)


def test_a_turn_that_does_not_come_in_time_is_none_and_holds_up_nobody() -> None:
    turns = Turns()
    with turn_of(turns, LANE, SECONDS):
        assert not elsewhere(turns.of(LANE).take, HELD, 0)
        assert turns.of(LANE)._waiting == []
    assert elsewhere(turns.of(LANE).take, HELD, 0)


def test_who_is_interrupted_while_waiting_leaves_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def acquire(self, **options: Any) -> bool:
            if options:
                raise KeyboardInterrupt
            return True

    turns = Turns()
    with turn_of(turns, LANE, SECONDS):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr("eventfabric.services.publishing.turns.Lock", Interrupted)
            elsewhere(turns.of(LANE).take, HELD, SECONDS)
        assert turns.of(LANE)._waiting == []
    assert elsewhere(turns.of(LANE).take, HELD, 0)


def test_a_thread_that_has_the_turn_takes_it_again_and_nobody_elses_is_passed_on() -> None:
    turn = Turns().of(LANE)
    assert turn.take(HELD, 0)
    assert turn.take(HELD, 0)
    turn.pass_on()  # of what interrupted an append
    with ThreadPoolExecutor(1) as other:
        assert other.submit(turn.take, HELD, 0).result(SECONDS)
        turn.pass_on()  # of the append
        assert not turn.take(HELD, 0)
        other.submit(turn.pass_on).result(SECONDS)
    assert turn.take(HELD, 0)


def test_wherever_an_append_is_interrupted_others_append_and_no_call_is_bounded() -> None:
    """At each line in turn, in a fabric for each."""
    number, reached = 0, True
    while reached:
        number += 1
        fabric = SubscribedStream()
        appender = fabric.appender(timeout_seconds=5)
        append = partial(appender.append, LANE, batch_of([event("first")], b"1" * 16))
        reached = interrupted(number, append, (append_module, turns_module, deadline))
        assert seconds_left() == inf
        elsewhere(appender.append, LANE, batch_of([event("second")], b"2" * 16))
        assert fabric.logged_ids() in (["second"], ["first", "second"])
    assert number > 30


def test_a_failure_in_a_turn_passes_it_on() -> None:
    turns = Turns()
    with pytest.raises(LookupError), turn_of(turns, LANE, 0):
        raise LookupError
    with turn_of(turns, LANE, 0) as has_turn:
        assert has_turn


def test_a_forked_child_begins_without_the_turns_of_its_parent() -> None:
    turns = Turns()
    with turn_of(turns, LANE, SECONDS):
        turns._begin()  # as in a child that was forked in the middle
        with turn_of(turns, LANE, 0) as has_turn:
            assert has_turn
    assert turns.of(LANE).take(HELD, 0)


def test_threads_that_share_an_appender_never_meet_one_another_in_a_lane() -> None:
    fabric, calls = SubscribedStream(), Faults()
    appender = fabric.appender(faults=calls)
    with ThreadPoolExecutor(8) as pool:
        batches = [batch_of([event(f"e{number}")], f"{number}".encode().ljust(16)) for number in range(80)]
        records = list(pool.map(lambda batch: appender.append(LANE, batch), batches))
    assert sorted(record.sequence for record in records) == list(range(80))
    assert (calls.count("log.append"), calls.count("log.tail")) == (80, 1)


def test_an_append_whose_turn_does_not_come_in_time_is_not_written_and_says_so() -> None:
    fabric = SubscribedStream()
    appender = fabric.appender(timeout_seconds=0.01)
    assert elsewhere(appender._turns.of(LANE).take, HELD, 0)
    with pytest.raises(ContendedAppendError, match="other publishers wrote there first"):
        appender.append(LANE, batch_of([event("late")], bytes(16)))
    assert fabric.logged_ids() == []


def test_an_append_for_which_no_time_is_left_fails_and_does_not_wait() -> None:
    fabric = SubscribedStream()
    appender = fabric.appender()
    assert elsewhere(appender._turns.of(LANE).take, HELD, 0)
    with pytest.raises(ContendedAppendError, match="after 0 ms"):
        call_within(-5, appender.append, LANE, batch_of([event("late")], bytes(16)))
