"""Failures that a parked key records of its first event, by their kind, and the time of its next attempt."""

from dataclasses import replace
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.errors import HandlerError, LateEventError, UndecodablePayloadError, UnknownStepError
from eventfabric.model import Event, Failure, Parked, ParkedState, Place, SequenceNumber
from eventfabric.services.delivery.retry import (
    CRASHED,
    EXPIRED,
    Failed,
    RefusedWriteError,
    RetryPolicy,
    dead,
)
from tests.support.failing_handlers import BAD_ORDER, BadOrder, WorseOrder, retry
from tests.support.memory_fabric import event
from tests.support.messages import TextWith
from tests.support.subscribed_stream import SUBSCRIPTION, topology

PLACE = Place(SequenceNumber(3), SequenceNumber(4))
NOW_MS = 50_000
HOUR_MS = 3_600_000
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Drawn:
    """Entropy that draws what it is told."""

    def __init__(self, fraction: float) -> None:
        self._fraction = fraction

    def bytes(self, count: int) -> bytes:
        return bytes(count)

    def fraction(self) -> float:
        return self._fraction


def policy(fraction: float = 0.5, **settings: Any) -> RetryPolicy:
    definition = topology(**settings).subscription(SUBSCRIPTION).definition
    return RetryPolicy(definition, entropy=Drawn(fraction), code_version="17")


def raised(error: Exception, tries: int = 1) -> Failed:
    """Return a failure as it comes out of a handler, with its traceback."""
    try:
        raise error
    except Exception as caught:  # whatever it is
        return Failed(caught, tries)


def failing() -> Event:
    return Event(
        type="paid",
        key="k",
        id="e1",
        source="/t",
        time="2026-11-01T00:00:00Z",
        headers={"traceparent": TRACEPARENT},
    )


def known(**failure: Any) -> Parked:
    """A key that failed before."""
    before = Failure(
        BAD_ORDER, "no", "its trace", "", 3, 2, 10_000, 20_000, "16", "its trace id", "e1", "paid"
    )
    return Parked(
        "k/k",
        "k",
        ParkedState.RETRYING,
        (PLACE, Place(SequenceNumber(3), SequenceNumber(5))),
        30_000,
        replace(before, **failure),
        attempting=True,
        replacement=b"edited",
        version=6,
    )


def park(
    failed: Failed, before: Parked | None = None, *, excused: bool = False, by: RetryPolicy | None = None
) -> Parked:
    return (by or policy()).park(failing(), PLACE, failed, before, now_ms=NOW_MS, excused=excused)


