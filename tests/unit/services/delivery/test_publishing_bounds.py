"""Bounds of a commit that publishes: what events join in one, and what one event may publish."""

from collections.abc import Callable
from random import Random

import pytest

from eventfabric import Delivery, Event, limits
from eventfabric.model import lane_index
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.memory_fabric import event, lane
from tests.support.publishing_stream import INVOICES, Handle, PublishingStream, bill_and_count
from tests.support.recording_handler import EFFECTS

HALF = (limits.TRANSACTION_WRITES_MAX) // 2


def key_of_lane(index: int, lanes: int) -> str:
    """Return a key whose events go to that lane of the target."""
    return next(key for key in map(str, range(10_000)) if lane_index(key, lanes) == index)


def commits_of(*handles: Handle, lanes: int = 4) -> tuple[PublishingStream, int]:
    """Deliver one event to each of these handlers, in one run. Return the number of commits, and the fabric."""

    def handle(event: Event, delivery: Delivery) -> None:
        handles[int(str(event.id))](event, delivery)

    fabric = PublishingStream(handle, guarantee="exactly_once", invoices=f"lanes = {lanes}")
    fabric.put(*[event(str(number), key=f"k{number}") for number in range(len(handles))])
    faults = Faults()
    fabric.deliver(by=fabric.deliverer(faults=faults))
    return fabric, faults.count("ledger.commit")


def doing(*lanes: int, writes: int = 0, size_bytes: int = 10, of: int = 4, written_bytes: int = 10) -> Handle:
    """Return a handler that publishes an event into each of these lanes of a stream, and makes so many writes."""
    content = Random(1).randbytes(size_bytes)

    def handle(event: Event, delivery: Delivery) -> None:
        for index in lanes:
            delivery.publish(INVOICES, key=key_of_lane(index, of), type="Billed", data=content)
        for number in range(writes):
            item = {"id": f"{event.id}:{number}", "of": b"x" * written_bytes}
            delivery.transaction.put(EFFECTS, item)

    return handle


@pytest.mark.parametrize(
    ("handles", "commits"),
    [
        ([doing(0, writes=HALF), doing(0, writes=HALF)], 1),
        ([doing(0, writes=HALF), doing(1, writes=HALF)], 2),
        ([doing(0, 1, writes=HALF), doing(writes=HALF)], 2),
        ([doing(0), doing(1), doing(0, 1)], 1),
        ([doing(0), doing(1), doing(2)], 2),
        ([doing(0, size_bytes=200_000), doing(0, size_bytes=200_000)], 2),
        ([doing(0, writes=10, size_bytes=125_000, written_bytes=203_000)] * 2, 2),
        ([doing(0, writes=10, size_bytes=5_000, written_bytes=203_000)] * 2, 1),
    ],
    ids=[
        "fit",
        "records count",
        "of those before, too",
        "two lanes",
        "three lanes",
        "a second record",
        "bytes",
        "fewer bytes",
    ],
)
def test_events_commit_together_while_one_transaction_holds_them(handles: list[Handle], commits: int) -> None:
    fabric, sent = commits_of(*handles)
    assert sent == commits
    assert fabric.cursor().sequence == len(handles)
    assert not fabric.parked()


def refusal_of(handle: Handle, lanes: int = 4) -> str:
    """Return the type of the error for which an event was parked without a commit of what it did."""
    fabric, sent = commits_of(handle, lanes=lanes)
    assert (sent, fabric.invoices()) == (1, [])
    return fabric.parked()["k0"].failure.error_type.rpartition(":")[2]


def test_records_of_one_event_count_among_its_writes() -> None:
    most = limits.TRANSACTION_WRITES_MAX
    assert commits_of(doing(0, 1, writes=most - 2))[1] == 1
    assert refusal_of(doing(0, 1, writes=most - 1)) == "TransactionTooLargeError"


def test_an_event_publishes_into_so_many_lanes_and_no_more() -> None:
    most = limits.PUBLISH_EVENT_LANES_MAX
    fabric, sent = commits_of(doing(*range(most), of=16), lanes=16)
    assert (sent, len(fabric.invoices())) == (1, most)
    assert refusal_of(doing(*range(most + 1), of=16), lanes=16) == "TooManyLanesError"


def test_events_of_a_batch_that_publish_into_too_many_lanes_together_go_one_by_one() -> None:
    def handle(events: list[Event], delivery: Delivery) -> None:
        for source in events:
            delivery.publish(INVOICES, event=source, key=source.key, type="Billed", data={"of": source.id})

    fabric = PublishingStream(handle, guarantee="exactly_once", invoices="lanes = 16")
    names = [f"e{number}" for number in range(40)]
    fabric.put(*[event(name, key=name) for name in names])
    fabric.deliver()
    assert sorted(fabric.invoiced()) == sorted(names)
    assert not fabric.parked()


def test_tails_of_several_lanes_are_read_side_by_side() -> None:
    together: list[int] = []

    def side_by_side(calls: list[Callable[[], None]]) -> None:
        together.append(len(calls))
        for call in calls:
            call()

    fabric = PublishingStream(doing(0, 1, 2), guarantee="exactly_once")
    fabric.put(event("a"))
    fabric.deliver(by=fabric.deliverer(side_by_side=side_by_side))
    assert together == [3]
    assert len(fabric.invoices()) == 3


def test_a_commit_that_publishes_is_tried_no_longer_than_there_is_time() -> None:
    fabric = PublishingStream(bill_and_count, guarantee="exactly_once")
    fabric.put(event("a"))

    def throttled(called: str, overall: int, of_name: int) -> Fault | None:
        return Fault.THROTTLED if called == "ledger.commit" else None

    began_ms = fabric.clock.now_ms()
    with pytest.raises(Exception, match="simulated"):
        fabric.deliver(by=fabric.deliverer(faults=Faults(throttled)), time_ms=2_000)
    assert 1_000 < fabric.clock.now_ms() - began_ms <= 2_500
    assert Metric.EVENTS_FAILED not in fabric.telemetry.totals


def test_a_lane_that_others_write_to_is_met_where_it_goes_on() -> None:
    fabric = PublishingStream(doing(0), guarantee="exactly_once")
    fabric.put(event("a"))
    fabric.overtake(lane(0))
    fabric.deliver()
    assert [record.sequence for record in fabric.records(lane(0), INVOICES)] == [0, 1]
