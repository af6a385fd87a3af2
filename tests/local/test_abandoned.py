"""Passes of the deployed function tell of what is abandoned, by the rights that it has."""

from eventfabric.definition.file import parse_definition
from eventfabric.model import Region
from eventfabric.model.catalogue import State
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.testing.local.clock import LocalClock
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.topology import Topology

US, EU = Region("us-east-1"), Region("eu-west-1")
PASS_SECONDS = 300


def definition(*regions: str) -> str:
    named = ", ".join(f'"{region}"' for region in regions)
    return f"""
        [fabric]
        name = "shop"
        regions = [{named}]
        [streams.orders]
        lanes = 2
        [subscriptions.all]
        stream = "orders"
        handler = "a:b"
    """


def deployer(fabric: LocalFabric, topology: Topology, region: Region, request: str) -> Deployer:
    """Declare in a Region's lane, as far as the first Region's table is concerned."""
    return Deployer(topology, region, fabric.ports(US), by="stack", request_id=request)


def test_the_function_may_read_all_that_it_looks_through() -> None:
    both, clock = Topology(parse_definition(definition(US, EU))), LocalClock()
    handlers = {"all": lambda event, delivery: None}
    with LocalFabric(parse_definition(definition(US)), handlers=handlers, clock=clock) as fabric:
        # The stream was in another Region once.
        declare_all(deployer(fabric, both, US, "both"))
        declare_all(deployer(fabric, both, EU, "both"))
        declare_all(deployer(fabric, fabric.topology, US, "one"))
        reconcile = fabric.topology.reconcile_function(US)
        clock.advance(PASS_SECONDS)
        assert fabric.invoke(reconcile, {}) == {"findings": {"orders": {}}}

        stream = fabric.topology.stream("orders")
        deployer(fabric, fabric.topology, US, "gone").declare_state(stream, "all", State.UNDEPLOYED)
        fabric.region(US).publish("orders", key="a", type="Placed")
        clock.advance(PASS_SECONDS)
        assert fabric.invoke(reconcile, {}) == {"findings": {"orders": {"abandoned": 1}}}
        assert list(fabric.guard.denied) == []
