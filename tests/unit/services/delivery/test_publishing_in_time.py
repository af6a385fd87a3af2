"""Publishing beside a commit: in the invocation's time, and not again because another lane is in trouble."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from eventfabric import Delivery, Event, limits
from eventfabric.errors import PortError, RefusedError
from eventfabric.model import Chain, SequenceNumber, WriteRefused
from eventfabric.services.delivery.deliver import Deliverer
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults, nth
from eventfabric.testing.memory.refusals import THROTTLE
from tests.support.memory_fabric import event, lane
from tests.support.publishing_stream import INVOICES, Handle, PublishingStream, bill

SECOND_MS = 1_000
MARGIN_MS = 5 * SECOND_MS


def bill_into(*keys: str, once: bool = False) -> Handle:
    """Return a handler that publishes an invoice of each of these keys, or of its event's key."""

    def handle(event: Event, delivery: Delivery) -> None:
        for key in keys or (event.key,):
            delivery.publish(INVOICES, key=key, type="Billed", data={"of": event.id}, once=once)

    return handle


def taking(fabric: PublishingStream, seconds: float, *, ends_ms: int = 2**62) -> Faults:
    """Have each write into a target take so long, and the process end at a time."""

    def rule(called: str, overall: int, of_name: int) -> Fault | None:
        if called in {"log.append", "outbox.append"}:
            fabric.clock.advance(seconds)
        return Fault.CRASH_BEFORE if fabric.clock.now_ms() >= ends_ms else None

    return Faults(rule)


def throttle(fabric: PublishingStream, is_throttled: Callable[[str], bool]) -> None:
    """Throttle puts into some lanes of the target."""
    fabric.cloud.log_table(INVOICES, fabric.region).refuser = lambda action, key: (
        THROTTLE if action == "Put" and is_throttled(str(key)) else None
    )


def deliver_within(fabric: PublishingStream, by: Deliverer | None, seconds: int) -> None:
    """Run the lane in an invocation of so many seconds, which the process does not outlive."""
    ends_ms = fabric.clock.now_ms() + seconds * SECOND_MS
    try:
        fabric.deliver(by=by, time_ms=seconds * SECOND_MS - MARGIN_MS)
    finally:
        assert fabric.clock.now_ms() < ends_ms


@pytest.mark.parametrize("lanes", [1, 4])
def test_at_most_once_a_backlog_is_dropped_neither_for_the_time_of_handlers_nor_of_puts(lanes: int) -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        fabric.clock.advance(0.001)
        bill_into(*(f"key {number}" for number in range(2 * lanes)))(event, delivery)

    fabric = PublishingStream(handle, guarantee="at_most_once", invoices=f"lanes = {lanes}")
    fabric.put(*[event(f"e{number}", key=f"k{number}") for number in range(400)])
    by = fabric.deliverer(faults=taking(fabric, 0.008))
    while fabric.cursor().sequence < 400:
        fabric.deliver(by=by, time_ms=2 * SECOND_MS)
    assert len(fabric.calls) == 400
    assert len(fabric.invoices()) == 800 * lanes
    assert not {Metric.EVENTS_DROPPED, Metric.EVENTS_UNPUBLISHED} & fabric.telemetry.totals.keys()


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("once", [False, True])
def test_a_run_begins_no_attempt_whose_events_it_could_not_publish(once: bool, lanes: int) -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        fabric.clock.advance(0.1)
        bill_into(once=once)(event, delivery)

    fabric = PublishingStream(handle, invoices=f"lanes = {lanes}")
    fabric.put(*[event(f"e{number}", key=f"k{number}") for number in range(300)])
    by = fabric.deliverer(faults=taking(fabric, 0.2))
    while fabric.cursor().sequence < 300:
        before = fabric.cursor().sequence
        deliver_within(fabric, by, 30)
        assert fabric.cursor().sequence > before
    assert len(fabric.calls) == len(fabric.invoices()) == 300


