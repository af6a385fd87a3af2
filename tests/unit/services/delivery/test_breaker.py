"""Outages: what they do to deliveries, and events that fail by themselves do not."""

from collections.abc import Callable, Sequence
from itertools import count

import pytest

from eventfabric import limits
from eventfabric.errors import UndecodablePayloadError
from eventfabric.model import Circuit, CircuitState, Event, Lane, ParkedState, StreamName, SubscriptionName
from eventfabric.services.delivery.breaker import CircuitBreaker
from eventfabric.services.delivery.deliver import Deliverer
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash, nth
from eventfabric.wire.doorbell import from_body
from tests.support.failing_handlers import FEW, Failing, breaker, fabric_of, named, retry
from tests.support.memory_fabric import STREAM, event, lane
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

LANES = [lane(0), lane(1)]


class DownstreamError(Exception):
    """The error that a handler raises while the system downstream is down."""


class Downstream:
    """A system that a handler calls: up or down as a whole, and refusing some events forever."""

    def __init__(self, *poison: str) -> None:
        self.down = False
        self.poison = set(poison)
        self.tried: list[str] = []

    def __call__(self, events: Sequence[Event]) -> None:
        self.tried += [str(event.id) for event in events]
        if self.down or any(event.id in self.poison for event in events):
            raise DownstreamError(str(events[0].id))


def circuit(fabric: SubscribedStream) -> Circuit:
    ledger = fabric.cloud.ledger(fabric.region)
    return ledger.standing(StreamName(STREAM), SubscriptionName(SUBSCRIPTION)).circuit


def operator(fabric: SubscribedStream, faults: Faults | None = None) -> CircuitBreaker:
    """The breaker as whoever pauses and resumes has it."""
    ports = (faults or Faults()).ports(fabric.ports())
    return CircuitBreaker(fabric.subscription, fabric.stream, ports=ports, telemetry=fabric.telemetry)


def go_on(fabric: SubscribedStream, seconds: float, by: Callable[[], Deliverer]) -> None:
    """Relay, timers and deliveries for so long, second by second."""
    for _ in range(round(seconds)):
        fabric.relay_all()
        bells = fabric.cloud.doorbells(fabric.region)
        while (body := fabric.timers.take()) is not None:
            bells.ring(SUBSCRIPTION, [from_body(body)])
        for message in fabric.receive():
            fabric.answer([message], by=by())
        fabric.clock.advance(1)


def outage_fabric(downstream: Downstream, **settings: object) -> SubscribedStream:
    handler = Recorder(before=downstream, effects=settings.get("guarantee") == "exactly_once")
    return SubscribedStream(handler=handler, **settings)  # type: ignore[arg-type]  # settings of a subscription


def publish(fabric: SubscribedStream, numbers: "count[int]", *, keys: int = 7) -> None:
    """One event, to the lane of its key."""
    number = next(numbers)
    key = number % keys
    fabric.put(event(f"e{number}", key=f"k{key}"), of=lane(key % 2))


def by_key(fabric: SubscribedStream, ids: Sequence[str], of: int) -> dict[str, list[str]]:
    keys = {str(event.id): str(event.key) for event in fabric.recorder.events if event.lane == lane(of)}
    ids_by_key: dict[str, list[str]] = {}
    for id_ in ids:
        ids_by_key.setdefault(keys[id_], []).append(id_)
    return ids_by_key


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("processes", [1, 2])
def test_an_hours_outage_uses_up_nothing_and_all_is_delivered_in_order_after_it(
    guarantee: str, processes: int
) -> None:
    downstream, numbers = Downstream(), count()
    fabric = outage_fabric(downstream, guarantee=guarantee)
    functions = [fabric.deliverer() for _ in range(processes)]
    turn = count()
    for second in range(0, 4500, 5):
        downstream.down = 300 <= second < 3900
        publish(fabric, numbers)
        go_on(fabric, 5, lambda: functions[next(turn) % processes])
    go_on(fabric, 1200, lambda: functions[0])
    assert circuit(fabric).state is CircuitState.CLOSED
    assert Metric.DEAD_LETTERS not in fabric.telemetry.totals
    for index, checked_lane in enumerate(LANES):
        assert fabric.parked(checked_lane) == {}
        seen = by_key(fabric, fabric.recorder.ids(checked_lane), index)
        assert seen == by_key(fabric, fabric.logged_ids(checked_lane), index)
    if guarantee == "exactly_once":
        assert fabric.effects() == dict.fromkeys(fabric.recorder.ids(), 1)


