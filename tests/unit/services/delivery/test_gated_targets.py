"""Handlers that publish into a stream that a subscription gates: nothing is lost for want of credit."""

import pytest

from eventfabric import Delivery, Event
from eventfabric.model import LaneKey, Region, SequenceNumber, StreamName, SubscriptionName
from eventfabric.services.publishing.credits import Gate, KnownCredits
from eventfabric.telemetry import Metric
from tests.support.appends import Half
from tests.support.memory_fabric import HOME, LANE, event
from tests.support.publishing_stream import INVOICES, PublishingStream

GATE = Gate(SubscriptionName("ledger"))


class GatedTarget(PublishingStream):
    """A subscription whose handler publishes into a stream of one lane, which is gated. `once`: with that."""

    def __init__(self, guarantee: str, *, once: bool = False) -> None:
        super().__init__(self.bill, guarantee=guarantee, invoices="lanes = 1", lanes=1)
        self.once = once
        known = KnownCredits(
            self.cloud.credits(HOME),
            StreamName(INVOICES),
            Region(HOME),
            gates=lambda: (GATE,),
            clock=self.clock,
            entropy=Half(),
        )
        self.credits = lambda: known
        self.instance = self.deliverer()

    def bill(self, event: Event, delivery: Delivery) -> None:
        delivery.publish(INVOICES, key=event.key, type="Billed", data={"of": event.id}, once=self.once)

    def grants(self, grant: int) -> None:
        key = LaneKey(StreamName(INVOICES), GATE.subscription, LANE)
        self.cloud.credits(HOME).grant(key, SequenceNumber(grant))

    def order(self, *names: str) -> None:
        """Append orders, each in a record of its own, and deliver what can be delivered within some minutes."""
        for name in names:
            self.put(event(name))
        self.relay_all()
        self.go_on()

    def go_on(self) -> None:
        """Deliver what can be delivered within some minutes."""
        self.clock.sleep(600)
        self.ring_all([LANE])
        for _ in range(20):
            self.answer(self.receive(), by=self.instance)
            self.clock.sleep(60)

    @property
    def unpublished(self) -> float:
        return self.telemetry.totals.get(Metric.EVENTS_UNPUBLISHED, 0)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_handler_whose_target_has_no_credit_waits_and_no_attempt_is_counted(guarantee: str) -> None:
    fabric = GatedTarget(guarantee)
    fabric.grants(0)
    fabric.order("e0")
    assert (fabric.invoiced(), fabric.parked(), fabric.calls) == ([], {}, ["e0"])
    fabric.grants(9)
    fabric.go_on()
    assert (fabric.invoiced(), fabric.calls) == (["e0"], ["e0", "e0"])


@pytest.mark.parametrize("once", [False, True])
def test_what_is_published_after_its_commit_goes_beyond_the_credit_and_the_lane_waits_before_its_next(
    once: bool,
) -> None:
    fabric = GatedTarget("at_most_once", once=once)
    fabric.grants(0)
    fabric.order("e0")
    assert (fabric.invoiced(), fabric.calls, fabric.unpublished) == (["e0"], ["e0"], 0)
    fabric.order("e1", "e2")
    assert fabric.calls == ["e0"], "no handler is called whose events have no credit"
    fabric.grants(9)
    fabric.go_on()
    assert (fabric.invoiced(), fabric.calls) == (["e0", "e1", "e2"], ["e0", "e1", "e2"])
    assert fabric.unpublished == 0


def test_what_has_credit_of_a_handler_s_events_needs_it_no_second_time() -> None:
    fabric = GatedTarget("at_most_once")
    fabric.grants(1)
    fabric.order("e0", "e1")
    assert fabric.invoiced() == ["e0", "e1"]
    fabric.grants(3)
    fabric.order("e2")
    assert (fabric.invoiced(), fabric.unpublished) == (["e0", "e1", "e2"], 0)
