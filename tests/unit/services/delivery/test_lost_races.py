"""Visits that lose a race: they commit nothing, look again, and do what is left."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.model import BatchId, Event, Note, Parked, SequenceNumber, record_at
from eventfabric.services.delivery.lane_result import LaneOutcome, LaneResult
from eventfabric.telemetry import Metric
from tests.support.crashing_handlers import again
from tests.support.dead_letters import overtaken
from tests.support.expiry import DAY_SECONDS, aged_fabric, expire
from tests.support.failing_handlers import FEW, Failing, fabric_of, named, retry
from tests.support.memory_fabric import AWAY, LANE, STREAM, batch_of, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import INVOCATION_MS, SubscribedStream
from tests.support.writing_handlers import Writing, refused_write
from tests.unit.services.delivery.test_circuit import breaker_of


def beaten(fabric: SubscribedStream, *, nth: int = 1, tail: int | None = None) -> LaneResult:
    """A delivery that another one, of everything, overtakes at its commit of that number."""
    other = fabric.deliverer()
    faults = overtaken(nth, by=lambda: fabric.deliver(by=other, tail=tail))
    return fabric.deliver(by=fabric.deliverer(faults=faults), tail=tail)


def test_who_decides_second_about_a_noted_batch_takes_what_was_decided() -> None:
    fabric = SubscribedStream()
    away, of = fabric.in_region(AWAY), lane(0, AWAY)
    log = fabric.cloud.log(STREAM, AWAY)
    noted_batch = replace(batch_of([event("a")], BatchId(b"n" * 16)), note=Note(LANE, SequenceNumber(0)))
    record = record_at(log.tail(of), of, noted_batch, now_ms=fabric.clock.now_ms(), retention_seconds=None)
    assert log.append(record) is None
    other = away.deliverer()
    by = away.deliverer(faults=overtaken(1, by=lambda: away.deliver(of, by=other)))
    assert away.deliver(of, by=by) == LaneResult(LaneOutcome.DUPLICATE)
    assert away.recorder.ids() == ["a"]
    assert away.telemetry.totals[Metric.COPIES_SETTLED] == 1
    assert away.telemetry.totals[Metric.COMMITS_LOST] == 1


def test_expired_events_are_skipped_and_counted_once_though_two_come_to_them() -> None:
    fabric = aged_fabric(on_expired="skip")
    fabric.clock.advance(2.5 * DAY_SECONDS)
    expire(fabric)
    assert beaten(fabric) == LaneResult(LaneOutcome.DUPLICATE)
    assert fabric.recorder.ids() == ["a1", "b1"]
    assert fabric.telemetry.totals[Metric.EVENTS_EXPIRED] == 2
    assert fabric.telemetry.totals[Metric.COMMITS_LOST] == 1


def test_a_probe_whose_commit_is_lost_goes_on_as_a_probe() -> None:
    failing = Failing({})
    fabric = fabric_of(failing, *named("a1", "b1", "c1"), **FEW)
    assert breaker_of(fabric).open_for("down")
    fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)

    def moved() -> None:
        failing.times["a1"] = 9
        fabric.ledger.commit(fabric.key_of(LANE), fabric.cursor(), fabric.cursor())

    assert fabric.deliver(by=fabric.deliverer(faults=overtaken(1, by=moved))).outcome is LaneOutcome.WAITING
    assert fabric.telemetry.totals[Metric.COMMITS_LOST] == 1
    assert failing.tried == ["a1", "a1"]


def test_at_most_once_attempts_nothing_that_another_has_taken() -> None:
    fabric = SubscribedStream(guarantee="at_most_once")
    for next_event in named("a1", "b1"):
        fabric.put(next_event)
    assert beaten(fabric) == LaneResult(LaneOutcome.DUPLICATE)
    assert fabric.recorder.ids() == ["a1", "b1"]
    assert fabric.telemetry.totals[Metric.COMMITS_LOST] == 1


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_parked_key_that_another_has_freed_is_no_failure_of_its_event(guarantee: str) -> None:
    fabric = fabric_of(Failing({"a1": 1}), *named("a1"), guarantee=guarantee, **FEW)
    fabric.deliver()
    fabric.clock.advance(60)
    assert beaten(fabric, tail=0) == LaneResult(LaneOutcome.DUPLICATE)
    assert fabric.parked() == {}
    assert fabric.telemetry.totals[Metric.EVENTS_FAILED] == 1
    assert fabric.telemetry.totals[Metric.KEYS_FREED] == 1
    assert fabric.telemetry.totals[Metric.COMMITS_LOST] == 1
    if guarantee == "exactly_once":
        assert fabric.effects() == {"a1": 1}


def test_nor_is_it_freed_by_who_failed_at_it_meanwhile() -> None:
    failing = Failing({"a1": 2})
    fabric = fabric_of(failing, *named("a1"), **FEW)
    fabric.deliver()
    fabric.clock.advance(60)
    other = fabric.deliverer(handler=Recorder())
    faults = overtaken(1, by=lambda: fabric.deliver(by=other, tail=0))
    assert fabric.deliver(by=fabric.deliverer(faults=faults), tail=0) == LaneResult(LaneOutcome.DUPLICATE)
    assert (fabric.parked(), failing.tried) == ({}, ["a1", "a1"])


def test_a_refused_write_of_a_parked_event_is_one_more_failed_attempt_of_it() -> None:
    handler = Writing({"a": (refused_write(),)})
    fabric = SubscribedStream(guarantee="exactly_once", handler=handler, **FEW)
    fabric.put(event("a"))
    fabric.deliver()
    for attempts in (2, 3):
        fabric.clock.advance(60)
        assert fabric.deliver(tail=0).outcome is LaneOutcome.DELIVERED
        (parked,) = fabric.parked().values()
        assert parked.failure.attempts == attempts
        assert parked.failure.message.startswith("ConditionalCheckFailed: ")
    handler.writes = {}
    fabric.clock.advance(60)
    fabric.deliver(tail=0)
    assert (fabric.parked(), fabric.effects()) == ({}, {"a": 1})
    assert fabric.telemetry.totals[Metric.EVENTS_HANDLED] == 1


def test_what_is_handled_of_a_parked_key_is_counted() -> None:
    fabric = fabric_of(Failing({"a1": 1}), *named("a1", "a2", "a3"), **FEW)
    fabric.deliver()
    fabric.clock.advance(60)
    fabric.deliver(tail=0)
    assert fabric.telemetry.totals[Metric.EVENTS_HANDLED] == 3
    assert Metric.DELIVERY_LATENCY not in fabric.telemetry.totals  # it says nothing of events that waited


def test_a_key_that_nothing_befalls_is_written_once_however_many_pages_are_delivered() -> None:
    failing = Failing({"a1": 99})
    fabric = fabric_of(failing, *named("a1"), **retry(backoff_seconds=900.0))
    for number in range(2 * limits.PAGE_RECORDS_MAX):
        fabric.put(event(f"e{number}", key=f"k{number}"))
    seen: list[dict[str, Parked]] = []

    def look(events: Sequence[Event]) -> None:
        failing(events)
        if fabric.recorder.ids()[-1:] == [f"e{limits.PAGE_RECORDS_MAX}"]:
            seen.append(fabric.parked())

    fabric.recorder.before = look
    fabric.deliver()
    assert fabric.cursor().sequence == 1 + 2 * limits.PAGE_RECORDS_MAX
    assert [set(keys) for keys in seen] == [{"a"}]
    assert seen == [fabric.parked()]


def test_a_careful_visit_attempts_nothing_where_it_could_not_write_that_down() -> None:
    fabric = fabric_of(Failing({}), *named("a1", "b1"))
    fabric.run_dies()
    other = fabric.deliverer(handler=Recorder())
    faults = overtaken(1, by=lambda: fabric.deliver(by=other))
    deadline_ms = fabric.clock.now_ms() + INVOCATION_MS
    by = fabric.deliverer(faults=faults)
    result = by.deliver(fabric.bell(), deadline_ms=deadline_ms, receive_count=2)
    assert (result.done, fabric.recorder.ids()) == (True, [])
    assert (fabric.cursor().sequence, fabric.cursor().attempting) == (2, False)
    assert fabric.telemetry.totals[Metric.COMMITS_LOST] == 1


def test_nor_does_it_so_with_a_parked_event() -> None:
    failing = Failing({"a1": 1})
    fabric = fabric_of(failing, *named("a1"), **FEW)
    fabric.deliver()
    fabric.clock.advance(60)
    other = fabric.deliverer(handler=Recorder())
    faults = overtaken(1, by=lambda: fabric.deliver(by=other, tail=0))
    again(fabric, 2, by=fabric.deliverer(faults=faults))
    assert (fabric.parked(), fabric.recorder.ids(), failing.tried) == ({}, [], ["a1"])


def test_what_a_careful_visit_handled_of_a_parked_key_counts_once_it_is_committed() -> None:
    fabric = fabric_of(Failing({"a1": 1}), *named("a1"), **FEW)
    fabric.deliver()
    fabric.clock.advance(60)
    other = fabric.deliverer()
    by = fabric.deliverer(faults=overtaken(2, by=lambda: fabric.deliver(by=other, tail=0)))
    again(fabric, 2, by=by)
    assert (fabric.parked(), fabric.recorder.ids()) == ({}, ["a1", "a1"])
    assert fabric.telemetry.totals[Metric.EVENTS_HANDLED] == 1
    assert fabric.telemetry.totals[Metric.COMMITS_LOST] == 1
