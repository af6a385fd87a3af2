"""The start of subscriptions, on the local fabric."""

import pytest

from eventfabric import Delivery, Event
from eventfabric.definition.file import parse_definition
from eventfabric.model import AtTime
from eventfabric.testing.local.clock import LocalClock
from eventfabric.testing.local.fabric import LocalFabric

US = "us-east-1"


def handle(event: Event, delivery: Delivery) -> None:
    """Whatever comes."""


@pytest.mark.parametrize("after_seconds", [0, 4, 100])
def test_a_subscription_that_begins_at_a_time_is_handed_what_was_published_from_then_on(
    after_seconds: int,
) -> None:
    start = AtTime(LocalClock().now_ms() + 1000 * after_seconds)
    definition = parse_definition(f"""
        [fabric]
        name = "shop"
        regions = ["{US}"]
        [streams.orders]
        lanes = 4
        durability = "regional"
        retention_days = 1
        [subscriptions.all]
        stream = "orders"
        handler = "subscribers.any:handle"
        [subscriptions.timed]
        stream = "orders"
        handler = "subscribers.any:handle"
        start = "{start}"
        [subscriptions.latest]
        stream = "orders"
        handler = "subscribers.any:handle"
        start = "latest"
    """)
    names = ("all", "timed", "latest")
    with LocalFabric(definition, handlers=dict.fromkeys(names, handle)) as fabric:
        fabric.subscription("latest").pause(US)
        for number in range(10):
            fabric.region(US).publish("orders", key=f"k{number}", type="Placed", id=f"{number}")
            if number == 5:
                fabric.settle()
            fabric.clock.advance(seconds=1)
        fabric.subscription("latest").resume(US)
        fabric.settle(timers=True)
        handled = {
            name: sorted(str(h.event.id) for h in fabric.subscription(name).handled()) for name in names
        }
    every = [str(number) for number in range(10)]
    assert handled["all"] == every
    assert handled["timed"] == every[after_seconds:]
    # Paused at its first doorbell, of whichever of the first lanes it was: later lanes miss nothing after that.
    assert set(handled["latest"]) >= set(every[6:])
