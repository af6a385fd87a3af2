"""Several keys of a lane attempted at the same time: what overlaps, what never does, and what is committed of it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from threading import Barrier, Lock, active_count
from typing import Any

import pytest

from eventfabric.limits import AHEAD_EVENTS, CIRCUIT_PROBE_SECONDS
from eventfabric.model import CircuitState, Event
from eventfabric.runtime.threads import Threads
from eventfabric.services.delivery.ahead import AttemptOutcome, attempt_ahead
from eventfabric.services.delivery.endings import OutOfTime
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, nth
from tests.support.failing_handlers import FEW, Failing, breaker, drained, fabric_of, named, waiting
from tests.support.forks import in_a_fork
from tests.support.memory_fabric import LANE
from tests.support.subscribed_stream import SubscribedStream
from tests.unit.services.delivery.test_circuit import breaker_of


class Watching:
    """Knows which keys are in the handler's hands at the same time, and in which order each was there."""

    def __init__(self, *, meet: int = 1) -> None:
        self._lock = Lock()
        self._barrier = Barrier(meet)
        self.inside: set[str] = set()
        self.overlaps: list[str] = []
        self.of_key: defaultdict[str, list[str]] = defaultdict(list)

    def __call__(self, events: Sequence[Event]) -> None:
        (event,) = events
        with self._lock:
            if event.key in self.inside:
                self.overlaps.append(str(event.id))
            self.inside.add(event.key)
            self.of_key[event.key].append(str(event.id))
        self._barrier.wait(10)
        with self._lock:
            self.inside.remove(event.key)


def fabric_with(
    before: Callable[[Sequence[Event]], None], *names: str, concurrency: int = 2, **settings: object
) -> SubscribedStream:
    fabric = fabric_of(Failing({}), **{"concurrency": concurrency, **settings})  # type: ignore[arg-type]  # any setting
    fabric.recorder.before = before
    fabric.put(*named(*names))
    return fabric


def test_keys_are_attempted_at_the_same_time_and_the_events_of_a_key_one_after_another() -> None:
    watching = Watching(meet=2)  # returns only where two are in it together
    fabric = fabric_with(watching, "a1", "a2", "b1", "a3", "b2", "b3")
    result = fabric.deliver(by=fabric.deliverer(side_by_side=Threads(2)))
    assert (result.outcome, fabric.cursor().sequence) == (LaneOutcome.DELIVERED, 6)
    assert (watching.overlaps, watching.of_key) == ([], {"a": ["a1", "a2", "a3"], "b": ["b1", "b2", "b3"]})


def test_as_many_as_the_subscription_wants_and_no_more() -> None:
    watching = Watching(meet=3)
    most: list[int] = []

    def before(events: Sequence[Event]) -> None:
        watching(events)
        most.append(len(watching.inside))

    fabric = fabric_with(before, "a1", "b1", "c1", "d1", "e1", "f1", concurrency=3)
    fabric.deliver(by=fabric.deliverer(side_by_side=Threads(3)))
    assert max(most) <= 2  # besides the one that looks
    assert sorted(fabric.recorder.ids()) == ["a1", "b1", "c1", "d1", "e1", "f1"]


def test_one_write_commits_all_of_it() -> None:
    fabric, faults = fabric_with(lambda events: None, "a1", "b1", "a2", "c1"), Faults()
    fabric.deliver(by=fabric.deliverer(faults=faults))
    assert (faults.count("ledger.commit"), fabric.cursor().sequence) == (1, 4)


def test_a_key_that_fails_is_parked_with_what_is_behind_it_and_the_others_are_committed() -> None:
    failing = Failing({"a1": 1})
    fabric = fabric_with(failing, "a1", "b1", "a2", "c1", "b2", **FEW)
    fabric.deliver()
    assert (waiting(fabric, "a"), fabric.cursor().sequence) == ([0, 2], 5)
    assert "a2" not in failing.tried
    drained(fabric)
    assert sorted(fabric.recorder.ids()) == ["a1", "a2", "b1", "b2", "c1"]
    assert [id_ for id_ in fabric.recorder.ids() if id_[0] == "a"] == ["a1", "a2"]


