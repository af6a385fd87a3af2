"""Runs of a lane whose owner, circuit and doorbell do not agree."""

from dataclasses import replace

from eventfabric import limits
from eventfabric.model import CircuitState, Owner
from eventfabric.sdk.operations import Operations
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.wire import record_item
from eventfabric.wire.doorbell import from_body
from tests.support.crashing_handlers import again
from tests.support.expiry import DAY_SECONDS, aged_fabric, expire
from tests.support.failing_handlers import FEW, Failing, breaker, fabric_of, named
from tests.support.handovers import hand_over
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream
from tests.unit.services.delivery.test_breaker import circuit
from tests.unit.services.delivery.test_circuit import breaker_of, probes
from tests.unit.services.delivery.test_notes import NOTED_LANE, first_copy, noted


def test_a_lane_that_was_written_a_moment_ago_asks_no_other_region() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    fabric.deliver()
    fabric.cloud.replicate()
    fabric.put(*named("a2"))
    fabric.cloud.cut(fabric.region)
    hand_over(fabric.in_region(AWAY))
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.recorder.ids() == ["a1", "a2"]


def test_a_lane_that_has_a_later_owners_number_is_left_though_who_that_is_is_not_known_yet() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    hand_over(away)
    away.deliver()
    fabric.put(*named("a2"))
    for link in fabric.cloud.links:
        if link.target is fabric.cloud.regions[fabric.region].table(fabric.topology.ledger.name):
            link.pass_on(2, lambda count: count - 1)  # the cursor alone
    assert fabric.ledger.state(fabric.key_of(lane(0))).epoch == 1
    assert fabric.ledger.standing(fabric.bell().stream, fabric.key_of(lane(0)).subscription).owners == ()
    assert fabric.deliver().outcome is LaneOutcome.NOT_OWNER
    assert fabric.recorder.ids() == []


def test_who_reads_that_it_is_paused_while_it_looks_who_owns_the_lane_attempts_nothing() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY, handler=Recorder())
    hand_over(away, epoch=1)
    warm, other = away.deliverer(), away.deliverer()
    away.deliver(by=warm)
    key = away.key_of(lane(0))
    before = away.ledger.standing(key.stream, key.subscription).written(HOME, AWAY)
    later = Owner(HOME, AWAY, 2, AWAY, away.clock.now_ms())
    assert away.ledger.hand_over(key.stream, key.subscription, before, later)
    fabric.put(*named("a2"))
    fabric.cloud.replicate()
    away.deliver(by=other)
    assert Operations(away.topology, AWAY, away.ports(AWAY)).pause(SUBSCRIPTION)
    fabric.put(*named("a3"))
    fabric.cloud.replicate()
    assert away.deliver(by=warm).outcome is LaneOutcome.WAITING
    assert away.recorder.ids() == ["a1", "a2"]


def test_a_lane_that_does_not_begin_yet_leaves_the_probe_to_another() -> None:
    fabric = SubscribedStream(start="2099-01-01T00:00:00Z")
    fabric.put(*named("a1"))
    assert breaker_of(fabric).open_for("down")
    fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
    assert fabric.deliver().outcome is LaneOutcome.NOT_BEGUN
    assert circuit(fabric).probe_ms == fabric.clock.now_ms()


def test_the_doorbell_of_a_run_that_died_goes_on_to_the_end_of_the_log() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    fabric.deliver()
    old = fabric.bell()
    fabric.put(*named("a2"))
    fabric.run_dies()
    deadline_ms = fabric.clock.now_ms() + 10_000
    result = fabric.deliverer().deliver(old, deadline_ms=deadline_ms, receive_count=2)
    assert (result.outcome, fabric.recorder.ids()) == (LaneOutcome.DELIVERED, ["a1", "a2"])


def test_a_lane_that_waits_is_rung_by_another_doorbell_than_the_one_that_came_too_early() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    assert breaker_of(fabric).open_for("down")
    assert fabric.deliver().outcome is LaneOutcome.WAITING
    (early,) = probes(fabric)
    fabric.clock.set_back(limits.TIMER_DELAY_SECONDS_MAX)
    deadline_ms = fabric.clock.now_ms() + 10_000
    assert fabric.deliverer().deliver(early, deadline_ms=deadline_ms).outcome is LaneOutcome.WAITING
    fabric.clock.advance(limits.TIMER_DELAY_SECONDS_MAX)
    body = fabric.timers.take()
    assert body is not None
    assert from_body(body).again > early.again


def test_a_lane_that_is_handed_back_is_rung_by_another_doorbell_whatever_the_clock_says() -> None:
    fabric = fabric_of(Failing({}), *named("a1"))
    now_ms = fabric.clock.now_ms()
    for before_ms, after_ms in ((0, now_ms), (now_ms, now_ms + 1), (now_ms + 9_000, now_ms + 9_001)):
        bell = replace(fabric.bell(), again=before_ms)
        assert fabric.deliverer().deliver(bell, deadline_ms=now_ms).outcome is LaneOutcome.HANDED_BACK
        assert from_body(fabric.queue.bodies[-1]).again == after_ms
    assert len(fabric.queue) == 3


def test_a_lane_that_goes_carefully_is_handed_back_after_each_page() -> None:
    fabric = SubscribedStream()
    for number in range(limits.PAGE_RECORDS_MAX + 5):
        fabric.put(event(f"e{number}", key=f"k{number}"))
    assert again(fabric, 2).outcome is LaneOutcome.HANDED_BACK
    assert fabric.cursor().sequence == limits.PAGE_RECORDS_MAX
    assert again(fabric, 2).outcome is LaneOutcome.DELIVERED


def test_a_probe_of_a_lane_that_cannot_go_on_tries_its_parked_keys_instead() -> None:
    failing = Failing({"a1": 99, "b1": 99})
    fabric = fabric_of(failing, *named("a1", "b1"), **FEW, **breaker(parked_keys=2))
    assert fabric.deliver().outcome is LaneOutcome.WAITING
    item = record_item.to_item(fabric.record(fabric.origin_log.tail(LANE), event("c1", key="c")))
    del item["c"]
    fabric.table.write("Put", {"Item": item})
    failing.times.clear()
    fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
    assert fabric.deliver(tail=3).outcome is LaneOutcome.STOPPED
    assert (fabric.recorder.ids(), fabric.parked()) == (["a1", "b1"], {})
    assert circuit(fabric).state is CircuitState.CLOSED


def test_of_a_noted_batch_whose_first_copy_is_here_nothing_is_handed_out() -> None:
    fabric = SubscribedStream()
    first_copy(fabric)
    record = noted(fabric)
    assert fabric.cloud.log(STREAM, AWAY).append(record) is None
    fabric.cloud.replicate()
    away = fabric.in_region(AWAY)
    for _ in range(2):
        away.deliver(NOTED_LANE)
        assert (away.recorder.ids(), away.cursor(NOTED_LANE).sequence) == ([], 1)


def test_to_step_over_what_expired_is_no_lost_race() -> None:
    fabric = aged_fabric(on_expired="skip")
    fabric.clock.advance(2.5 * DAY_SECONDS)
    expire(fabric)
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert Metric.COMMITS_LOST not in fabric.telemetry.totals
