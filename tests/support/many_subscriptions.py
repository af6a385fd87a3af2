"""A stream of many lanes and subscriptions, in which every event was delivered; and the calls of a pass over it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from eventfabric.definition.file import parse_definition
from eventfabric.model import LaneKey, Region, StreamName, SubscriptionName
from eventfabric.ports import Ports
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.reconciliation.reconcile import PassOrder, Reconciler
from eventfabric.testing.memory.faults import Faults
from eventfabric.topology import Topology
from tests.support.memory_fabric import AWAY, FAR, HOME, STREAM, Counting, MemoryFabric, event


@cache
def topology_of(lanes: int, subscriptions: int, regions: int, deliver: str = "origin") -> Topology:
    names = ", ".join(f'"{region}"' for region in (HOME, AWAY, FAR)[:regions])
    return Topology(
        parse_definition(
            f"""
            [fabric]
            name = "shop"
            regions = [{names}]
            [streams.{STREAM}]
            lanes = {lanes}
            """
            + "".join(
                f"""
                [subscriptions.s{number}]
                stream = "{STREAM}"
                handler = "subscribers.billing:charge"
                deliver = "{deliver}"
                """
                for number in range(subscriptions)
            )
        )
    )


class ManySubscriptions(MemoryFabric):
    """A stream with one event in each lane of each origin, replicated, and every cursor behind it."""

    def __init__(self, lanes: int, subscriptions: int, regions: int = 2, deliver: str = "origin") -> None:
        super().__init__(topology_of(lanes, subscriptions, regions, deliver))
        for lane in lanes_of(self.stream):
            record = self.record(self.cloud.log(STREAM, lane.origin).tail(lane), event("e"), of=lane)
            for region in self.topology.regions:
                self.cloud.log(STREAM, region).append(record)
            owners = self.topology.regions if deliver == "everywhere" else [lane.origin]
            for region in owners:
                ledger = self.cloud.ledger(region)
                for subscription in self.stream.subscriptions:
                    key = LaneKey(StreamName(STREAM), SubscriptionName(subscription.name), lane)
                    read = ledger.state(key).cursor(Region(region))
                    end = replace(
                        read, sequence=record.tail.sequence, base=record.tail.sequence, chain=record.chain
                    )
                    ledger.commit(key, read, end)
        for link in self.cloud.links:
            link.pass_on()

    def calls(self, order: PassOrder, region: Region = HOME) -> Counter[str]:
        """Make a pass that finds nothing. Return its calls, those to other Regions by a name of their own."""
        own, others = Faults(), Faults()
        ports = replace(
            own.ports(self.cloud.ports(region)), at=lambda other: others.ports(self.cloud.ports(other))
        )
        assert list(self.reconciler(ports, region).make(order)) == []
        return Counter(own.calls) + Counter(f"remote {name}" for name in others.calls)

    def reconciler(self, ports: Ports, region: Region = HOME) -> Reconciler:
        return Reconciler(self.stream, region=region, ports=ports, telemetry=Counting())


def calls_of_passes(fabric: ManySubscriptions, orders: Sequence[PassOrder]) -> list[Counter[str]]:
    """Make passes five minutes apart. Return the calls of each."""
    calls = []
    for order in orders:
        fabric.clock.advance(300)
        calls.append(fabric.calls(order))
    return calls
