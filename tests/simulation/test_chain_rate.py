"""Rate at which handlers that publish get things done, by the simulated clock."""

from collections.abc import Callable
from itertools import count
from random import Random

from eventfabric import Delivery, Event
from eventfabric.definition.guarantee import Guarantee
from eventfabric.model import Doorbell, Region, StreamName, lane_index
from eventfabric.sdk.publications import Publications
from eventfabric.sdk.subscriber import SubscriberHandler
from eventfabric.services.delivery.deliver import Deliverer
from eventfabric.services.publishing.append import Appender
from eventfabric.services.publishing.targets import Targets
from eventfabric.testing.simulation.observer import INVOICES
from eventfabric.testing.simulation.plan import Plan, PlannedSubscription
from eventfabric.testing.simulation.process import Process
from eventfabric.testing.simulation.world import World
from tests.support.memory_fabric import Counting, batch_of, event, lane

HANDLERS, EVENTS = 64, 20
HOME = Region("us-east-1")


def plan() -> Plan:
    subscription = PlannedSubscription("billing", guarantee=Guarantee.EXACTLY_ONCE, publishes=True)
    return Plan(
        seed=1,
        profile="rate",
        regions=(HOME,),
        lanes=HANDLERS,
        durability="regional",
        subscriptions=(subscription,),
        producers=(),
        publishes=(),
        happenings=(),
        rates={},
        invoices=HANDLERS,
    )


class Rates:
    """Handlers of a lane each, which publish one event for each of theirs. `calls`: number of their calls."""

    def __init__(self, key_of: Callable[[int, Random], str]) -> None:
        self.world = World(plan(), handlers=lambda process, name: lambda event, delivery: None)
        self.calls = 0
        self.key_of = key_of

    def seconds(self) -> float:
        """The simulated time in which all is delivered."""
        schedule = self.world.schedule
        begun_us = schedule.now_us
        for number in range(HANDLERS):
            schedule.spawn(f"function {number}", self._run, number)
        schedule.run(steps_max=1_000_000)
        return (schedule.now_us - begun_us) / 1_000_000

    def _run(self, number: int) -> None:
        process, random = Process(self.world, f"function {number}", HOME), Random(number)
        topology = self.world.topology
        subscription, target = topology.subscription("billing"), topology.stream(INVOICES)

        def handle(event: Event, delivery: Delivery) -> None:
            self.calls += 1
            delivery.publish(INVOICES, key=self.key_of(number, random), type="Billed")

        publications = Publications(
            "billing", StreamName("orders"), [target], region=HOME, clock=process.clock, may_repeat=False
        )
        handler = SubscriberHandler(
            handle, clock=process.clock, transactional=True, publications=publications
        )
        deliverer = Deliverer(
            subscription,
            topology.stream("orders"),
            ports=process.ports,
            handler=handler,
            telemetry=Counting(),
            targets=Targets([target], process.ports),
        )
        appender = Appender(
            self.world.cloud.log("orders", HOME),
            stream="orders",
            clock=self.world.time,
            entropy=self.world.entropy,
        )
        for index in range(EVENTS):
            # Each event comes with a doorbell of its own, as soon as the one before is handled.
            record = appender.append(
                lane(number), batch_of([event(f"e{number}-{index}")], self.world.entropy.bytes(16))
            )
            bell = Doorbell(StreamName("orders"), lane(number), record.tail.sequence)
            deliverer.deliver(bell, deadline_ms=process.clock.now_ms() + 100_000)


def own_key(number: int, random: Random) -> str:
    """Return a key into whose target lane no other handler publishes."""
    return OWN_KEYS[number]


def any_key(number: int, random: Random) -> str:
    """Return a key of any target lane."""
    return f"key {random.randrange(10_000)}"


def _own_keys() -> list[str]:
    """Return a key for each lane of the target stream."""
    keys: dict[int, str] = {}
    for key in (f"own {number}" for number in count()):
        keys.setdefault(lane_index(key, HANDLERS), key)
        if len(keys) == HANDLERS:
            return [keys[index] for index in range(HANDLERS)]
    raise AssertionError


OWN_KEYS = _own_keys()


def test_64_handlers_into_64_lanes_reach_half_of_the_uncontended_rate_and_call_no_handler_twice() -> None:
    alone, together = Rates(own_key), Rates(any_key)
    uncontended, contended = alone.seconds(), together.seconds()
    assert alone.calls == together.calls == HANDLERS * EVENTS
    assert uncontended / contended >= 0.5
