"""Rings of a lane whose calls fail for hours: less and less often, but at least once a minute."""

from itertools import pairwise

import pytest

from eventfabric import Delivery, Event, limits
from eventfabric.model import ANY_TAIL, Circuit, CircuitState, StreamName, SubscriptionName
from eventfabric.runtime import deliver
from eventfabric.runtime.wiring import using
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.wire.doorbell import from_body
from tests.handlers.test_functions import US, Context, InvokedFunctions


def rings_while(fault: Fault, hours: float) -> list[int]:
    """Return the times at which a lane was rung, in milliseconds, while each read of its state fails in one way."""
    faults = Faults(lambda name, number, of_name: fault if name == "ledger.state" else None)
    functions = InvokedFunctions(faults=faults)
    functions.fabric.publish("orders", key="a", type="Placed")
    functions.relay()
    timers = functions.cloud.timers("all", "us-east-1")
    rung_ms: list[int] = []
    until_ms = functions.clock.now_ms() + int(3_600_000 * hours)
    (message,) = functions.queue.receive()
    event = message.event()
    while functions.clock.now_ms() < until_ms:
        rung_ms.append(functions.clock.now_ms())
        with using(functions.runtime("all")):
            answer = deliver.handle({"Records": [event]}, Context())
        assert answer == {"batchItemFailures": []}
        due_ms = timers.next_due_ms()
        assert due_ms is not None
        functions.clock.advance(max(0.001, (due_ms - functions.clock.now_ms()) / 1000))
        body = timers.take()
        assert body is not None
        assert from_body(body).tail == ANY_TAIL
        event = {**event, "body": body}
    assert len(timers) == 0
    return rung_ms


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.LOST_REQUEST])
def test_what_passes_is_met_within_seconds_and_then_less_and_less_often(fault: Fault) -> None:
    waits_ms = [later - earlier for earlier, later in pairwise(rings_while(fault, 2))]
    patience_ms = 1000 * (limits.LANE_PATIENCE_SECONDS + limits.LANE_AGAIN_SECONDS)
    assert waits_ms[0] <= patience_ms
    assert max(waits_ms) <= patience_ms + 1000 * limits.LANE_AGAIN_SECONDS_MAX
    assert min(waits_ms[-10:]) >= 1000 * limits.LANE_AGAIN_SECONDS_MAX
    assert len(waits_ms) < 160


def test_what_somebody_has_to_mend_is_met_once_a_minute() -> None:
    waits_ms = {later - earlier for earlier, later in pairwise(rings_while(Fault.DENIED, 1))}
    assert waits_ms == {1000 * limits.LANE_AGAIN_SECONDS_MAX}


class Failing(InvokedFunctions):
    """Its handler fails at each event, and counts that."""

    attempts = 0

    def handle(self, event: Event, delivery: Delivery) -> None:
        self.attempts += 1
        raise ValueError("not now")


def test_while_nothing_can_be_written_no_event_is_attempted_again_and_no_timer_makes_more_of_itself() -> None:
    """Each run would set a timer for each key that fails, and cannot commit it: twice as many with each round."""
    denied: set[str] = set()
    faults = Faults(lambda name, number, of_name: Fault.DENIED if name in denied else None)
    functions = Failing(faults=faults)
    for key in "abcd":
        functions.fabric.publish("orders", key=key, type="Placed", id=key)
    functions.relay()
    timers, processes = (
        functions.cloud.timers("all", US),
        [functions.runtime("all") for _ in range(2)],
    )
    denied.add("ledger.commit")
    events = [message.event() for message in functions.queue.receive()]
    until_ms, rounds = functions.clock.now_ms() + 3_600_000, 0
    while functions.clock.now_ms() < until_ms:
        for event in events:
            rounds += 1
            with using(processes[rounds % 2]):
                deliver.handle({"Records": [event]}, Context())  # what is read of it
        due_ms = timers.next_due_ms()
        assert due_ms is not None
        functions.clock.advance(max(0.001, (due_ms - functions.clock.now_ms()) / 1000))
        body = timers.take()
        events = [{**events[0], "body": body}] if body else []
    # By each process in each lane, before it knows; and each message is met once a minute.
    assert functions.attempts <= 2 * 4 * 3
    assert len(timers) <= 2 * 4


def test_a_lane_that_waits_for_an_open_circuit_is_not_run_again_and_again_where_no_timer_can_be_had() -> None:
    """It is rung when the circuit closes; and where nobody probes that, by reconciliation."""
    faults = Faults(
        lambda name, number, of_name: Fault.LOST_REQUEST if name == "doorbells.ring_later" else None
    )
    functions = InvokedFunctions(faults=faults)
    ledger, names = functions.cloud.ledger(US), (StreamName("orders"), SubscriptionName("all"))
    now_ms = functions.clock.now_ms()
    open_ = Circuit(CircuitState.OPEN, "down", now_ms, probe_ms=now_ms + 3_600_000)
    assert ledger.switch(*names, ledger.standing(*names).circuit, open_)
    functions.fabric.publish("orders", key="a", type="Placed", id="e")
    functions.relay()
    (message,) = functions.queue.receive()
    with using(functions.runtime("all")):
        answer = deliver.handle({"Records": [message.event()]}, Context())  # what is read of it
    assert answer == {"batchItemFailures": []}
    assert len(functions.queue.bodies) == 1
    assert functions.seen == []
