"""A lane of declarations as one process knows it: when it is read, and for how long what was read holds."""

from math import inf
from threading import Event, Thread
from typing import Any

import pytest

from eventfabric.errors import ThrottledError
from eventfabric.model import DeclarationLane, Recent, StreamName
from eventfabric.model.catalogue import Declared
from eventfabric.ports import Log
from eventfabric.services.catalogue import known
from eventfabric.services.catalogue.known import (
    CATALOGUE_SECONDS,
    PAUSE_SECONDS,
    STALE_SECONDS_MAX,
    KnownDeclaration,
)
from eventfabric.services.catalogue.lane import newest
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash
from tests.support.memory_fabric import HOME, STREAM, MemoryFabric
from tests.support.subscribed_stream import SubscribedStream

OWN = DeclarationLane.of(HOME, StreamName(STREAM))


class Known:
    """Knowledge of a process whose reads fail while the test says so."""

    def __init__(self, *, stale_seconds_max: float = STALE_SECONDS_MAX, declared: bool = True) -> None:
        self.fabric: MemoryFabric = SubscribedStream()
        if declared:
            self.fabric.declare()
        self.fails = False
        self.faults = Faults(lambda *_: Fault.THROTTLED if self.fails else None)
        log = self.faults.log(self.fabric.ports().log_of(self.fabric.stream))
        self.clock = self.fabric.clock
        self.known = KnownDeclaration(log, OWN, self.clock, stale_seconds_max=stale_seconds_max)

    def now(self, seconds: float = 0) -> Declared | None:
        """Return what is known after that time."""
        self.clock.advance(seconds=seconds)
        return self.known.now()

    @property
    def reads(self) -> int:
        return self.faults.count("log.tail")

    def refuses(self, seconds: float = 0) -> bool:
        """Tell if nothing holds any more after that time."""
        self.clock.advance(seconds=seconds)
        try:
            self.known.now()
        except ThrottledError:
            return True
        return False


def test_it_is_read_once_and_again_after_a_minute() -> None:
    known = Known(declared=False)
    assert known.now() is None
    known.fabric.declare()
    assert known.now(CATALOGUE_SECONDS - 1) is None
    assert known.reads == 1
    assert known.now(1) == newest(known.fabric.ports().log_of(known.fabric.stream), OWN)
    assert known.reads == 2


def test_it_is_read_anew_where_it_seems_out_of_date_but_once_a_second_at_most() -> None:
    known = Known(declared=False)
    known.known.forget()
    assert known.now() is None
    known.fabric.declare()
    for _ in range(100):
        known.known.forget()
        assert known.now() is None
    assert known.now(PAUSE_SECONDS) is not None
    assert known.reads == 2


def test_what_is_known_holds_while_it_cannot_be_read_anew_and_is_tried_once_a_minute() -> None:
    known = Known(stale_seconds_max=inf)
    first = known.now()
    known.fails = True
    for _ in range(3):
        assert known.now(CATALOGUE_SECONDS) is first
        assert known.now(CATALOGUE_SECONDS - 1) is first
        assert known.now(1) is first
    assert known.reads == 1 + 3 * 2


@pytest.mark.parametrize("failed_at", [60, 179.5])
def test_what_is_known_holds_no_longer_than_it_may_whenever_reading_it_failed(failed_at: float) -> None:
    known = Known()
    first = known.now()
    known.fails = True
    assert known.now(failed_at) is first
    assert known.now(STALE_SECONDS_MAX - failed_at - 0.1) is first
    assert known.refuses(0.1)
    known.fails = False
    assert known.now(PAUSE_SECONDS) == first


@pytest.mark.parametrize("declared", [False, True])
def test_while_reads_fail_and_nothing_holds_it_is_refused_with_one_call_a_second(declared: bool) -> None:
    known = Known()
    if declared:
        known.now()
    before, known.fails = known.reads, True
    assert all(known.refuses(200 if number == 0 else 0) for number in range(100))
    assert known.reads == before + 1
    assert known.refuses(PAUSE_SECONDS)
    assert known.reads == before + 2
    known.fails = False
    assert known.now(PAUSE_SECONDS) is not None


def test_a_clock_that_is_set_back_has_it_read_anew_and_takes_nothing_away() -> None:
    known = Known()
    first = known.now()
    known.fails = True
    known.clock.set_back(3600)
    assert known.now() is first
    assert known.reads == 2
    assert known.now(STALE_SECONDS_MAX - 1) is first
    assert known.refuses(1)


def test_a_process_that_was_frozen_goes_by_nothing_that_is_too_old() -> None:
    known = Known()
    known.now()
    known.fails = True
    known.clock.set_back(-STALE_SECONDS_MAX)  # the wall clock alone went on
    assert known.refuses()


def test_what_was_read_slowly_is_as_old_as_the_read() -> None:
    known = Known()

    def slow(*_: object) -> None:
        known.clock.advance(seconds=10)

    known.faults.rules.append(slow)
    known.now()
    known.faults.rules.remove(slow)
    known.fails = True
    assert known.refuses(STALE_SECONDS_MAX - 10)


def test_a_signal_that_interrupts_a_read_keeps_nobody_from_reading_later() -> None:
    known = Known(stale_seconds_max=inf)
    known.now()
    known.faults.rules.append(lambda name, number, of_name: Fault.CRASH_BEFORE if of_name == 2 else None)
    with pytest.raises(SimulatedCrash):
        known.now(CATALOGUE_SECONDS)
    assert known.now() is not None
    assert known.reads == 3


class _Slow:
    """A log whose first read gets no reply until `replies` is set, and fails then; `is_down`: all others fail, too."""

    def __init__(self, log: Log) -> None:
        self._log, self._reads, self.is_down = log, 0, False
        self.began, self.replies = Event(), Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def recent(self, *arguments: Any, **options: Any) -> Recent:
        self._reads += 1
        if self._reads == 1:
            self.began.set()
            assert self.replies.wait(20)
        if self._reads == 1 or self.is_down:
            raise ThrottledError("read", "no reply")
        return self._log.recent(*arguments, **options)


def test_a_slow_read_that_fails_forgets_nothing_that_another_thread_has_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known, "READ_SECONDS", 0.01)
    own, failed = Known(), list[Exception]()
    slow = _Slow(own.fabric.ports().log_of(own.fabric.stream))
    shared = KnownDeclaration(slow, OWN, own.clock, stale_seconds_max=STALE_SECONDS_MAX)

    def first() -> None:
        try:
            shared.now()
        except ThrottledError as error:
            failed.append(error)

    thread = Thread(target=first)
    thread.start()
    assert slow.began.wait(20)
    assert shared.now() is not None
    slow.is_down = True
    slow.replies.set()
    thread.join(20)
    own.clock.advance(seconds=2 * PAUSE_SECONDS)
    assert shared.now() is not None
