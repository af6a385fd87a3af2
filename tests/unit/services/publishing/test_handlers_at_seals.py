"""Handlers that publish into lanes which are split meanwhile: the plan is made anew, and each event published once."""

from collections.abc import Callable
from functools import partial

import pytest

from eventfabric import Delivery, Event
from eventfabric.errors import StateRefusedError
from eventfabric.limits import TRANSACTION_WRITES_MAX
from eventfabric.model import EMPTY_TAIL, Lane, lane_of, seal_at
from eventfabric.services.delivery.lane_result import LaneOutcome
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.memory_fabric import HOME, event, lane
from tests.support.publishing_stream import INVOICES, PublishingStream
from tests.support.split_logs import events_of_keys, records_below

LANES = 4
GUARANTEES = ("at_least_once", "exactly_once", "at_most_once")
KEYS = ("a", "b", "c", "d", "e")


def bill_all(event: Event, delivery: Delivery) -> None:
    """Publish an invoice for each of the keys."""
    for key in KEYS:
        delivery.publish(INVOICES, key=key, type="Billed", data={"of": event.id}, id=f"{event.id} {key}")


def published(stream: PublishingStream) -> dict[str, list[str]]:
    log = stream.cloud.log(INVOICES, HOME)
    roots = [lane(index) for index in range(LANES)]
    return events_of_keys([record for of in roots for record in records_below(log, of, LANES)])


def split(stream: PublishingStream, *lanes: Lane) -> None:
    log = stream.cloud.log(INVOICES, HOME)
    for of in lanes:
        tail = log.tail(of)
        tail = log.tail(of.parent) if tail == EMPTY_TAIL and not of.is_root else tail
        log.append(seal_at(tail, of, now_ms=stream.clock.now_ms()))


def split_all(stream: PublishingStream, generation: int = 0) -> None:
    split(stream, *{lane_of(key, HOME, LANES, generation) for key in KEYS})


def before(name: str, number: int, then: Callable[[], object]) -> Faults:
    """Something that happens just before a call of that name."""

    def rule(called: str, overall: int, of_name: int) -> Fault | None:
        if (called, of_name) == (name, number):
            then()
        return None

    return Faults(rule)


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_what_a_handler_publishes_goes_into_the_children_of_lanes_that_were_split(guarantee: str) -> None:
    stream = PublishingStream(bill_all, guarantee=guarantee)
    deliverer = stream.deliverer()
    for number, name in enumerate("123"):
        stream.put(event(name))
        assert stream.deliver(by=deliverer).outcome is LaneOutcome.DELIVERED
        split_all(stream, number)
    stream.put(event("4"))
    assert stream.deliver().outcome is LaneOutcome.DELIVERED
    assert published(stream) == {key: [f"{name} {key}" for name in "1234"] for key in KEYS}
    assert stream.calls == list("1234")


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_lane_that_is_split_between_two_calls_costs_no_second_call_of_the_handler(
    guarantee: str, number: int
) -> None:
    for name in ("log.append", "log.tail", "ledger.commit"):
        stream = PublishingStream(bill_all, guarantee=guarantee)
        faults = before(name, number, partial(split_all, stream))
        deliverer = stream.deliverer(faults=faults)
        for of in "12":
            stream.put(event(of))
            assert stream.deliver(by=deliverer).outcome is LaneOutcome.DELIVERED
        assert stream.calls == ["1", "2"]
        assert published(stream) == {key: [f"{of} {key}" for of in "12"] for key in KEYS}


def test_an_event_is_published_once_though_its_lane_was_split_between_two_attempts() -> None:
    def bill_once(event: Event, delivery: Delivery) -> None:
        delivery.publish(INVOICES, key="a", type="Billed", data={}, once=True)
        if len(stream.calls) == 1:
            raise ValueError("again")

    stream = PublishingStream(bill_once)
    stream.put(event("1"))
    stream.deliver()
    split_all(stream)
    stream.clock.advance(3_600)
    stream.deliver_all()
    ((_, ids),) = published(stream).items()
    assert len(ids) == 1


def test_actions_that_are_more_than_were_counted_are_counted_anew_and_no_handler_is_to_blame() -> None:
    lanes = {lane_of(key, HOME, LANES) for key in KEYS}
    leaves = {lane_of(key, HOME, LANES, 1) for key in KEYS}
    assert len(leaves) > len(lanes)
    room = TRANSACTION_WRITES_MAX

    def bill_and_write(event: Event, delivery: Delivery) -> None:
        first = len(stream.calls) == 1
        for number in range(room - len(lanes if first else leaves)):
            delivery.transaction.put("own", {"id": f"{number}"})
        bill_all(event, delivery)

    stream = PublishingStream(bill_and_write, guarantee="exactly_once")
    stream.cloud.regions[HOME].create_table("own", key_names=("id",))
    stream.put(event("1"))
    split_all(stream)
    deliverer = stream.deliverer()
    with pytest.raises(StateRefusedError):
        stream.deliver(by=deliverer)
    assert published(stream) == {}
    assert stream.deliver(by=deliverer).outcome is LaneOutcome.DELIVERED
    assert published(stream) == {key: [f"1 {key}"] for key in KEYS}
    assert Metric.EVENTS_FAILED not in stream.telemetry.totals
