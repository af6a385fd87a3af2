"""Reports of a lane about its parked keys: timers, probes, counts, and the attempt that a handler is given."""

from dataclasses import replace

import pytest

from eventfabric import limits
from eventfabric.errors import RefusedError, ThrottledError, UndecodablePayloadError
from eventfabric.model.circuit import CircuitState
from eventfabric.model.identity import BatchId, SequenceNumber
from eventfabric.model.record import Note, record_at
from eventfabric.model.start import AtSequence
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
    named,
    retry,
    waiting,
    world_of,
)
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, batch_of, event, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream, topology
from tests.unit.services.delivery.test_breaker import circuit


def replay_from_the_start(world: SubscribedStream) -> None:
    replay = Operations(world.topology, HOME, world.ports()).replay(SUBSCRIPTION)
    for plan in replay.plan(AtSequence(SequenceNumber(0))):
        replay.carry_out(plan)


def test_a_key_that_gets_one_more_event_needs_no_further_timer() -> None:
    world = world_of(Failing({"a1": 99}), *named("a1"), **retry(backoff_seconds=900.0))
    world.deliver()
    assert len(world.timers) == 1
    world.put(*named("a2"))
    world.deliver()
    assert waiting(world, "a") == [0, 1]
    assert len(world.timers) == 1


def test_dead_keys_are_none_of_the_parked_keys_that_look_like_an_outage() -> None:
    errors = {"a1": UndecodablePayloadError, "b1": BadOrder}
    failing = Failing({"a1": 99, "b1": 99}, lambda name: errors[name](name))
    world = world_of(failing, *named("a1", "b1"), **breaker(parked_keys=2))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert circuit(world).state is CircuitState.CLOSED


def test_a_lane_that_failed_lets_the_others_probe_first() -> None:
    world = world_of(Failing({"a1": 99, "b1": 99}), *named("a1", "b1"), **FEW, **breaker(parked_keys=2))
    assert world.deliver().outcome is LaneOutcome.WAITING
    probe_ms = circuit(world).probe_ms
    world.clock.advance(limits.TIMER_DELAY_SECONDS_MAX)
    rung = [from_body(body).again for body in iter(world.timers.take, None)]
    probes = [again_ms for again_ms in rung if again_ms >= probe_ms]
    assert probes
    assert min(probes) >= probe_ms + 5_000


def test_what_waits_already_waits_once_when_a_failed_batch_is_gone_through_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PARKED_PLACES_MAX", 2)
    failing = Failing({"a1": 99, "c1": 99})
    world = world_of(failing, *named("a1"), batch_events_max=3, **retry(permanent=[BAD_ORDER]))
    world.deliver()
    for next_event in named("b1", "a2", "c1"):
        world.put(next_event)
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert (waiting(world, "a"), waiting(world, "c"), world.recorder.ids()) == ([0, 2], [3], ["b1"])


def test_a_replay_that_is_tried_again_is_logged_as_one() -> None:
    world = world_of(Failing({}), *named("a1"), **FEW)
    world.deliver()
    world.recorder.before = Failing({"a1": 2})
    replay_from_the_start(world)
    world.deliver_all()
    assert world.recorder.handled() == [("a1", False), ("a1", True)]
    assert [attempt.replay for attempt in world.recorder.attempts] == [False, True, True, True]


def test_a_dead_letter_is_counted_once_however_many_events_come_to_wait_behind_it() -> None:
    world = world_of(Failing({"a1": 99}), *named("a1"), **retry(immediate=0, attempts=1))
    for name in ("a2", "a3"):
        world.deliver()
        world.put(*named(name))
    world.deliver()
    assert waiting(world, "a") == [0, 1, 2]
    assert len(list(dead_letters(world).find())) == 1
    assert world.telemetry.totals[Metric.DEAD_LETTERS] == 1


def test_a_throttled_commit_is_no_failure_of_the_events_whose_writes_it_had() -> None:
    world = world_of(Failing({}), *named("a1"), guarantee="exactly_once")
    throttled = Faults(at_random(1.0, [Fault.THROTTLED], seed=0, names=["ledger.commit"]))
    with pytest.raises(ThrottledError):
        world.deliver(by=world.deliverer(faults=throttled))
    assert (world.parked(), world.cursor().sequence) == ({}, 0)
    world.deliver()
    assert world.effects() == {"a1": 1}


def test_a_refused_commit_without_writes_of_a_handler_is_raised_as_it_is() -> None:
    def refused(called: str, overall: int, of_name: int) -> Fault | None:
        if called == "ledger.commit":
            raise RefusedError(called, "AccessDeniedException: no")
        return None

    world = world_of(Failing({}), *named("a1"))
    with pytest.raises(RefusedError, match="AccessDenied"):
        world.deliver(by=world.deliverer(faults=Faults(refused)))
    assert (world.parked(), world.cursor().sequence) == ({}, 0)


def test_crashes_of_an_event_that_is_not_wanted_any_more_are_not_the_next_ones() -> None:
    world = world_of(Crashing({"a1": 3}), *named("a1"))
    for receive_count in (1, 2, 3):
        with pytest.raises(SimulatedCrash):
            again(world, receive_count)
    assert (world.cursor().sequence, world.cursor().crashes) == (0, 1)
    world.topology = topology(types=["paid"])
    world.put(event("b1", key="b", type="paid"))
    seen: list[tuple[int, int]] = []
    world.recorder.before = lambda events: seen.append((world.cursor().sequence, world.cursor().crashes))
    world.deliver()
    assert (seen, world.recorder.ids()) == ([(1, 0)], ["b1"])


def test_each_batch_that_was_decided_about_is_counted() -> None:
    world = SubscribedStream()
    away, of = world.at(AWAY), lane(0, AWAY)
    log = world.cloud.log(STREAM, AWAY)
    for number in range(2):
        batch = batch_of([event(f"a{number}")], BatchId(bytes([number]) * 16))
        noted = replace(batch, note=Note(LANE, SequenceNumber(number)))
        record = record_at(log.tail(of), of, noted, now_ms=world.clock.now_ms(), retention_seconds=None)
        assert log.append(record) is None
    assert away.deliver(of).outcome is LaneOutcome.DELIVERED
    assert away.recorder.ids() == ["a0", "a1"]
    assert away.telemetry.totals[Metric.COPIES_SETTLED] == 2
