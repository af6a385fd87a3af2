"""Steps whose event another Region goes on with, when not all notes of them have come there."""

from eventfabric import Delivery, Event, limits
from eventfabric.model import Region, StreamName, SubscriptionName
from eventfabric.sdk.step import StepMaker
from eventfabric.sdk.subscriber import SubscriberHandler
from eventfabric.services.operations.failover import Failover
from tests.support.charging_handler import EVENT, KEY, ChargingHandler
from tests.support.failing_handlers import retry
from tests.support.memory_fabric import AWAY, HOME, STREAM
from tests.support.recording_handler import Recorder
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream


def test_a_step_whose_note_is_replicated_last_is_made_again_by_the_key_that_the_other_side_knows() -> None:
    shop = ChargingHandler(**retry(immediate=0, attempts=5))
    shop.fabric.put(EVENT)
    failing = [True]

    def charge(event: Event, delivery: Delivery) -> None:
        shop.charge(event, delivery)
        if failing:
            raise ValueError("behind the step")

    def deliver(fabric: SubscribedStream, others: tuple[Region, ...]) -> None:
        steps = fabric.cloud.steps(STREAM, fabric.region)
        maker = StepMaker(StreamName(STREAM), SubscriptionName(SUBSCRIPTION), lambda: steps, others)
        handler = SubscriberHandler(charge, clock=fabric.clock, transactional=False, steps=maker)
        fabric.deliver(by=fabric.deliverer(handler=handler))

    deliver(shop.fabric, (AWAY,))
    shop.fabric.cloud.replicate()
    away = shop.fabric.in_region(AWAY, handler=Recorder())
    table = away.cloud.regions[AWAY].table(away.topology.ledger.name)
    (note,) = (item for item in table.items if "/step/" in item["pk"]["S"])
    table.write("Delete", {"Key": {"pk": note["pk"], "sk": note["sk"]}})
    moving = Failover(away.topology, source=HOME, target=AWAY, ports=away.ports(AWAY))
    moving.drain(lambda seconds: away.clock.advance(seconds))
    moving.hand_over()
    failing.clear()
    away.clock.advance(limits.CIRCUIT_CACHE_SECONDS)
    deliver(away, (HOME,))
    assert away.parked() == {}
    assert shop.charged == [KEY, KEY]
