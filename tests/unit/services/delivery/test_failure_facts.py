"""Failures in a parked key where events lack something, or handlers say what cannot be stored."""

from dataclasses import replace

from eventfabric.model import Event
from eventfabric.services.delivery.retry import EXPIRED
from tests.support.failing_handlers import BadOrder, retry
from tests.unit.services.delivery.test_retry_policy import NOW_MS, PLACE, park, policy, raised

UNNAMED = Event(type="paid", key="k", source="/t", time="2026-11-01T00:00:00Z")


def test_an_event_without_an_id_is_reported_as_such() -> None:
    failed = policy().park(UNNAMED, PLACE, raised(BadOrder("no")), None, now_ms=NOW_MS, excused=False)
    assert (failed.failure.event_id, failed.failure.event_type) == ("", "paid")
    gone = policy().without_attempt(
        "k", "k/k", PLACE, None, event=UNNAMED, kind=EXPIRED, crashes=0, now_ms=NOW_MS
    )
    assert (gone.failure.event_id, gone.failure.event_type) == ("", "paid")


def test_a_first_wait_is_no_shorter_where_fewer_tries_than_those_at_once_were_made() -> None:
    by = policy(**retry(immediate=2, attempts=9, backoff_seconds=1.0))
    assert park(raised(BadOrder("no"), tries=1), by=by).due_ms == NOW_MS + 500


def test_a_trace_can_be_stored_whatever_the_handler_said() -> None:
    failure = park(raised(BadOrder("half a \ud83d pair"))).failure
    for text in (failure.trace, failure.message):
        assert "half a" in text
        assert text.encode()


def test_without_order_an_event_waits_under_its_own_sequence() -> None:
    by = policy(order="none")
    second = replace(PLACE, sequence=PLACE.base)
    assert [by.parking_id(UNNAMED.key, place) for place in (PLACE, second)] == ["s/4", "s/3"]