class TestFailed:
    def test_a_first_failure_says_all_that_is_known_of_it(self) -> None:
        parked = park(raised(BadOrder("wrong sum"), tries=3))
        assert (parked.id, parked.key, parked.state) == ("k/k", "k", ParkedState.RETRYING)
        assert (parked.waiting, parked.replacement, parked.version) == ((PLACE,), None, 0)
        failure = parked.failure
        assert (failure.error_type, failure.message, failure.hint) == (BAD_ORDER, "wrong sum", "")
        assert (failure.attempts, failure.crashes) == (3, 0)
        assert (failure.first_ms, failure.last_ms) == (NOW_MS, NOW_MS)
        assert (failure.code_version, failure.trace_id) == ("17", TRACEPARENT)
        assert (failure.event_id, failure.event_type) == ("e1", "paid")

    def test_the_trace_is_the_end_of_the_handlers_own(self) -> None:
        trace = park(raised(BadOrder("wrong sum"))).failure.trace
        assert trace.startswith("Traceback (most recent call last):\n  File ")
        assert trace.endswith("BadOrder: wrong sum\n")
        long = park(raised(BadOrder("x" * 10_000 + "!"))).failure
        assert (len(long.trace), long.trace[-2:]) == (limits.FAILURE_CHARACTERS_MAX["trace"], "!\n")
        assert len(long.message) == limits.FAILURE_CHARACTERS_MAX["message"]

    def test_a_further_failure_adds_to_what_was_before(self) -> None:
        before = known()
        parked = park(raised(WorseOrder("worse")), before)
        assert (parked.id, parked.waiting) == (before.id, before.waiting)
        assert (parked.replacement, parked.version, parked.attempting) == (b"edited", 6, False)
        failure = parked.failure
        assert (failure.attempts, failure.crashes) == (4, 2)
        assert (failure.first_ms, failure.last_ms) == (10_000, NOW_MS)
        assert (failure.message, failure.code_version) == ("worse", "17")

    def test_failures_of_an_outage_count_for_nothing(self) -> None:
        failure = park(raised(BadOrder("no"), tries=2), known(), excused=True).failure
        assert (failure.attempts, failure.crashes, failure.first_ms) == (2, 2, 10_000)

    def test_what_the_key_says_of_the_event_before_is_not_the_next_events(self) -> None:
        moved_up = known().without_first()
        failure = park(raised(BadOrder("no")), moved_up).failure
        assert (failure.attempts, failure.crashes, failure.first_ms) == (1, 0, NOW_MS)

    def test_crashes_are_the_next_events_though_the_key_does_not_name_it_yet(self) -> None:
        crashed = known().without_first()
        assert crashed is not None
        crashed = replace(crashed, failure=replace(crashed.failure, crashes=6))
        assert park(raised(BadOrder("no")), crashed).failure.crashes == 6

    def test_since_when_it_fails_counts_from_the_first_failure_that_counts(self) -> None:
        """An outage is told by what was handled since; what was no fault of the event before says nothing of it."""
        uncounted = known(attempts=0, crashes=0)
        assert park(raised(BadOrder("no"), tries=0), uncounted).failure.first_ms == 10_000
        assert park(raised(BadOrder("no")), uncounted).failure.first_ms == NOW_MS
        assert park(raised(BadOrder("no"), tries=0), known()).failure.first_ms == 10_000

    def test_an_event_without_a_trace_has_none(self) -> None:
        parked = policy().park(event("e"), PLACE, raised(BadOrder("no")), None, now_ms=NOW_MS, excused=False)
        assert parked.failure.trace_id == ""

    @pytest.mark.parametrize(
        ("error", "hint"),
        [
            (WorseOrder("no"), "declared permanent"),
            (UndecodablePayloadError("bytes"), "of a type"),
            (HandlerError("takes an Order"), "mend it, deploy, then redrive"),
            (UnknownStepError("charge", "e1"), "eventfabric steps settle"),
        ],
    )
    def test_what_no_further_attempt_can_mend_is_dead_at_once_and_says_what_to_do(
        self, error: Exception, hint: str
    ) -> None:
        declared = f"{UnknownStepError.__module__}:{UnknownStepError.__qualname__}"
        by = policy(**retry(permanent=[BAD_ORDER, declared]))
        parked = park(raised(error), by=by)
        assert (parked.state, parked.due_ms) == (ParkedState.DEAD, 0)
        assert hint in parked.failure.hint

    def test_a_late_event_says_that_it_is_to_be_compared(self) -> None:
        assert "compare them" in park(raised(LateEventError("late"), tries=0)).failure.hint

    def test_a_refused_write_says_what_dynamodb_said(self) -> None:
        error = RefusedWriteError("ConditionalCheckFailed", "The conditional request failed")
        assert (error.code, str(error)) == (
            "ConditionalCheckFailed",
            "ConditionalCheckFailed: The conditional request failed",
        )
        assert str(RefusedWriteError("ThrottlingError", "")) == "ThrottlingError"