def test_without_order_the_events_of_a_key_are_side_by_side_too() -> None:
    barrier = Barrier(2)

    def meet(events: Sequence[Event]) -> None:
        barrier.wait(10)

    fabric = fabric_with(meet, "a1", "a2", order="none")
    fabric.deliver(by=fabric.deliverer(side_by_side=Threads(2)))
    assert sorted(fabric.recorder.ids()) == ["a1", "a2"]


def test_exactly_once_commits_what_one_event_of_a_key_wrote_before_the_next_is_attempted() -> None:
    committed: list[tuple[str, int]] = []
    fabric = fabric_with(lambda events: None, "a1", "b1", "a2", "c1", guarantee="exactly_once")
    fabric.recorder.before = lambda events: committed.append((str(events[0].id), fabric.cursor().sequence))
    fabric.deliver()
    assert sorted(committed) == [("a1", 0), ("a2", 2), ("b1", 0), ("c1", 2)]
    assert fabric.effects() == {"a1": 1, "b1": 1, "a2": 1, "c1": 1}


def test_at_most_once_goes_on_behind_an_event_that_is_dropped() -> None:
    failing = Failing({"a1": 9})
    fabric = fabric_with(failing, "z1", "a1", "a2", "b1", guarantee="at_most_once")
    fabric.deliver()
    assert sorted(fabric.recorder.ids()) == ["a2", "b1", "z1"]
    assert failing.tried.count("a1") == 1
    assert fabric.cursor().sequence == 4


@pytest.mark.parametrize("settings", [{}, {"guarantee": "at_most_once"}])
def test_after_a_crash_events_go_one_by_one(settings: dict[str, Any]) -> None:
    fabric = fabric_with(lambda events: None, "a1", "b1", "c1", **settings)
    calls: list[int] = []
    deliverer = fabric.deliverer(side_by_side=lambda given: calls.append(len(given)))
    fabric.run_dies()
    while fabric.cursor().sequence < (3 if not settings else 1):
        deadline_ms = fabric.clock.now_ms() + 60_000
        deliverer.deliver(fabric.bell(), deadline_ms=deadline_ms, receive_count=2)
    assert (calls, fabric.recorder.ids()[:1]) == ([], ["a1"])


def test_what_was_handled_beside_the_failure_that_opens_the_circuit_is_not_handled_again() -> None:
    failing = Failing({"a1": 1, "b1": 1})
    settings = {**FEW, **breaker(parked_keys=2, failure_ratio=1.0)}
    fabric = fabric_with(failing, "a1", "b1", "c1", "d1", concurrency=4, **settings)
    assert fabric.deliver().outcome is LaneOutcome.WAITING
    assert (fabric.cursor().sequence, fabric.recorder.ids()) == (4, ["c1", "d1"])
    standing = fabric.cloud.ledger(LANE.origin).standing(
        fabric.key_of(LANE).stream, fabric.key_of(LANE).subscription
    )
    assert standing.circuit.state is CircuitState.OPEN
    drained(fabric)
    assert sorted(fabric.recorder.ids()) == ["a1", "b1", "c1", "d1"]


def test_where_time_runs_out_the_unbroken_prefix_is_committed() -> None:
    fabric = fabric_with(lambda events: None, "a1", "a2", "b1")
    fabric.recorder.before = lambda events: fabric.clock.advance(6)
    fabric.deliver(time_ms=10_000)
    assert fabric.cursor().sequence == len([id_ for id_ in fabric.recorder.ids() if id_ == "a1"])
    drained(fabric)
    assert [id_ for id_ in fabric.recorder.ids() if id_[0] == "a"] == ["a1", "a2"]


def test_so_many_events_are_attempted_before_the_first_of_them_is_gone_through() -> None:
    names = [f"{key}1" for key in "abcdefghijklmnopqrstuvwxyz"]
    fabric, sizes = fabric_with(lambda events: None, *names, concurrency=2), list[int]()

    def note(calls: Sequence[Callable[[], None]]) -> None:
        sizes.append(len(calls))
        for call in calls:
            call()

    fabric.deliver(by=fabric.deliverer(side_by_side=note))
    assert sizes == [2 * AHEAD_EVENTS, 26 - 2 * AHEAD_EVENTS]


