"""Wake-ups for nothing: subscriptions that want different events of a stream are rung, and invoked, for their own."""

from collections import Counter
from random import Random

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.deployment.idle import METRICS_OF_DELIVERIES, METRICS_OF_RELAY
from eventfabric.services.delivery.deliver import Deliverer
from eventfabric.services.delivery.relay import Relay
from eventfabric.telemetry import Metric, Unit
from eventfabric.topology import Topology
from eventfabric.wire.doorbell import from_body
from eventfabric.wire.stream_record import from_stream_record
from tests.support.memory_fabric import HOME, STREAM, Counting, MemoryFabric
from tests.support.recording_handler import Recorder

SUBSCRIPTIONS = 20
EVENTS = 100
TOPOLOGY = Topology(
    parse_definition(
        f'[fabric]\nname = "shop"\nregions = ["{HOME}"]\n[streams.{STREAM}]\nlanes = 4\n'
        + "".join(
            f'[subscriptions.s{number}]\nstream = "{STREAM}"\nhandler = "subscribers.s{number}:handle"\n'
            f'types = ["type{number}"]\n'
            for number in range(SUBSCRIPTIONS)
        )
    )
)


class Disjoint(MemoryFabric):
    """A stream of 20 subscriptions, each of which wants one type of 20."""

    def __init__(self) -> None:
        super().__init__(TOPOLOGY)
        self.handlers = {name: Recorder() for name in TOPOLOGY.subscriptions}
        self.telemetry = Counting()
        self.deliverers = {
            name: Deliverer(
                TOPOLOGY.subscription(name),
                self.stream,
                ports=self.ports(HOME),
                handler=handler,
                telemetry=self.telemetry,
            )
            for name, handler in self.handlers.items()
        }
        self.relay = Relay(self.stream, region=HOME, ports=self.ports(HOME), telemetry=self.telemetry)
        self.reader = self.cloud.log_table(STREAM, HOME).stream.reader()
        self.wakes: Counter[bool] = Counter()

    def relay_all(self) -> None:
        batch = self.reader.take(100)
        news = [record for change in batch if (record := from_stream_record(change.event())) is not None]
        assert self.relay.ring(news) is None
        self.reader.confirm(batch)

    def deliver_all(self) -> None:
        """Deliver for each message, and count those for which something was handled, and those for nothing."""
        for name, deliverer in self.deliverers.items():
            queue = self.cloud.queue(name, HOME)
            while messages := queue.receive(10):
                for message in messages:
                    before = len(self.handlers[name].events)
                    deadline_ms = self.clock.now_ms() + 100_000
                    assert deliverer.deliver(from_body(message.body), deadline_ms=deadline_ms).done
                    self.wakes[len(self.handlers[name].events) > before] += 1
                    queue.delete(message.receipt_handle)


@pytest.mark.parametrize("express", [True, False])
def test_of_twenty_subscriptions_none_is_woken_for_what_it_does_not_want(express: bool) -> None:
    fabric, random = Disjoint(), Random(1)
    doorbells = fabric.cloud.doorbells(HOME)
    producer = fabric.producer(doorbells_of=(lambda region: doorbells) if express else None)
    for number in range(EVENTS):
        type_ = f"type{random.randrange(SUBSCRIPTIONS)}"
        producer.publish(STREAM, key=f"k{number}", type=type_)
        if express:
            assert sum(len(fabric.cloud.queue(name, HOME)) for name in fabric.handlers) == 1
            fabric.deliver_all()  # what the producer has rung
        fabric.relay_all()
        fabric.deliver_all()
    assert sum(len(handler.events) for handler in fabric.handlers.values()) == EVENTS
    assert fabric.wakes == {True: EVENTS}
    assert fabric.telemetry.totals[Metric.DOORBELLS_RUNG] == EVENTS
    reported = {
        metric
        for metric, total in fabric.telemetry.totals.items()
        if (total or metric.unit is Unit.MILLISECONDS) and not metric.is_only_logged
    }
    assert reported == {*METRICS_OF_DELIVERIES, *METRICS_OF_RELAY}, "paid for in a busy month"
