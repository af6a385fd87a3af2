"""Producers ring by themselves: what for, what the relay makes of it, and that nothing depends on it."""

from collections.abc import Mapping, Sequence
from threading import Event as Flag

import pytest

from eventfabric import Event
from eventfabric.definition.file import parse_definition
from eventfabric.errors import OutcomeUnknownError
from eventfabric.limits import EXPRESS_THREADS_MAX, REGION_PAUSE_SECONDS
from eventfabric.model import Doorbell, Region
from eventfabric.sdk.express import Express
from eventfabric.testing.memory.doorbells import MemoryDoorbells
from eventfabric.topology import Topology
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric, event
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream

DEFINITION = f"""
    [fabric]
    name = "shop"
    regions = ["{HOME}", "{AWAY}"]
    [streams.orders]
    lanes = 1
    [streams.quiet]
    lanes = 1
    express = false
    [subscriptions.billing]
    stream = "orders"
    handler = "a:b"
    [subscriptions.refunds]
    stream = "orders"
    handler = "a:b"
    types = ["refunded"]
    [subscriptions.audit]
    stream = "orders"
    handler = "a:b"
    deliver = "everywhere"
    [subscriptions.report]
    stream = "orders"
    handler = "a:b"
    deliver = "one"
    region = "{AWAY}"
    [subscriptions.listener]
    stream = "quiet"
    handler = "a:b"
"""


