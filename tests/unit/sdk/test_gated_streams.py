"""Publishing to a stream that a subscription gates: single events, transactions, and `once`."""

import pytest

from eventfabric import Fabric
from eventfabric.errors import BackpressureError
from eventfabric.model import Lane, LaneKey, Region, SequenceNumber, StreamName, SubscriptionName
from eventfabric.services.publishing.credits import Gate
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import Faults
from tests.support.appends import at_call
from tests.support.memory_fabric import AWAY, HOME, LANE, STREAM, event
from tests.support.subscribed_stream import SubscribedStream

GATE = Gate(SubscriptionName("billing"))


class GatedShop(SubscribedStream):
    """A stream of one lane that is gated, and a producer."""

    def __init__(self) -> None:
        super().__init__(lanes=1)
        self.gates: tuple[Gate, ...] = (GATE,)
        self.failing = Faults()
        self.shop = self.fabric_in(HOME)

    def fabric_in(self, region: str) -> Fabric:
        def gates_of(stream: StreamTopology) -> tuple[Gate, ...]:
            assert stream.name == STREAM
            return self.gates

        return self.producer(
            region,
            log_of=lambda stream, region: self.failing.log(self.cloud.log(stream.name, region)),
            outbox=self.failing.outbox(self.cloud.outbox(region)),
            credits_of=lambda region: self.failing.credits(self.cloud.credits(region)),
            gates_of=gates_of,
        )

    def grants(self, grant: int, lane: Lane = LANE, region: str = HOME) -> None:
        key = LaneKey(StreamName(STREAM), GATE.subscription, lane)
        self.cloud.credits(region).grant(key, SequenceNumber(grant))

    def publish(self, **event: object) -> int:
        return self.shop.publish(STREAM, key="k", type="placed", **event).sequence  # type: ignore[arg-type]  # as given

    def calls(self, name: str) -> int:
        return self.failing.count(name)


def test_a_single_event_is_refused_where_there_is_no_credit_and_goes_on_once_there_is() -> None:
    gated = GatedShop()
    gated.grants(1)
    assert gated.publish() == 0
    with pytest.raises(BackpressureError):
        gated.publish()
    gated.grants(2)
    gated.clock.sleep(2)
    assert gated.publish() == 1


def test_a_transaction_without_credit_raises_before_anything_is_sent() -> None:
    gated = GatedShop()
    gated.grants(0)
    transaction = gated.shop.transaction()
    transaction.put("shop-orders", {"pk": "row", "sk": "row"})
    transaction.publish(STREAM, key="k", type="placed")
    for _ in range(2):
        with pytest.raises(BackpressureError):
            transaction.commit()
    assert (gated.calls("outbox.append"), gated.events()) == (0, [])
    gated.grants(1)
    gated.clock.sleep(2)
    assert [receipt.sequence for receipt in transaction.commit()] == [0]


def test_all_that_a_transaction_publishes_in_a_lane_begins_below_the_grant_and_ends_where_it_ends() -> None:
    gated = GatedShop()
    gated.grants(1)
    with gated.shop.transaction() as transaction:
        for _ in range(1500):
            transaction.publish(STREAM, key="k", type="placed")
    assert [receipt.sequence for receipt in transaction.receipts] == list(range(1500))


def test_a_transaction_whose_place_was_taken_looks_at_the_credit_again() -> None:
    gated = GatedShop()
    gated.grants(1)
    gated.failing.rules.extend(at_call("outbox.append", 1, lambda: gated.put(event("other"))).rules)
    transaction = gated.shop.transaction()
    transaction.publish(STREAM, key="k", type="placed")
    with pytest.raises(BackpressureError):
        transaction.commit()
    assert [event.id for event in gated.events()] == ["other"]


def test_an_event_that_is_published_once_is_held_back_like_any_other() -> None:
    gated = GatedShop()
    gated.grants(1)
    assert gated.publish(id="mine", once=True) == 0
    with pytest.raises(BackpressureError):
        gated.publish(id="next", once=True)


def test_a_stream_without_gates_costs_no_call_of_credits() -> None:
    gated = GatedShop()
    gated.gates = ()
    with gated.shop.publisher(STREAM) as publisher:
        for _ in range(10):
            publisher.publish(key="k", type="placed")
    gated.publish()
    with gated.shop.transaction() as transaction:
        transaction.publish(STREAM, key="k", type="placed")
    assert gated.calls("credits.granted") == 0


def test_all_that_a_process_publishes_to_a_stream_shares_what_was_read() -> None:
    gated = GatedShop()
    gated.grants(100)
    for number in range(5):
        gated.publish()
        gated.publish(id=str(number), once=True)
        with gated.shop.publisher(STREAM) as publisher:
            publisher.publish(key="k", type="placed")
    assert gated.calls("credits.granted") == 1


def test_in_a_region_of_failover_that_region_s_own_lanes_are_gated() -> None:
    gated = GatedShop()
    away = gated.fabric_in(AWAY)
    gated.grants(1, Lane(Region(AWAY), LANE.generation, LANE.index), region=AWAY)
    away.publish(STREAM, key="k", type="placed")
    with pytest.raises(BackpressureError):
        away.publish(STREAM, key="k", type="placed")
    assert gated.publish() == 0
