"""Reports of a lane about its parked keys: timers, probes, counts, and the attempt that a handler is given."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import RefusedError, ThrottledError, UndecodablePayloadError
from eventfabric.model import AtSequence, BatchId, CircuitState, Note, SequenceNumber, record_at
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, at_random
from eventfabric.wire.doorbell import from_body
from tests.support.crashing_handlers import Crashing, again
from tests.support.failing_handlers import (
    BAD_ORDER,
    FEW,
    BadOrder,
    Failing,
    breaker,
    dead_letters,
    fabric_of,
    named,
    retry,
    waiting,
)
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, batch_of, event, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream, topology
from tests.unit.services.delivery.test_breaker import circuit


def replay_from_the_start(fabric: SubscribedStream) -> None:
    replay = Operations(fabric.topology, HOME, fabric.ports()).replay(SUBSCRIPTION)
    for plan in replay.plan(AtSequence(SequenceNumber(0))):
        replay.carry_out(plan)


def test_a_key_that_gets_one_more_event_needs_no_further_timer() -> None:
    fabric = fabric_of(Failing({"a1": 99}), *named("a1"), **retry(backoff_seconds=900.0))
    fabric.deliver()
    assert len(fabric.timers) == 1
    fabric.put(*named("a2"))
    fabric.deliver()
    assert waiting(fabric, "a") == [0, 1]
    assert len(fabric.timers) == 1


def test_dead_keys_are_none_of_the_parked_keys_that_look_like_an_outage() -> None:
    errors = {"a1": UndecodablePayloadError, "b1": BadOrder}
    failing = Failing({"a1": 99, "b1": 99}, lambda name: errors[name](name))
    fabric = fabric_of(failing, *named("a1", "b1"), **breaker(parked_keys=2))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert circuit(fabric).state is CircuitState.CLOSED


def test_a_lane_that_failed_lets_the_others_probe_first() -> None:
    fabric = fabric_of(Failing({"a1": 99, "b1": 99}), *named("a1", "b1"), **FEW, **breaker(parked_keys=2))
    assert fabric.deliver().outcome is LaneOutcome.WAITING
    probe_ms = circuit(fabric).probe_ms
    fabric.clock.advance(limits.TIMER_DELAY_SECONDS_MAX)
    rung = [from_body(body).again for body in iter(fabric.timers.take, None)]
    probes = [again_ms for again_ms in rung if again_ms >= probe_ms]
    assert probes
    assert min(probes) >= probe_ms + 5_000


def test_what_waits_already_waits_once_when_a_failed_batch_is_gone_through_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PARKED_PLACES_MAX", 2)
    failing = Failing({"a1": 99, "c1": 99})
    fabric = fabric_of(failing, *named("a1"), batch_events_max=3, **retry(permanent=[BAD_ORDER]))
    fabric.deliver()
    for next_event in named("b1", "a2", "c1"):
        fabric.put(next_event)
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert (waiting(fabric, "a"), waiting(fabric, "c"), fabric.recorder.ids()) == ([0, 2], [3], ["b1"])


def test_a_replay_that_is_tried_again_is_logged_as_one() -> None:
    fabric = fabric_of(Failing({}), *named("a1"), **FEW)
    fabric.deliver()
    fabric.recorder.before = Failing({"a1": 2})
    replay_from_the_start(fabric)
    fabric.deliver_all()
    assert fabric.recorder.handled() == [("a1", False), ("a1", True)]
    assert [attempt.replay for attempt in fabric.recorder.attempts] == [False, True, True, True]


def test_a_dead_letter_is_counted_once_however_many_events_come_to_wait_behind_it() -> None:
    fabric = fabric_of(Failing({"a1": 99}), *named("a1"), **retry(immediate=0, attempts=1))
    for name in ("a2", "a3"):
        fabric.deliver()
        fabric.put(*named(name))
    fabric.deliver()
    assert waiting(fabric, "a") == [0, 1, 2]
    assert len(list(dead_letters(fabric).find())) == 1
    assert fabric.telemetry.totals[Metric.DEAD_LETTERS] == 1


def test_a_throttled_commit_is_no_failure_of_the_events_whose_writes_it_had() -> None:
    fabric = fabric_of(Failing({}), *named("a1"), guarantee="exactly_once")
    throttled = Faults(at_random(1.0, [Fault.THROTTLED], seed=0, names=["ledger.commit"]))
    with pytest.raises(ThrottledError):
        fabric.deliver(by=fabric.deliverer(faults=throttled))
    assert (fabric.parked(), fabric.cursor().sequence) == ({}, 0)
    fabric.deliver()
    assert fabric.effects() == {"a1": 1}


def test_a_refused_commit_without_writes_of_a_handler_is_raised_as_it_is() -> None:
    def refused(called: str, overall: int, of_name: int) -> Fault | None:
        if called == "ledger.commit":
            raise RefusedError(called, "AccessDeniedException: no")
        return None

    fabric = fabric_of(Failing({}), *named("a1"))
    with pytest.raises(RefusedError, match="AccessDenied"):
        fabric.deliver(by=fabric.deliverer(faults=Faults(refused)))
    assert (fabric.parked(), fabric.cursor().sequence) == ({}, 0)


def test_crashes_of_an_event_that_is_not_wanted_any_more_are_not_the_next_ones() -> None:
    fabric = fabric_of(Crashing({"a1": 3}), *named("a1"))
    for receive_count in (1, 2, 3):
        with pytest.raises(SimulatedCrash):
            again(fabric, receive_count)
    assert (fabric.cursor().sequence, fabric.cursor().crashes) == (0, 1)
    fabric.topology = topology(types=["paid"])
    fabric.put(event("b1", key="b", type="paid"))
    seen: list[tuple[int, int]] = []
    fabric.recorder.before = lambda events: seen.append((fabric.cursor().sequence, fabric.cursor().crashes))
    fabric.deliver()
    assert (seen, fabric.recorder.ids()) == ([(1, 0)], ["b1"])


def test_each_batch_that_was_decided_about_is_counted() -> None:
    fabric = SubscribedStream()
    away, of = fabric.in_region(AWAY), lane(0, AWAY)
    log = fabric.cloud.log(STREAM, AWAY)
    for number in range(2):
        batch = batch_of([event(f"a{number}")], BatchId(bytes([number]) * 16))
        noted_batch = replace(batch, note=Note(LANE, SequenceNumber(number)))
        record = record_at(
            log.tail(of), of, noted_batch, now_ms=fabric.clock.now_ms(), retention_seconds=None
        )
        assert log.append(record) is None
    assert away.deliver(of).outcome is LaneOutcome.DELIVERED
    assert away.recorder.ids() == ["a0", "a1"]
    assert away.telemetry.totals[Metric.COPIES_SETTLED] == 2