@pytest.mark.parametrize("batch_events_max", [2, 10])
def test_a_handler_of_several_events_is_called_once_at_a_time(batch_events_max: int) -> None:
    fabric = fabric_of(Failing({}), batch_events_max=batch_events_max, concurrency=4)
    fabric.put(*named("a1", "b1", "c1"))
    fabric.deliver(by=fabric.deliverer(side_by_side=lambda calls: pytest.fail("it was not")))
    assert fabric.recorder.ids() == ["a1", "b1", "c1"]


def test_a_lane_may_be_given_less_than_the_subscription_allows() -> None:
    fabric = fabric_with(lambda events: None, "a1", "b1", "c1", concurrency=4)
    deliverer = fabric.deliverer(side_by_side=lambda calls: pytest.fail("it was not"))
    deliverer.deliver(fabric.bell(), deadline_ms=fabric.clock.now_ms() + 60_000, concurrency=1)
    assert fabric.recorder.ids() == ["a1", "b1", "c1"]


def test_a_probe_goes_one_by_one() -> None:
    failing = Failing({"a1": 9})
    fabric = fabric_with(failing, "a1", "b1", "c1", concurrency=4, **FEW)
    assert breaker_of(fabric).open_for("down")
    fabric.clock.advance(CIRCUIT_PROBE_SECONDS)
    fabric.deliver(by=fabric.deliverer(side_by_side=lambda calls: pytest.fail("it did not")))
    assert failing.tried == ["a1"]


def test_failures_are_counted_try_by_try() -> None:
    fabric = fabric_with(Failing({"a1": 2}), "a1", "b1", **{"retry.immediate": 2, "retry.attempts": 4})
    fabric.deliver()
    assert fabric.telemetry.totals[Metric.EVENTS_FAILED] == 2
    assert fabric.cursor().sequence == 2


def test_a_commit_that_nobody_heard_of_is_known_again_as_ones_own() -> None:
    fabric = fabric_with(lambda events: None, "a1", "b1", guarantee="exactly_once")
    faults = Faults(nth(1, Fault.LOST_REPLY, name="ledger.commit"))
    fabric.deliver(by=fabric.deliverer(faults=faults))
    assert faults.count("ledger.commit") == 2
    assert fabric.effects() == {"a1": 1, "b1": 1}


class TestChains:
    """Attempts at the events of each chain."""

    def test_one_that_runs_out_of_time_stops_there_whatever_else_it_may_do(self) -> None:
        def attempt(index: int) -> AttemptOutcome:
            return OutOfTime() if index == 0 else ()

        for on_failure in (False, True):
            results = attempt_ahead(
                {0: "a", 1: "a", 2: "b"}, attempt, one_after_another, on_failure=on_failure
            )
            assert results == {0: OutOfTime(), 2: ()}

    def test_nothing_to_attempt_is_nothing(self) -> None:
        assert (
            attempt_ahead({}, lambda index: (), lambda calls: pytest.fail("no calls"), on_failure=False) == {}
        )


class TestThreads:
    """The threads of a function."""

    def test_all_calls_end_before_the_error_of_one_is_raised(self) -> None:
        ended: list[int] = []

        def fail() -> None:
            raise LookupError("the first")

        with pytest.raises(LookupError, match="the first"):
            Threads(2)([fail, lambda: ended.append(1), lambda: ended.append(2)])
        assert sorted(ended) == [1, 2]

    def test_they_stay_and_are_no_more_than_asked_for(self) -> None:
        before, threads = active_count(), Threads(2)
        for _ in range(3):
            threads([lambda: None] * 5)
        assert active_count() - before <= 2


def test_a_forked_child_has_threads_of_its_own() -> None:
    threads, calls = Threads(2), [lambda: None] * 2
    threads(calls)
    assert in_a_fork(lambda: threads(calls)) == 0