@pytest.mark.parametrize("once", [False, True])
def test_publishing_ends_before_the_invocation_does(once: bool) -> None:
    fabric = PublishingStream(bill_into(*(f"key {number}" for number in range(12)), once=once))
    fabric.put(event("a"))
    throttle(fabric, lambda key: True)
    for _ in range(3):
        ends_ms = fabric.clock.now_ms() + 30 * SECOND_MS
        by = fabric.deliverer(faults=taking(fabric, 0.01, ends_ms=ends_ms))
        with pytest.raises(PortError):
            by.deliver(fabric.bell(), deadline_ms=ends_ms - MARGIN_MS)
        fabric.clock.advance(60)
    assert not fabric.parked()
    assert (fabric.cursor().sequence, fabric.cursor().crashes) == (0, 0)
    throttle(fabric, lambda key: False)
    fabric.deliver()
    assert len(fabric.invoices()) == 12


def test_a_handler_that_ends_after_its_time_publishes_all_the_same() -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        fabric.clock.advance(26)
        bill(event, delivery)

    fabric = PublishingStream(handle)
    fabric.put(event("a"))
    deliver_within(fabric, fabric.deliverer(faults=taking(fabric, 0.2)), 30)
    assert fabric.cursor().sequence == 1
    assert fabric.invoiced() == ["a"]


def test_no_write_but_the_first_begins_after_the_runs_time() -> None:
    fabric = PublishingStream(bill_into(*(f"key {number}" for number in range(40))), invoices="lanes = 16")
    fabric.put(event("a"))
    by = fabric.deliverer(faults=taking(fabric, 1.2))
    runs = 0
    while not fabric.cursor().sequence:
        runs += 1
        with suppress(PortError):
            deliver_within(fabric, by, 10)
    assert 2 < runs < 10
    assert len(fabric.invoices()) == 40, "each once, over several runs"


def two_lanes(fabric: PublishingStream) -> tuple[str, str]:
    """Publish into two lanes, and return both."""
    fabric.put(event("first"))
    fabric.deliver()
    healthy, sick = (record.lane for record in fabric.target_records())
    return str(healthy), str(sick)


def test_nothing_is_appended_while_a_lane_is_in_doubt() -> None:
    fabric = PublishingStream(bill_into("healthy", "key 3"))
    two_lanes(fabric)
    sick = fabric.target_records()[-1]
    far = replace(sick, sequence=SequenceNumber(99), chain=Chain(bytes(16)))
    assert fabric.cloud.log(INVOICES, fabric.region).append(far) is None
    fabric.put(event("b"))
    by = fabric.deliverer()
    for _ in range(5):
        with pytest.raises(RefusedError, match="record 99"):
            fabric.deliver(by=by)
    assert fabric.calls == ["first", "b"]
    assert [invoice.data["of"] for invoice in fabric.invoices() if invoice.key == "healthy"] == ["first"]


@pytest.mark.parametrize("names", [("b",), ("b", "c", "d")])
def test_what_has_landed_is_not_appended_again_by_later_runs(names: tuple[str, ...]) -> None:
    fabric = PublishingStream(bill_into("healthy", "key 3"))
    _, sick = two_lanes(fabric)
    fabric.put(*[event(name, key=name) for name in names])
    throttle(fabric, lambda key: sick in key)
    by = fabric.deliverer()
    for _ in range(5):
        with pytest.raises(PortError):
            fabric.deliver(by=by)
    assert fabric.calls == ["first", *names]
    throttle(fabric, lambda key: False)
    fabric.deliver(by=by)
    assert fabric.calls == ["first", *names, *names]
    assert sorted(fabric.invoiced()) == sorted(["first", *names] * 2)
    assert fabric.cursor().sequence == 1 + len(names)
    fabric.put(event("last"))
    fabric.deliver(by=by)
    assert fabric.invoiced().count("last") == 2


def test_a_memory_that_those_of_other_lanes_have_replaced_ends_no_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fabric = PublishingStream(bill)
    fabric.put(event("a"))
    fabric.put(event("b"), of=lane(1))

    def meanwhile(called: str, overall: int, of_name: int) -> Fault | None:
        if called == "ledger.commit" and of_name == 1:
            fabric.deliver(lane(1), by=by)
        return None

    by = fabric.deliverer(faults=Faults(meanwhile))
    monkeypatch.setattr(limits, "UNCOMMITTED_LANES_MAX", 1)
    fabric.deliver(by=by)
    assert sorted(fabric.invoiced()) == ["a", "b"]
    assert [fabric.cursor(of).sequence for of in (lane(0), lane(1))] == [1, 1]