def test_while_it_is_open_only_probes_are_attempted() -> None:
    downstream, numbers = Downstream(), count()
    fabric = outage_fabric(downstream)
    by = fabric.deliverer()
    downstream.down = True
    for _ in range(60):
        publish(fabric, numbers)
        go_on(fabric, 5, lambda: by)
    assert circuit(fabric).state is CircuitState.OPEN
    before = len(downstream.tried)
    for _ in range(120):
        publish(fabric, numbers)
        go_on(fabric, 5, lambda: by)
    assert 10 <= len(downstream.tried) - before <= 600 / limits.CIRCUIT_PROBE_SECONDS + 1


def test_after_an_outage_a_keys_failures_count_anew() -> None:
    fabric = outage_fabric(
        downstream := Downstream(), **retry(immediate=0, attempts=5), **breaker(parked_keys=2)
    )
    downstream.down = True
    for next_event in named("a1", "b1"):
        fabric.put(next_event)
    fabric.relay_all()
    go_on(fabric, 300, fabric.deliverer)
    assert circuit(fabric).state is CircuitState.OPEN
    downstream.down, downstream.poison = False, {"a1"}
    fabric.put(event("c1", key="c"))
    before = len(downstream.tried)
    fabric.relay_all()
    fabric.deliver_all()
    assert downstream.tried[before:].count("a1") >= 5
    parked = fabric.parked()
    assert {key: parked_event.state for key, parked_event in parked.items()} == {"a": ParkedState.DEAD}
    assert parked["a"].failure.attempts == 5
    assert set(fabric.recorder.ids()) == {"b1", "c1"}


def test_it_opens_when_enough_keys_fail_as_a_share() -> None:
    enough = limits.CIRCUIT_FAILURES_MIN
    poison = [f"{letter}1" for letter in "abcdefghij"[:enough]]
    fabric = outage_fabric(Downstream(*poison))
    for next_event in named(*poison[:-1]):
        fabric.put(next_event)
    by = fabric.deliverer()
    fabric.deliver(by=by)
    assert circuit(fabric).state is CircuitState.CLOSED
    fabric.put(*named(poison[-1]))
    assert fabric.deliver(by=by).outcome is LaneOutcome.WAITING
    assert circuit(fabric).state is CircuitState.OPEN


def test_it_stays_closed_while_most_is_handled_even_what_is_not_committed_yet() -> None:
    poison = [f"{letter}1" for letter in "abcdefgh"]
    fabric = outage_fabric(Downstream(*poison))
    for number in range(50):
        fabric.put(event(f"e{number}", key=f"k{number}"))
    for next_event in named(*poison):
        fabric.put(next_event)
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert Metric.CIRCUITS_OPENED not in fabric.telemetry.totals


def test_it_opens_when_too_many_keys_of_a_lane_are_parked_and_stays_open_over_the_commit() -> None:
    fabric = outage_fabric(Downstream("a1", "b1"), **breaker(parked_keys=2))
    for next_event in named("x1", "a1", "b1", "c1"):
        fabric.put(next_event)
    assert fabric.deliver().outcome is LaneOutcome.WAITING
    assert circuit(fabric).state is CircuitState.OPEN
    assert fabric.cursor().sequence == 3
    assert Metric.CIRCUITS_CLOSED not in fabric.telemetry.totals


def test_one_poison_key_alone_never_opens_it_and_is_dead_in_the_end() -> None:
    downstream, numbers = Downstream("poison"), count()
    fabric = outage_fabric(downstream)
    fabric.put(event("poison", key="p"))
    by = fabric.deliverer()
    for _ in range(120):
        publish(fabric, numbers)
        go_on(fabric, 5, lambda: by)
    assert Metric.CIRCUITS_OPENED not in fabric.telemetry.totals
    assert fabric.parked()["p"].state is ParkedState.DEAD


