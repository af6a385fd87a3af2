"""Timers whose queues are busy, away or silent: they ring within seconds, and never multiply."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import eventfabric.handlers.timer
from eventfabric import limits
from eventfabric.deadline import seconds_left
from eventfabric.definition.file import parse_definition
from eventfabric.model import Doorbell, Lane, SequenceNumber, StreamName
from eventfabric.resources import TimerQueueTopology
from eventfabric.runtime.wiring import using
from eventfabric.services.delivery.ringer import CALLS_SECONDS
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.testing.memory.queue import MemoryTimers
from eventfabric.topology import Topology
from eventfabric.wire.doorbell import from_body, to_body
from tests.handlers.test_functions import TOPOLOGY, US, Context, InvokedFunctions

QUEUE: TimerQueueTopology = TOPOLOGY.subscription("all").timers


def timers_of(functions: InvokedFunctions, *bodies: str) -> MemoryTimers:
    timers = functions.cloud.timers("all", US)
    for body in bodies:
        timers.send(body, delay_seconds=0)
    return timers


def bell(lane: int, again: int) -> Doorbell:
    return Doorbell(StreamName("orders"), Lane.parse(f"{US}/0.{lane}"), SequenceNumber(0), again=again)


def ring(functions: InvokedFunctions, timers: MemoryTimers) -> None:
    """Hand what is due to the timer function, as Lambda does."""
    messages = list(iter(timers.receive, None))
    arn = {"eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{QUEUE.name}"}
    event: dict[str, Any] = {"Records": [{**message.event(), **arn} for message in messages]}
    with using(functions.runtime(None)):
        answer = eventfabric.handlers.timer.handle(event, Context())
    failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
    for message in messages:
        assert message.receive_count <= QUEUE.receive_count_max
        if message.message_id not in failed:
            timers.delete(message.receipt_handle)


def failing(fault: Fault, *names: str, times: int = 10**9) -> Faults:
    return Faults(lambda name, number, of_name: fault if name in names and of_name <= times else None)


def test_a_queue_that_is_busy_for_a_moment_is_rung_in_place() -> None:
    functions = InvokedFunctions(faults=failing(Fault.THROTTLED, "doorbells.ring", times=1))
    began_ms, timers = functions.clock.now_ms(), timers_of(functions, to_body(bell(0, 1), timer_of="all"))
    ring(functions, timers)
    assert len(functions.queue) == 1
    assert len(timers) == 0
    assert functions.clock.now_ms() - began_ms < 1_000


def test_a_queue_that_is_busy_for_longer_has_the_timer_come_again_within_seconds() -> None:
    functions = InvokedFunctions(faults=failing(Fault.THROTTLED, "doorbells.ring"))
    timers = timers_of(functions, to_body(bell(0, 1), timer_of="all"))
    ring(functions, timers)
    due_ms = timers.next_due_ms()
    assert due_ms is not None
    assert due_ms - functions.clock.now_ms() <= 1_000 * limits.LANE_AGAIN_SECONDS


def test_timers_do_not_multiply_while_queues_take_all_and_answer_nothing_for_hours() -> None:
    silent = failing(Fault.LOST_REPLY, "doorbells.ring", "doorbells.ring_later", "doorbells.put_off")
    functions = InvokedFunctions(faults=silent)
    timers = timers_of(functions, *(to_body(bell(lane, 1), timer_of="all") for lane in range(3)))
    began_ms = functions.clock.now_ms()
    while functions.clock.now_ms() - began_ms < 6 * 3_600_000:
        ring(functions, timers)
        assert len(timers) == 3
        due_ms = timers.next_due_ms()
        assert due_ms is not None
        functions.clock.advance((due_ms - functions.clock.now_ms()) / 1000)
    functions.faults.rules.clear()
    ring(functions, timers)
    assert len(timers) == 0


def test_one_call_rings_all_that_came_together_and_those_it_refuses_come_again() -> None:
    functions = InvokedFunctions(faults=failing(Fault.LOST_REQUEST, "doorbells.ring"))
    timers = timers_of(functions, *(to_body(bell(lane, 1), timer_of="all") for lane in range(4)))
    began_ms = functions.clock.now_ms()
    ring(functions, timers)
    assert functions.clock.now_ms() - began_ms <= 1_000 * limits.LANE_PATIENCE_SECONDS
    assert len(timers) == 4
    functions.faults.rules.clear()
    functions.clock.advance(limits.LANE_AGAIN_SECONDS)
    ring(functions, timers)
    assert sorted(from_body(body).lane.index for body in functions.queue.bodies) == [0, 1, 2, 3]
    assert len(timers) == 0


def test_what_is_no_doorbell_comes_again_soon_so_that_it_is_found_before_it_expires() -> None:
    functions = InvokedFunctions()
    timers = timers_of(functions, "{}", to_body(bell(0, 1), timer_of="all"))
    ring(functions, timers)
    assert len(timers) == 1
    due_ms = timers.next_due_ms()
    assert due_ms is not None
    assert due_ms - functions.clock.now_ms() == 1_000 * limits.REFUSED_AGAIN_SECONDS


def test_what_is_no_doorbell_and_what_cannot_be_rung_both_come_again() -> None:
    functions = InvokedFunctions(faults=failing(Fault.THROTTLED, "doorbells.ring"))
    timers = timers_of(
        functions, "{}", to_body(bell(0, 1), timer_of="all"), to_body(bell(1, 1), timer_of="all")
    )
    ring(functions, timers)
    assert len(timers) == 3
    assert len(functions.queue) == 0


TWO = Topology(
    parse_definition(
        '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\nlanes = 4\n'
        '[subscriptions.all]\nstream = "orders"\nhandler = "subscribers.any:handle"\n'
        '[subscriptions.few]\nstream = "orders"\nhandler = "subscribers.any:handle"\n'
    )
)


def test_a_timer_rings_in_the_queue_of_the_subscription_that_it_names() -> None:
    functions = InvokedFunctions(topology=TWO)
    timers = timers_of(functions, to_body(bell(0, 1), timer_of="few"), to_body(bell(1, 1), timer_of="all"))
    ring(functions, timers)
    rung = {name: functions.cloud.queue(name, US).bodies for name in ("all", "few")}
    assert {name: [from_body(body).lane.index for body in bodies] for name, bodies in rung.items()} == {
        "all": [1],
        "few": [0],
    }
    assert len(timers) == 0


def test_a_timer_of_a_subscription_that_is_none_is_refused_and_no_other_one() -> None:
    functions = InvokedFunctions(topology=TWO)
    timers = timers_of(functions, to_body(bell(0, 1), timer_of="gone"), to_body(bell(1, 1), timer_of="all"))
    ring(functions, timers)
    assert len(functions.queue.bodies) == len(timers) == 1
    due_ms = timers.next_due_ms()
    assert due_ms == functions.clock.now_ms() + 1000 * limits.REFUSED_AGAIN_SECONDS


def test_no_subscription_waits_for_the_queue_of_another() -> None:
    rung_ms: list[int] = []

    def few_is_away(called: str, overall: int, of_name: int) -> Fault | None:
        if called != "doorbells.ring":
            return None
        rung_ms.append(functions.clock.now_ms())
        return None if of_name == 2 else Fault.LOST_REQUEST

    functions = InvokedFunctions(topology=TWO, faults=Faults(few_is_away))
    began_ms = functions.clock.now_ms()
    timers = timers_of(functions, to_body(bell(0, 1), timer_of="few"), to_body(bell(1, 1), timer_of="all"))
    ring(functions, timers)
    first_ms, second_ms, *later_ms = rung_ms
    assert (first_ms, second_ms) == (began_ms, began_ms)
    assert min(later_ms) > began_ms
    assert (len(functions.queue.bodies), len(timers)) == (1, 1)


def test_queues_of_several_subscriptions_are_rung_at_the_same_time_and_each_has_only_so_long() -> None:
    at_once: list[int] = []
    seconds: list[float] = []

    def side_by_side(calls: Sequence[Callable[[], None]]) -> None:
        at_once.append(len(calls))
        one_after_another(calls)

    def few_is_away(called: str, overall: int, of_name: int) -> Fault | None:
        seconds.append(seconds_left())
        return Fault.LOST_REQUEST if called == "doorbells.ring" else None

    functions = InvokedFunctions(
        topology=TWO, faults=Faults(few_is_away), side_by_side_of=lambda most: side_by_side
    )
    timers = timers_of(functions, to_body(bell(0, 1), timer_of="few"), to_body(bell(1, 1), timer_of="all"))
    ring(functions, timers)
    assert set(at_once) == {2}
    assert max(seconds) <= CALLS_SECONDS
    assert "doorbells.put_off" in functions.faults.calls


def test_timers_of_a_fabric_without_subscriptions_are_refused_one_by_one() -> None:
    none = Topology(parse_definition('[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\n'))
    body, arn = to_body(bell(0, 1), timer_of="all"), f"arn:aws:sqs:us-east-1:123456789012:{QUEUE.name}"
    records: list[dict[str, Any]] = [
        {"messageId": name, "receiptHandle": name, "body": body, "attributes": {}, "eventSourceARN": arn}
        for name in ("1", "2")
    ]
    runtime = replace(InvokedFunctions().runtime(None), topology=none)
    with using(runtime):
        answer = eventfabric.handlers.timer.handle({"Records": records}, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "2"}]}


def test_a_timer_of_an_earlier_version_is_known_by_its_queue() -> None:
    functions = InvokedFunctions()
    former = MemoryTimers(TOPOLOGY.subscription("all").former_timers_name, clock=functions.clock)
    former.send(to_body(bell(2, 1)), delay_seconds=0)
    message = former.receive()
    assert message is not None
    record = {**message.event(), "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{former.name}"}
    with using(functions.runtime(None)):
        assert eventfabric.handlers.timer.handle({"Records": [record]}, Context()) == {
            "batchItemFailures": []
        }
    assert [from_body(body).lane.index for body in functions.queue.bodies] == [2]