def test_two_events_of_one_id_are_two_also_where_the_first_has_landed() -> None:
    def same_id(event: Event, delivery: Delivery) -> None:
        delivery.publish(INVOICES, key="k", type="Billed", id="own", data={"of": "any"})

    fabric = PublishingStream(same_id)
    fabric.put(event("a", key="a"))
    by = fabric.deliverer(faults=Faults(nth(1, Fault.DENIED, name="ledger.commit")))
    with pytest.raises(PortError):
        fabric.deliver(by=by)
    fabric.put(event("b", key="b"))
    fabric.deliver(by=by)
    assert fabric.calls == ["a", "a", "b"]
    assert [invoice.id for invoice in fabric.invoices()] == ["own", "own"]


def test_a_put_without_a_reply_is_settled_by_the_next_run() -> None:
    fabric = PublishingStream(bill)
    fabric.put(event("a"))
    silent = Faults(lambda called, overall, of_name: Fault.LOST_REPLY if called == "log.append" else None)
    by = fabric.deliverer(faults=silent)
    with pytest.raises(PortError):
        fabric.deliver(by=by)
    silent.heal()
    fabric.deliver(by=by)
    assert fabric.invoiced() == ["a"]
    assert fabric.cursor().sequence == 1


def test_what_failed_is_not_published_behind_somebody_who_has_gone_on() -> None:
    fabric = PublishingStream(bill)
    fabric.put(event("a"))
    throttle(fabric, lambda key: True)
    by = fabric.deliverer()
    with pytest.raises(PortError):
        fabric.deliver(by=by)
    throttle(fabric, lambda key: False)
    fabric.deliver()
    fabric.put(event("b"))
    fabric.deliver(by=by)
    assert fabric.invoiced() == ["a", "b"]


def test_events_of_a_key_stand_in_order_whether_once_or_not() -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        delivery.publish(INVOICES, key="k", type="Opened", data={"of": event.id})
        delivery.publish(INVOICES, key="k", type="Closed", data={"of": event.id}, once=True)
        delivery.publish(INVOICES, key="k", type="Filed", data={"of": event.id})

    fabric = PublishingStream(handle)
    fabric.put(event("a"), event("b", key="b"))
    fabric.deliver()
    expected = [(type_, of) for of in ("a", "b") for type_ in ("Opened", "Closed", "Filed")]
    assert [(invoice.type, invoice.data["of"]) for invoice in fabric.invoices()] == expected


def test_a_conflict_of_one_event_repeats_nothing_of_those_beside_it() -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        delivery.publish(INVOICES, key="k", type="Billed", data={"of": event.id})
        delivery.publish(INVOICES, key="k", type="Closed", id="same", data={"of": event.id}, once=True)

    fabric = PublishingStream(handle)
    fabric.put(*[event(name, key=name) for name in ("a", "b", "c")])
    fabric.deliver()
    assert sorted(fabric.invoiced()) == ["a", "b", "c"]
    assert fabric.parked().keys() == {"b", "c"}


@pytest.mark.parametrize("code", ["AccessDenied", "ItemCollectionSizeLimitExceeded", "ValidationError"])
def test_a_note_that_is_refused_ends_the_run_and_blames_nobody(code: str) -> None:
    class Refusing:
        def append(self, *_: object, **__: object) -> WriteRefused:
            return WriteRefused(0, code, "as DynamoDB says", None)

    fabric = PublishingStream(bill_into(once=True))
    fabric.put(event("a"))
    by = fabric.deliverer(outbox=Refusing())
    with pytest.raises(RefusedError, match=code):
        fabric.deliver(by=by)
    assert not fabric.parked()
    assert fabric.telemetry.totals[Metric.DELIVERIES_BLOCKED] == 1


def test_at_most_once_a_lane_in_doubt_loses_what_is_published_and_ends_no_run() -> None:
    fabric = PublishingStream(bill, guarantee="at_most_once")
    fabric.put(event("a"))
    fabric.deliver()
    (record,) = fabric.target_records()
    far = replace(record, sequence=SequenceNumber(99), chain=Chain(bytes(16)))
    assert fabric.cloud.log(INVOICES, fabric.region).append(far) is None
    fabric.put(event("b"), event("c"))
    fabric.deliver()
    assert fabric.cursor().sequence == 3
    assert fabric.telemetry.totals[Metric.EVENTS_UNPUBLISHED] == 2
