"""A target stream with a retention: its records expire, and a lane of which nothing is left is not begun anew."""

from typing import Any

import pytest

from eventfabric.errors import PortError
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.wire.keys import record_key
from tests.support.memory_fabric import event
from tests.support.publishing_stream import INVOICES, PublishingStream, bill

DAY_SECONDS = 24 * 3600


def bill_once(*args: Any) -> None:
    event, delivery = args
    delivery.publish(INVOICES, key=event.key, type="Billed", data={"of": event.id}, once=True)


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once", "exactly_once"])
def test_what_is_published_expires_with_its_stream(guarantee: str, once: bool) -> None:
    fabric = PublishingStream(
        bill_once if once else bill, guarantee=guarantee, invoices="lanes = 1\nretention_days = 2"
    )
    fabric.put(event("a"))
    fabric.deliver()
    (record,) = fabric.target_records()
    assert record.expires_at == fabric.clock.now_ms() // 1000 + 2 * DAY_SECONDS


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_lane_that_is_known_to_have_gone_further_is_not_begun_anew(guarantee: str) -> None:
    fabric = PublishingStream(bill, guarantee=guarantee, invoices="lanes = 1\nretention_days = 2")
    fabric.put(event("a"))
    fabric.deliver()
    target = fabric.topology.stream(INVOICES)
    reconciler = Reconciler(target, region=fabric.region, ports=fabric.ports(), telemetry=fabric.telemetry)
    list(reconciler.run(repair=True))
    (record,) = fabric.target_records()
    table = fabric.cloud.log_table(INVOICES, fabric.region)
    table.write("Delete", {"Key": record_key(record.lane, record.sequence)})
    fabric.put(event("b"))
    with pytest.raises(PortError, match="known up to 1"):
        fabric.deliver()
    assert fabric.target_records() == []