class TestDue:
    @pytest.mark.parametrize(
        ("attempts", "most_seconds"), [(3, 1), (4, 2), (5, 4), (7, 16), (9, 20), (99, 20)]
    )
    def test_the_wait_doubles_with_each_attempt_after_those_at_once_up_to_its_bound(
        self, attempts: int, most_seconds: int
    ) -> None:
        by = policy(**retry(immediate=2, attempts=100, backoff_seconds=1.0, backoff_max_seconds=20.0))
        parked = park(raised(BadOrder("no"), tries=attempts), by=by)
        assert parked.due_ms == NOW_MS + 500 * most_seconds

    def test_it_is_drawn_from_nothing_on_and_is_never_nothing(self) -> None:
        assert park(raised(BadOrder("no")), by=policy(0.0)).due_ms == NOW_MS + 1

    @pytest.mark.parametrize(
        ("first_ms", "most_seconds", "backoff_max_seconds"),
        [(NOW_MS, 1, 900.0), (10_000, 10, 900.0), (10_000, 5, 5.0), (NOW_MS - 9 * HOUR_MS, 60, 900.0)],
    )
    def test_what_is_not_its_doing_is_tried_more_seldom_the_longer_it_lasts(
        self, first_ms: int, most_seconds: int, backoff_max_seconds: float
    ) -> None:
        by = policy(
            **retry(immediate=2, attempts=8, backoff_seconds=1.0, backoff_max_seconds=backoff_max_seconds)
        )
        before = known(attempts=0, crashes=0, first_ms=first_ms)
        parked = park(raised(BadOrder("no"), tries=0), before, by=by)
        assert (parked.failure.attempts, parked.failure.first_ms) == (0, first_ms)
        assert parked.due_ms == NOW_MS + 500 * most_seconds
        assert park(raised(BadOrder("no"), tries=1), before, by=by).due_ms == NOW_MS + 500

    def test_fewer_attempts_than_tries_at_once_are_all_tried_at_once(self) -> None:
        assert policy(**retry(immediate=5, attempts=3)).tries_at_once == 3
        assert policy(**retry(immediate=2, attempts=9)).tries_at_once == 3


class TestDead:
    def test_one_whose_attempts_are_used_up_says_how_many_in_which_time(self) -> None:
        spent = known(attempts=8, first_ms=1_000, last_ms=3_601_400)
        by = policy(**retry(attempts=8))
        assert by.is_used_up(spent)
        assert not by.is_used_up(known(attempts=7))
        parked = by.used_up(spent)
        assert parked.failure.hint == TextWith("8 times", "3600 s", "redrive")
        failure = replace(spent.failure, hint=parked.failure.hint)
        assert parked == replace(spent, state=ParkedState.DEAD, due_ms=0, failure=failure)

    def without_attempt(
        self, before: Parked | None, *, event: Event | None = None, kind: str = CRASHED, crashes: int = 8
    ) -> Parked:
        return policy().without_attempt(
            "k", "k/k", PLACE, before, event=event, kind=kind, crashes=crashes, now_ms=NOW_MS
        )

    def test_one_that_crashed_each_time_says_so(self) -> None:
        parked = self.without_attempt(None, event=failing())
        assert parked == Parked(
            "k/k",
            "k",
            ParkedState.DEAD,
            (PLACE,),
            0,
            Failure(
                CRASHED,
                TextWith("8 attempts"),
                "",
                parked.failure.hint,
                0,
                8,
                NOW_MS,
                NOW_MS,
                "17",
                TRACEPARENT,
                "e1",
                "paid",
            ),
        )
        assert "memory" in parked.failure.hint

    def test_one_that_failed_too_keeps_what_is_known_of_that(self) -> None:
        before = known()
        parked = self.without_attempt(before, event=failing())
        assert (parked.waiting, parked.replacement, parked.version) == (before.waiting, b"edited", 6)
        failure = parked.failure
        assert (failure.attempts, failure.crashes, failure.trace) == (3, 8, "its trace")
        assert (failure.first_ms, failure.last_ms) == (10_000, NOW_MS)

    def test_one_that_only_crashed_has_no_trace_but_its_history(self) -> None:
        failure = self.without_attempt(known(attempts=0)).failure
        assert (failure.attempts, failure.trace, failure.first_ms) == (0, "", 10_000)

    def test_one_whose_record_is_gone_is_named_as_far_as_its_key_knows(self) -> None:
        failure = self.without_attempt(known(), kind=EXPIRED, crashes=0).failure
        assert failure.message == failure.hint == TextWith("record", "no longer in the log", "discard")
        assert (failure.event_id, failure.event_type, failure.trace_id) == ("e1", "paid", "its trace id")
        unnamed = self.without_attempt(None, kind=EXPIRED, crashes=0)
        assert (unnamed.version, unnamed.replacement, unnamed.due_ms) == (0, None, 0)
        failure = unnamed.failure
        assert (failure.event_id, failure.event_type, failure.trace_id) == ("", "", "")

    def test_it_waits_for_somebody_and_for_no_time(self) -> None:
        parked = dead(known(), "why")
        assert (parked.state, parked.due_ms, parked.failure.hint) == (ParkedState.DEAD, 0, "why")
        assert not parked.is_due(10**15)
