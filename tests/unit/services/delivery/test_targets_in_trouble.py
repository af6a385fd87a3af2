"""Trouble with the streams into which a handler publishes: no event is blamed for it, and none is lost."""

from random import Random

import pytest

from eventfabric import Delivery, Event
from eventfabric.errors import PortError, StateRefusedError
from eventfabric.telemetry import Metric
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.testing.memory.refusals import DENIED, KEY_DENIED
from eventfabric.testing.memory.table import MemoryTable
from tests.support.failing_handlers import retry
from tests.support.memory_fabric import event
from tests.support.publishing_stream import INVOICES, Handle, PublishingStream, bill, bill_and_count
from tests.support.recording_handler import EFFECTS


def table_of(fabric: PublishingStream, name: str) -> MemoryTable:
    return fabric.cloud.log_table(name, fabric.region)


@pytest.mark.parametrize("code", [DENIED, KEY_DENIED])
@pytest.mark.parametrize("action", ["Put", "Query"])
@pytest.mark.parametrize("handle", [bill, bill_and_count])
def test_a_target_that_refuses_is_no_failure_of_an_event(handle: Handle, action: str, code: str) -> None:
    fabric = PublishingStream(handle, guarantee="exactly_once", **retry(attempts=1))
    fabric.put(event("a"))
    target = table_of(fabric, INVOICES)
    target.refuser = lambda called, key: code if called == action else None
    for _ in range(3):
        with pytest.raises(PortError, match=code):
            fabric.deliver()
    assert not fabric.parked()
    assert Metric.EVENTS_FAILED not in fabric.telemetry.totals
    target.refuser = lambda called, key: None
    fabric.deliver()
    assert fabric.invoiced() == ["a"]
    assert fabric.cursor().sequence == 1


def test_a_table_of_the_handlers_own_that_refuses_is_the_events_failure() -> None:
    fabric = PublishingStream(bill_and_count, guarantee="exactly_once", **retry(attempts=1))
    fabric.put(event("a"))
    fabric.cloud.regions[fabric.region].table(EFFECTS).refuser = lambda called, key: DENIED
    fabric.deliver()
    assert fabric.parked()["k"].failure.error_type.endswith(":RefusedWriteError")
    assert fabric.invoiced() == []
    assert fabric.cursor().sequence == 1


@pytest.mark.parametrize("handle", [bill, bill_and_count])
def test_a_record_that_is_refused_by_itself_is_no_failure_of_an_event(handle: Handle) -> None:
    fabric = PublishingStream(handle, guarantee="exactly_once", **retry(attempts=1))
    fabric.put(event("a"))

    def refuse(called: str, overall: int, of_name: int) -> Fault | None:
        if (called, of_name) == ("ledger.commit", 1):
            raise StateRefusedError("commit", "ItemCollectionSizeLimitExceeded: of a record")
        return None

    with pytest.raises(StateRefusedError):
        fabric.deliver(by=fabric.deliverer(faults=Faults(refuse)))
    assert not fabric.parked()
    assert fabric.telemetry.totals[Metric.DELIVERIES_BLOCKED] == 1
    fabric.deliver()
    assert fabric.invoiced() == ["a"]


def test_what_one_event_publishes_and_its_lanes_state_surely_fit_into_a_transaction() -> None:
    content = Random(1).randbytes(240_000)
    # 17 times would fit as well, if the lane's state took no more than it does here.
    for count, rest_bytes, fits in ((16, 114_000, True), (17, 10, False)):

        def publish_much(
            event: Event, delivery: Delivery, count: int = count, rest_bytes: int = rest_bytes
        ) -> None:
            for number in range(count):
                delivery.publish(INVOICES, key=f"{number % 4}", type="Billed", data=content)
            delivery.publish(INVOICES, key="rest", type="Billed", data=content[:rest_bytes])

        fabric = PublishingStream(publish_much, guarantee="exactly_once", **retry(attempts=1))
        fabric.put(event("a"))
        faults = Faults()
        fabric.deliver(by=fabric.deliverer(faults=faults))
        assert len(fabric.invoices()) == (count + 1 if fits else 0)
        assert (not fabric.parked()) == fits
