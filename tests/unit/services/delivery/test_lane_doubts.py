"""Runs of a lane whose owner, circuit and doorbell do not agree."""

from dataclasses import replace

from eventfabric import limits
from eventfabric.model.circuit import CircuitState
from eventfabric.model.owner import Owner
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.wire import record_item
from eventfabric.wire.doorbell import from_body
from tests.support.crashing_handlers import again
from tests.support.expiry import DAY_SECONDS, aged_world, expire
from tests.support.failing_handlers import FEW, Failing, breaker, named, world_of
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream
from tests.unit.services.delivery.test_breaker import circuit
from tests.unit.services.delivery.test_circuit import breaker_of, probes
from tests.unit.services.delivery.test_notes import NOTED_LANE, first_copy, noted


def test_a_lane_that_was_written_a_moment_ago_asks_no_other_region() -> None:
    world = world_of(Failing({}), *named("a1"))
    world.deliver()
    world.cloud.replicate()
    world.put(*named("a2"))
    world.cloud.cut(world.region)
    hand_over(world.at(AWAY))
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert world.recorder.ids() == ["a1", "a2"]


def test_a_lane_that_has_a_later_owners_number_is_left_though_who_that_is_is_not_known_yet() -> None:
    world = world_of(Failing({}), *named("a1"))
    world.cloud.replicate()
    away = world.at(AWAY)
    hand_over(away)
    away.deliver()
    world.put(*named("a2"))
    for link in world.cloud.links:
        if link.target is world.cloud.regions[world.region].table(world.topology.ledger.name):
            link.pass_on(2, lambda count: count - 1)  # the cursor alone
    assert world.ledger.state(world.key_of(lane(0))).epoch == 1
    assert world.ledger.standing(world.bell().stream, world.key_of(lane(0)).subscription).owners == ()
    assert world.deliver().outcome is LaneOutcome.NOT_OWNER
    assert world.recorder.ids() == []


def test_who_reads_that_it_is_paused_while_it_looks_who_owns_the_lane_attempts_nothing() -> None:
    world = world_of(Failing({}), *named("a1"))
    world.cloud.replicate()
    away = world.at(AWAY, handler=Recorder())
    hand_over(away, epoch=1)
    warm, other = away.deliverer(), away.deliverer()
    away.deliver(by=warm)
    key = away.key_of(lane(0))
    before = away.ledger.standing(key.stream, key.subscription).written(HOME, AWAY)
    later = Owner(HOME, AWAY, 2, AWAY, away.clock.now_ms())
    assert away.ledger.hand_over(key.stream, key.subscription, before, later)
    world.put(*named("a2"))
    world.cloud.replicate()
    away.deliver(by=other)
    assert Operations(away.topology, AWAY, away.ports(AWAY)).pause(SUBSCRIPTION)
    world.put(*named("a3"))
    world.cloud.replicate()
    assert away.deliver(by=warm).outcome is LaneOutcome.WAITING
    assert away.recorder.ids() == ["a1", "a2"]


def test_a_lane_that_does_not_begin_yet_leaves_the_probe_to_another() -> None:
    world = SubscribedStream(start="2099-01-01T00:00:00Z")
    world.put(*named("a1"))
    assert breaker_of(world).open_for("down")
    world.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
    assert world.deliver().outcome is LaneOutcome.NOT_BEGUN
    assert circuit(world).probe_ms == world.clock.now_ms()


def test_the_doorbell_of_a_run_that_died_goes_on_to_the_end_of_the_log() -> None:
    world = world_of(Failing({}), *named("a1"))
    world.deliver()
    old = world.bell()
    world.put(*named("a2"))
    world.run_dies()
    deadline_ms = world.clock.now_ms() + 10_000
    result = world.deliverer().deliver(old, deadline_ms=deadline_ms, receive_count=2)
    assert (result.outcome, world.recorder.ids()) == (LaneOutcome.DELIVERED, ["a1", "a2"])


def test_a_lane_that_waits_is_rung_by_another_doorbell_than_the_one_that_came_too_early() -> None:
    world = world_of(Failing({}), *named("a1"))
    assert breaker_of(world).open_for("down")
    assert world.deliver().outcome is LaneOutcome.WAITING
    (early,) = probes(world)
    world.clock.set_back(limits.TIMER_DELAY_SECONDS_MAX)
    deadline_ms = world.clock.now_ms() + 10_000
    assert world.deliverer().deliver(early, deadline_ms=deadline_ms).outcome is LaneOutcome.WAITING
    world.clock.advance(limits.TIMER_DELAY_SECONDS_MAX)
    body = world.timers.take()
    assert body is not None
    assert from_body(body).again > early.again


def test_a_lane_that_is_handed_back_is_rung_by_another_doorbell_whatever_the_clock_says() -> None:
    world = world_of(Failing({}), *named("a1"))
    now_ms = world.clock.now_ms()
    for before_ms, after_ms in ((0, now_ms), (now_ms, now_ms + 1), (now_ms + 9_000, now_ms + 9_001)):
        bell = replace(world.bell(), again=before_ms)
        assert world.deliverer().deliver(bell, deadline_ms=now_ms).outcome is LaneOutcome.HANDED_BACK
        assert from_body(world.queue.bodies[-1]).again == after_ms
    assert len(world.queue) == 3


def test_a_lane_that_goes_carefully_is_handed_back_after_each_page() -> None:
    world = SubscribedStream()
    for number in range(limits.PAGE_RECORDS_MAX + 5):
        world.put(event(f"e{number}", key=f"k{number}"))
    assert again(world, 2).outcome is LaneOutcome.HANDED_BACK
    assert world.cursor().sequence == limits.PAGE_RECORDS_MAX
    assert again(world, 2).outcome is LaneOutcome.DELIVERED


def test_a_probe_of_a_lane_that_cannot_go_on_tries_its_parked_keys_instead() -> None:
    failing = Failing({"a1": 99, "b1": 99})
    world = world_of(failing, *named("a1", "b1"), **FEW, **breaker(parked_keys=2))
    assert world.deliver().outcome is LaneOutcome.WAITING
    item = record_item.to_item(world.record(world.origin_log.tail(LANE), event("c1", key="c")))
    del item["c"]
    world.table.write("Put", {"Item": item})
    failing.times.clear()
    world.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
    assert world.deliver(tail=3).outcome is LaneOutcome.STOPPED
    assert (world.recorder.ids(), world.parked()) == (["a1", "b1"], {})
    assert circuit(world).state is CircuitState.CLOSED


def test_of_a_noted_batch_whose_first_copy_is_here_nothing_is_handed_out() -> None:
    world = SubscribedStream()
    first_copy(world)
    record = noted(world)
    assert world.cloud.log(STREAM, AWAY).append(record) is None
    world.cloud.replicate()
    away = world.at(AWAY)
    for _ in range(2):
        away.deliver(NOTED_LANE)
        assert (away.recorder.ids(), away.cursor(NOTED_LANE).sequence) == ([], 1)


def test_to_step_over_what_expired_is_no_lost_race() -> None:
    world = aged_world(on_expired="skip")
    world.clock.advance(2.5 * DAY_SECONDS)
    expire(world)
    assert world.deliver().outcome is LaneOutcome.DELIVERED
    assert Metric.COMMITS_LOST not in world.telemetry.totals
