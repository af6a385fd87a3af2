"""Late events on the local fabric: a Region is lost with what it had not replicated, and comes back."""

from dataclasses import replace

from eventfabric import Delivery, Event, subscriber
from eventfabric.limits import LATE_AFTER_SECONDS
from eventfabric.testing.local.fabric import LocalFabric
from tests.local.test_publisher_failover import DEFINITION, EU, US


def test_late_events_go_to_the_second_function_with_the_later_one() -> None:
    seen: list[tuple[str, str | None]] = []

    @subscriber
    def charge(event: Event, delivery: Delivery) -> None:
        seen.append((str(event.id), None))

    @charge.late
    def compare(event: Event, delivery: Delivery) -> None:
        assert event.later is not None
        seen.append((str(event.id), str(event.later.id)))

    billing = replace(DEFINITION.subscriptions["billing"], on_late="reconcile")
    definition = replace(DEFINITION, subscriptions={"billing": billing})
    with LocalFabric(definition, handlers={"billing": charge}) as fabric:
        fabric.faults.cut(US, EU)
        fabric.region(US).publish("orders", key="k", type="placed", id="1")
        fabric.faults.stop(US)
        fabric.failover(US, EU, drain=False)
        fabric.run_for(10)
        fabric.region(EU).publish("orders", key="k", type="placed", id="2")
        fabric.run_for(LATE_AFTER_SECONDS)
        assert seen == [("2", None)]
        fabric.faults.heal()
        fabric.run_for(10)
        assert seen == [("2", None), ("1", "2")]