@pytest.mark.parametrize("poison_keys", [2, 3, 4])
def test_some_poison_keys_hold_up_healthy_events_of_any_lane_for_a_probe_or_two_only(
    poison_keys: int,
) -> None:
    """Also where the function instance that sees the poison sees nothing else."""
    downstream = Downstream(*(f"p{number}" for number in range(poison_keys)))
    fabric = outage_fabric(downstream)
    of_lane = {lane: fabric.deliverer() for lane in LANES}
    for number in range(poison_keys):
        fabric.put(event(f"p{number}", key=f"p{number}"))
    waits: list[int] = []
    for number in range(20):
        published, began_ms = f"h{number}", fabric.clock.now_ms()
        fabric.put(event(published, key="h"), of=lane(1))
        while published not in fabric.recorder.ids():
            go_on_by_lane(fabric, of_lane)
        waits.append((fabric.clock.now_ms() - began_ms) // 1000)
        for _ in range(60):
            go_on_by_lane(fabric, of_lane)
    assert max(waits) <= 3 * limits.CIRCUIT_PROBE_SECONDS


def go_on_by_lane(fabric: SubscribedStream, of_lane: dict[Lane, Deliverer]) -> None:
    """One second, in which each lane has a function instance of its own."""
    fabric.relay_all()
    bells = fabric.cloud.doorbells(fabric.region)
    while (body := fabric.timers.take()) is not None:
        bells.ring(SUBSCRIPTION, [from_body(body)])
    for message in fabric.receive():
        fabric.answer([message], by=of_lane[from_body(message.body).lane])
    fabric.clock.advance(1)


def opened(fabric: SubscribedStream, by: Deliverer | None = None) -> None:
    """Two failing keys of the first lane open the circuit."""
    for next_event in named("a1", "b1"):
        fabric.put(next_event)
    assert fabric.deliver(by=by).outcome is LaneOutcome.WAITING
    assert circuit(fabric).state is CircuitState.OPEN


OPENS_EARLY = {**breaker(parked_keys=2), **FEW}


def test_a_poison_key_is_not_all_that_is_ever_probed() -> None:
    fabric = outage_fabric(downstream := Downstream("a1", "b1"), **OPENS_EARLY)
    opened(fabric)
    downstream.poison = {"a1"}
    go_on(fabric, 200, fabric.deliverer)
    assert circuit(fabric).state is CircuitState.CLOSED
    assert fabric.recorder.ids() == ["b1"]


def test_an_event_that_fails_a_probe_is_set_aside_and_the_next_probe_tries_another() -> None:
    fabric = outage_fabric(Downstream("a1", "b1", "c1", "d1"), **OPENS_EARLY)
    opened(fabric)
    for next_event in named("c1", "d1", "e1"):
        fabric.put(next_event)
    go_on(fabric, 200, fabric.deliverer)
    assert fabric.recorder.ids() == ["e1"]


def test_an_event_that_no_attempt_can_mend_fails_no_probe() -> None:
    failing = Failing({"a1": 99, "b1": 99})
    fabric = fabric_of(failing, **OPENS_EARLY)
    opened(fabric)
    failing.error, failing.times = UndecodablePayloadError, {"c1": 99}
    for next_event in named("c1", "d1"):
        fabric.put(next_event)
    fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
    assert fabric.deliver().outcome is LaneOutcome.DELIVERED
    assert fabric.parked()["c"].state is ParkedState.DEAD
    assert "d1" in fabric.recorder.ids()
    assert circuit(fabric).state is CircuitState.CLOSED


def test_a_probe_that_crashed_before_and_fails_is_no_crash() -> None:
    fabric = outage_fabric(Downstream("a1", "b1"), **OPENS_EARLY)
    opened(fabric)
    for receive_count in range(2, 3 * limits.CRASHES_MAX):
        fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
        deadline_ms = fabric.clock.now_ms() + 10_000
        fabric.deliverer().deliver(fabric.bell(), deadline_ms=deadline_ms, receive_count=receive_count)
    for parked in fabric.parked().values():
        assert (parked.state, parked.failure.crashes) == (ParkedState.RETRYING, 0)


def test_one_lane_probes_and_the_others_wait_and_are_rung_for_the_next_probe() -> None:
    fabric = outage_fabric(downstream := Downstream("a1", "b1"), **OPENS_EARLY)
    opened(fabric)
    for checked_lane in LANES:
        fabric.put(event("p", key="p"), of=checked_lane)
    downstream.down = True
    fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
    before, timers = len(downstream.tried), len(fabric.timers)
    for checked_lane in LANES:
        assert fabric.deliver(checked_lane).outcome is LaneOutcome.WAITING
    assert len(downstream.tried) == before + 1
    assert len(fabric.timers) >= timers + 2


def test_a_lane_with_nothing_to_try_leaves_the_probe_to_the_next_and_closes_nothing() -> None:
    fabric = outage_fabric(downstream := Downstream("a1", "b1"), **OPENS_EARLY)
    opened(fabric)
    downstream.poison.clear()
    fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
    assert fabric.deliver(lane(1), tail=0).outcome is LaneOutcome.DUPLICATE
    assert fabric.deliver(lane(1), tail=99).outcome is LaneOutcome.DELIVERED
    assert circuit(fabric).state is CircuitState.OPEN
    assert fabric.deliver(tail=0).outcome is LaneOutcome.DELIVERED
    assert circuit(fabric).state is CircuitState.CLOSED
    assert fabric.recorder.ids() == ["a1", "b1"]


@pytest.mark.parametrize("crash", ["doorbells.ring", "second switch"])
def test_rings_are_owed_after_a_crash_between_closing_and_ringing(crash: str) -> None:
    fabric = outage_fabric(downstream := Downstream("a1", "b1"), **OPENS_EARLY)
    opened(fabric)
    fabric.put(event("x1", key="x"), of=lane(1))
    assert fabric.deliver(lane(1)).outcome is LaneOutcome.WAITING
    downstream.poison.clear()
    fabric.clock.advance(limits.CIRCUIT_PROBE_SECONDS)
    while fabric.timers.next_due_ms() is not None:  # all other rings are lost
        fabric.clock.advance(1)
        while fabric.timers.take() is not None:
            pass
    rule = nth(1, Fault.CRASH_BEFORE, name=crash)
    if crash == "second switch":
        rule = nth(3, Fault.CRASH_BEFORE, name="ledger.switch")
    with pytest.raises(SimulatedCrash):
        fabric.deliver(by=fabric.deliverer(faults=Faults(rule)))
    assert circuit(fabric).rings_owed
    fabric.deliver(tail=0)
    assert not circuit(fabric).rings_owed
    fabric.deliver_all()
    assert set(fabric.recorder.ids()) == {"a1", "b1", "x1"}


@pytest.mark.parametrize("during", ["closed", "open"])
def test_a_paused_circuit_delivers_nothing_and_resume_delivers_all(during: str) -> None:
    fabric = outage_fabric(downstream := Downstream("a1", "b1"), **OPENS_EARLY)
    if during == "open":
        opened(fabric)
    by = fabric.deliverer()
    fabric.deliver(lane(1), by=by, tail=0)
    assert operator(fabric).pause("maintenance")
    fabric.clock.advance(limits.CIRCUIT_CACHE_SECONDS)
    downstream.poison.clear()
    for next_event in named("c1", "d1"):
        fabric.put(next_event)
    fabric.put(*named("x1"), of=lane(1))
    before = len(downstream.tried)
    go_on(fabric, 300, lambda: by)
    assert len(downstream.tried) == before
    assert (len(fabric.queue), circuit(fabric).state) == (0, CircuitState.PAUSED)
    assert operator(fabric).resume()
    fabric.deliver_all(by=by)
    expected = {"c1", "d1", "x1"} | ({"a1", "b1"} if during == "open" else set())
    assert set(fabric.recorder.ids()) == expected


def test_who_knew_the_circuit_as_open_a_moment_ago_does_not_swallow_the_ring_of_its_end() -> None:
    fabric = outage_fabric(downstream := Downstream("a1", "b1"), **OPENS_EARLY)
    slow = fabric.deliverer()
    opened(fabric, by=slow)
    assert operator(fabric).pause("maintenance")
    fabric.deliver(by=slow)
    downstream.poison.clear()
    assert operator(fabric).resume()
    fabric.deliver_all(by=slow)
    assert set(fabric.recorder.ids()) == {"a1", "b1"}
