"""Events that wait in a key that was taken over: which have expired, and which are still to come."""

import pytest

from eventfabric import limits
from eventfabric.model import ParkedState
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.wire.keys import record_key
from tests.support.failing_handlers import FEW, Failing, fabric_of, named
from tests.support.handovers import hand_over
from tests.support.log_lines import record_telemetry
from tests.support.memory_fabric import AWAY, LANE, event
from tests.support.subscribed_stream import SubscribedStream

DAYS = 4
KEPT_MS = DAYS * 86_400_000
SETTLED_MS = 1000 * limits.STREAM_RETENTION_SECONDS
HANDED_OVER_MS = 1000 * limits.CIRCUIT_CACHE_SECONDS


def handed_over(
    *missing: int, a1_age_ms: int, b1_age_ms: int, retention_days: int = DAYS
) -> SubscribedStream:
    """x1, a1 (which failed and waits) and b1, of these ages; AWAY took over, where records are missing."""
    fabric = fabric_of(Failing({"a1": 99}), *named("x1", "a1"), retention_days=retention_days, **FEW)
    fabric.deliver()
    fabric.clock.advance((a1_age_ms - b1_age_ms) / 1000)
    fabric.put(event("b1", key="b"))
    fabric.deliver(tail=3, time_ms=0)
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    for sequence in missing:
        away.table.write("Delete", {"Key": record_key(LANE, sequence)})
    hand_over(away)
    fabric.cloud.replicate()
    fabric.clock.advance((b1_age_ms - HANDED_OVER_MS) / 1000)
    return away


def state_of_a1(away: SubscribedStream) -> ParkedState:
    """Deliver, which never attempts it, and return its state."""
    away.deliver(tail=0)
    assert "a1" not in away.recorder.ids()
    (parked,) = away.parked().values()
    return parked.state


@pytest.mark.parametrize(
    ("a1_age_ms", "b1_age_ms", "state"),
    [
        (KEPT_MS + 1, SETTLED_MS, ParkedState.DEAD),
        (KEPT_MS, SETTLED_MS, ParkedState.RETRYING),
        (KEPT_MS + 1, SETTLED_MS - 1, ParkedState.RETRYING),
    ],
    ids=["expired", "may be kept still", "may come still"],
)
def test_it_has_expired_where_it_is_too_old_and_nothing_can_come_before_the_next(
    a1_age_ms: int, b1_age_ms: int, state: ParkedState
) -> None:
    assert state_of_a1(handed_over(1, a1_age_ms=a1_age_ms, b1_age_ms=b1_age_ms)) is state


def test_so_it_has_where_the_record_before_it_is_gone_too() -> None:
    assert state_of_a1(handed_over(0, 1, a1_age_ms=2 * SETTLED_MS, b1_age_ms=SETTLED_MS)) is ParkedState.DEAD


def test_where_nothing_is_here_behind_it_it_is_still_to_come() -> None:
    away = handed_over(1, 2, a1_age_ms=3 * KEPT_MS, b1_age_ms=2 * KEPT_MS)
    assert state_of_a1(away) is ParkedState.RETRYING


def test_where_everything_is_kept_it_is_still_to_come_however_old_it_is() -> None:
    away = handed_over(1, a1_age_ms=3 * KEPT_MS, b1_age_ms=2 * KEPT_MS, retention_days=0)
    assert state_of_a1(away) is ParkedState.RETRYING


def test_one_that_is_still_to_come_costs_no_attempt_no_write_and_no_letter() -> None:
    away = handed_over(1, a1_age_ms=2 * SETTLED_MS, b1_age_ms=HANDED_OVER_MS)
    assert away.deliver().outcome is LaneOutcome.DELIVERED
    before, cursor = away.parked(), away.cursor()
    telemetry = record_telemetry(away)
    assert away.deliver(tail=0).outcome is LaneOutcome.DELIVERED
    assert (away.parked(), away.cursor(), telemetry.lines) == (before, cursor, [])


def test_what_has_expired_is_a_dead_letter_that_says_so_and_keeps_its_history() -> None:
    away = handed_over(1, a1_age_ms=KEPT_MS + 1, b1_age_ms=SETTLED_MS)
    telemetry = record_telemetry(away)
    away.deliver(tail=0)
    (parked,) = away.parked().values()
    failure = parked.failure
    assert (failure.error_type, failure.attempts, failure.event_id) == ("RecordExpired", 1, "a1")
    assert failure.last_ms == away.clock.now_ms()
    assert [place.sequence for place in parked.waiting] == [1]
    (letter,) = telemetry.lines_of(LogEvent.DEAD_LETTER)
    assert letter == {
        "lane": str(LANE),
        "sequence": 1,
        "error_type": "RecordExpired",
        "attempts": 1,
        "crashes": 0,
    }
    assert telemetry.totals[Metric.DEAD_LETTERS] == 1
