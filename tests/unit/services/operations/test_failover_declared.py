"""A failover goes by what the target declares: who is delivered there, and into what its handlers may publish."""

from typing import Any

from eventfabric.definition.file import parse_definition
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.services.catalogue.incarnations import as_declared
from eventfabric.services.operations.failover import Failover
from eventfabric.topology import Topology
from tests.support.later_declarations import append_content, append_later
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric

OF_AWAY = DeclarationLane.of(AWAY, StreamName(STREAM))


def topology(*names: str, closing: str = "") -> Topology:
    subscriptions = "".join(
        f'[subscriptions.{name}]\nstream = "orders"\nhandler = "shop:handle"\npublishes = ["invoices"]\n'
        for name in names
    )
    return Topology(
        parse_definition(
            f'[fabric]\nname = "shop"\nregions = ["{HOME}", "{AWAY}"]\n{closing}[streams.orders]\n'
            f"[streams.invoices]\n{subscriptions}"
        )
    )


def failover(fabric: MemoryFabric, known: Topology) -> Failover:
    ports = fabric.ports(Region(AWAY))
    return Failover(as_declared(known, Region(AWAY), ports), source=HOME, target=AWAY, ports=ports)


def test_what_another_repository_has_deployed_is_handed_over_too() -> None:
    fabric = MemoryFabric(topology("billing", "mailing"))
    fabric.declare(region=AWAY)
    handed = failover(fabric, topology("billing")).handed()
    assert sorted(subscription.name for subscription, _ in handed) == ["billing", "mailing"]


def test_a_handler_that_publishes_where_the_target_is_closing_is_named() -> None:
    fabric = MemoryFabric(topology("billing"))
    fabric.declare(region=AWAY)
    handover = failover(fabric, fabric.topology)
    [(billing, _)] = handover.handed()
    assert handover.closed_to(billing) == []
    fabric.declare(topology("billing", closing=f'closing = ["{AWAY}"]\n'), region=AWAY)
    assert failover(fabric, fabric.topology).closed_to(billing) == ["invoices"]


def test_one_that_a_later_version_declares_is_left_out_and_the_rest_is_handed_over() -> None:
    fabric = MemoryFabric(topology("billing", "mailing"))
    fabric.declare(region=AWAY)

    def edit(members: dict[str, Any]) -> None:
        members["subscriptions"]["billing"]["guarantee"] = "exactly_thrice"

    append_later(fabric.cloud.log(STREAM, AWAY), OF_AWAY, fabric.clock, edit)
    handover = failover(fabric, fabric.topology)
    assert [subscription.name for subscription, _ in handover.handed()] == ["mailing"]
    assert list(handover.unreadable) == ["billing"]


def test_where_nothing_of_a_stream_can_be_read_all_of_it_is_left_out() -> None:
    fabric = MemoryFabric(topology("billing"))
    fabric.declare(region=AWAY)
    for _ in range(2):
        append_content(fabric.cloud.log(STREAM, AWAY), OF_AWAY, fabric.clock, lambda content: b"{}")
    handover = failover(fabric, fabric.topology)
    assert (list(handover.handed()), list(handover.unreadable)) == ([], ["billing"])
