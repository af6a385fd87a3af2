"""A publisher whose Region goes away, on the local fabric."""

from collections import Counter

from eventfabric import Delivery, Event
from eventfabric.definition.file import parse_definition
from eventfabric.testing.local.fabric import LocalFabric

US, EU = "us-east-1", "eu-west-1"
DEFINITION = parse_definition(
    f"""
    [fabric]
    name = "shop"
    regions = ["{US}", "{EU}"]
    [streams.orders]
    lanes = 2
    [subscriptions.billing]
    stream = "orders"
    handler = "subscribers.billing:charge"
    """
)


def ignore(event: Event, delivery: Delivery) -> None:
    pass


def handled(fabric: LocalFabric, region: str | None = None) -> Counter[str]:
    return Counter(str(handled.event.id) for handled in fabric.subscription("billing").handled(region))


def test_publishing_goes_on_in_another_region_and_comes_back() -> None:
    with LocalFabric(DEFINITION, handlers={"billing": ignore}) as fabric:
        producer = fabric.region(US, failover=[EU])
        origins = []
        for number in range(9):
            if number == 3:
                fabric.faults.stop(US)
            if number == 6:
                fabric.faults.heal()
                fabric.run_for(60)
            receipt = producer.publish("orders", key="k", type="placed", id=str(number))
            origins.append(receipt.origin)
            fabric.settle()
        assert origins == [US] * 3 + [EU] * 3 + [US] * 3
        assert producer.regions_away == frozenset()
        assert handled(fabric, EU) == Counter("345")
        assert handled(fabric) == Counter("012345678")


def test_two_acks_bring_an_event_to_a_region_that_replication_does_not_reach() -> None:
    with LocalFabric(DEFINITION, handlers={"billing": ignore}) as fabric:
        fabric.faults.cut(US, EU)
        receipt = fabric.region(US).publish("orders", key="k", type="placed", id="1", acks=2)
        log = fabric.ports(EU).log_of(fabric.topology.stream("orders"))
        assert log.tail(receipt.lane).sequence == 1
        fabric.faults.heal()
        fabric.settle()
        assert handled(fabric) == Counter("1")