class Bells:
    """Notes what is rung; refuses while `refuses`, raises while `is_away`, waits for `gate`."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, str]] = []
        self.refuses = self.is_away = False
        self.calls = 0
        self.entered, self.gate = Flag(), Flag()
        self.gate.set()

    def ring(self, subscription: str, doorbells: Sequence[Doorbell]) -> list[Doorbell]:
        self.calls += 1
        self.entered.set()
        assert self.gate.wait(10)
        if self.is_away:
            raise OutcomeUnknownError("ring", "the Region is away")
        if self.refuses:
            return list(doorbells)
        self.rung += [(subscription, bell.deduplication_id) for bell in doorbells]
        return []

    def answer(self, subscription: str, receipt_handles: Sequence[str]) -> None:
        raise AssertionError("a producer answers no doorbell")

    def hide(self, subscription: str, receipt_handles: Sequence[str], seconds: int) -> None:
        raise AssertionError("a producer hides no doorbell")

    def put_off(self, subscription: str, seconds_of: Mapping[str, int]) -> None:
        raise AssertionError("a producer puts off no timer")

    def ring_later(self, subscription: str, doorbell: Doorbell, delay_seconds: float) -> bool:
        raise AssertionError("a producer rings at once")


class RingingProducer(MemoryFabric):
    """A producer that rings by itself, at bells that tests watch."""

    def __init__(self, *, has_threads: bool = False, definition: str = DEFINITION) -> None:
        super().__init__(Topology(parse_definition(definition)), seed=1)
        self.bells = {region: Bells() for region in self.topology.regions}
        self.fabric = self.producer(
            failover=[AWAY],
            doorbells_of=lambda region: self.bells[region],
            parallel_lanes=1 if has_threads else 0,
        )

    def publish(self, *, stream: str = "orders", type: str = "placed", **how: object) -> None:
        self.fabric.publish(stream, key="k", type=type, **how)  # type: ignore[arg-type]  # any option

    @property
    def rung(self) -> list[tuple[str, str]]:
        return self.bells[HOME].rung


def test_subscriptions_that_want_the_event_and_are_delivered_here_are_rung() -> None:
    shop = RingingProducer()
    shop.publish()
    assert shop.rung == [("billing", f"{HOME}/0.0@1"), ("audit", f"{HOME}/0.0@1")]
    shop.publish(type="refunded")
    assert shop.rung[2:] == [(name, f"{HOME}/0.0@2") for name in ("billing", "refunds", "audit")]
    assert shop.bells[AWAY].rung == []


def test_a_stream_may_leave_all_ringing_to_the_relay() -> None:
    shop = RingingProducer()
    shop.publish(stream="quiet")
    assert shop.bells[HOME].calls == 0


@pytest.mark.parametrize("how", ["many", "once", "transaction", "publisher"])
def test_however_it_is_published_it_is_rung_for(how: str) -> None:
    shop, event = RingingProducer(), Event(key="k", type="placed", id="e1")
    match how:
        case "many":
            shop.fabric.publish_many("orders", [event])
        case "once":
            shop.publish(id="e1", once=True)
        case "transaction":
            with shop.fabric.transaction() as transaction:
                transaction.publish("orders", key="k", type="placed")
        case _:
            with shop.fabric.publisher("orders") as publisher:
                publisher.publish_event(event)
    assert ("billing", f"{HOME}/0.0@1") in shop.rung


def test_the_queue_drops_the_relays_doorbell_for_the_same_tail() -> None:
    fabric = SubscribedStream()
    express = Express(lambda region: fabric.ports(region).doorbells, clock=fabric.clock, has_threads=False)
    record = fabric.put(event("e1"))
    express.ring(fabric.stream, record)
    queue = fabric.cloud.queue(SUBSCRIPTION, HOME)
    assert len(queue) == 1
    fabric.relay_all()
    assert len(queue) == 1
    fabric.deliver_all()
    assert fabric.recorder.ids() == ["e1"]


@pytest.mark.parametrize("trouble", ["refuses", "is_away"])
def test_a_queue_that_cannot_be_rung_is_left_alone_for_a_while_and_nothing_fails(trouble: str) -> None:
    shop = RingingProducer()
    bells = shop.bells[HOME]
    setattr(bells, trouble, True)
    shop.publish()
    assert bells.calls == 2  # of both subscriptions
    setattr(bells, trouble, False)
    shop.clock.advance(REGION_PAUSE_SECONDS - 0.001)
    shop.publish()
    assert (bells.calls, bells.rung) == (2, [])
    shop.clock.set_back(-0.001)  # frozen, of which the steady clock knows nothing
    shop.publish()
    assert [of for of in bells.rung if of[0] == "billing"] == [("billing", f"{HOME}/0.0@3")]


def test_publishing_does_not_wait_for_the_queue_and_of_each_lane_the_newest_doorbell_is_kept() -> None:
    shop = RingingProducer(
        has_threads=True,
        definition=DEFINITION.partition("[subscriptions.refunds]")[0].replace("express = false", ""),
    )
    bells = shop.bells[HOME]
    bells.gate.clear()
    shop.publish()
    assert bells.entered.wait(10)
    for _ in range(4):
        shop.publish()
    assert not shop.fabric.flush(0.01)
    bells.gate.set()
    assert shop.fabric.flush(10)
    assert bells.rung == [("billing", f"{HOME}/0.0@{tail}") for tail in (1, 5)]


def test_what_nobody_foresaw_is_logged_and_the_next_doorbell_goes_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fabric, broken = SubscribedStream(), [True]

    def doorbells_of(region: Region) -> MemoryDoorbells:
        if broken:
            raise LookupError(broken.pop())
        return fabric.cloud.doorbells(region)

    express = Express(doorbells_of, clock=fabric.clock)
    for number in (1, 2):
        record = fabric.put(event(f"e{number}"))
        express.ring(fabric.stream, record)
        assert express.wait(10)
    assert len(fabric.cloud.queue(SUBSCRIPTION, HOME)) == 1
    assert [record.levelname for record in caplog.records if record.name == "eventfabric"] == ["ERROR"]


def test_a_fabric_without_doorbells_publishes_all_the_same() -> None:
    memory_fabric = SubscribedStream()
    fabric = memory_fabric.producer(outbox=None)
    fabric.publish(STREAM, key="k", type="placed")
    assert fabric.flush(0)


def test_a_few_threads_serve_all_queues() -> None:
    subscriptions = "".join(
        f'[subscriptions.s{number}]\nstream = "orders"\nhandler = "a:b"\n'
        for number in range(2 * EXPRESS_THREADS_MAX)
    )
    shop = RingingProducer(
        has_threads=True, definition=DEFINITION.partition("[subscriptions.billing]")[0] + subscriptions
    )
    bells = shop.bells[HOME]
    bells.gate.clear()
    shop.publish()
    assert bells.entered.wait(10)
    assert bells.calls <= EXPRESS_THREADS_MAX
    bells.gate.set()
    assert shop.fabric.flush(10)
    assert len(bells.rung) == 2 * EXPRESS_THREADS_MAX
