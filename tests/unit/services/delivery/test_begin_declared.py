"""Beginnings of a subscription that wants the latest, and whose declaration is known."""

from eventfabric.model import HybridTime, to_ms
from eventfabric.services.delivery.begin import DECLARED_SKEW_SECONDS
from eventfabric.stream_topology import Incarnation
from eventfabric.topology import Topology
from tests.support.memory_fabric import HOME, lane
from tests.support.subscribed_stream import SUBSCRIPTION, SubscribedStream
from tests.unit.services.delivery.test_begin import latest, pins, put


def declared(fabric: SubscribedStream, number: int = 0) -> None:
    incarnation = Incarnation(number, since_ms=fabric.clock.now_ms())
    fabric.topology = Topology(fabric.topology.definition, {SUBSCRIPTION: incarnation})
    fabric.clock.advance(DECLARED_SKEW_SECONDS)


def old() -> SubscribedStream:
    fabric = latest()
    fabric.clock.advance(DECLARED_SKEW_SECONDS)
    return fabric


def test_nothing_between_its_declaration_and_its_first_doorbell_is_missed() -> None:
    fabric = old()
    declared(fabric)
    put(fabric, "a", of=lane(1))
    put(fabric, "b", "c")
    fabric.deliver()  # the doorbell of lane 1 comes last, and names the newest
    fabric.deliver(of=lane(1))
    assert fabric.recorder.ids() == ["b", "c", "a"]


def test_clocks_may_differ_from_that_of_the_declaration() -> None:
    fabric = old()
    put(fabric, "slow clock")
    fabric.clock.advance(DECLARED_SKEW_SECONDS - 2)
    declared(fabric)
    fabric.deliver()
    assert fabric.recorder.ids() == ["slow clock"]


def test_its_time_is_pinned_where_a_failover_sees_it() -> None:
    fabric = old()
    declared(fabric)
    declared_ms = fabric.subscription.incarnation.since_ms
    put(fabric, "a")
    fabric.deliver()
    times = {region: to_ms(HybridTime(pin)) for region, pin in pins(fabric).items()}
    assert times == {HOME: declared_ms - 1000 * DECLARED_SKEW_SECONDS}


def test_removed_and_added_again_it_begins_anew_and_not_at_its_old_cursor() -> None:
    fabric = old()
    declared(fabric)
    put(fabric, "a")
    fabric.deliver()
    put(fabric, "while it was gone")
    fabric.clock.advance(DECLARED_SKEW_SECONDS)
    declared(fabric, number=1)
    put(fabric, "b")
    fabric.deliver()
    assert fabric.recorder.ids() == ["a", "b"]


def test_a_pin_from_before_it_was_declared_holds() -> None:
    fabric = latest()
    put(fabric, "a")
    fabric.deliver()
    put(fabric, "b", of=lane(1))
    fabric.clock.advance(DECLARED_SKEW_SECONDS)
    declared(fabric)
    put(fabric, "c", of=lane(1))
    fabric.deliver(of=lane(1))
    assert fabric.recorder.ids() == ["a", "b", "c"]
