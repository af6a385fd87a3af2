"""A failover goes by what the target declares: who is delivered there, and into what its handlers may publish."""

from eventfabric.definition.file import parse_definition
from eventfabric.model import Region
from eventfabric.services.catalogue.incarnations import as_declared
from eventfabric.services.operations.failover import Failover
from eventfabric.topology import Topology
from tests.support.memory_fabric import AWAY, HOME, MemoryFabric


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
