"""Facts of the catalogue from a definition, and back: what somebody without the definition knows of a stream."""

from eventfabric.definition.guarantee import Guarantee
from eventfabric.definition.schema import Stream, Subscription
from eventfabric.model.catalogue import (
    FORMAT_READ_MAX,
    FORMAT_WRITTEN,
    Declaration,
    StreamFacts,
    SubscriptionFacts,
)
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology, retention_seconds
from eventfabric.topology import Topology
from eventfabric.version import VERSION


def stream_facts(topology: Topology, stream: StreamTopology) -> StreamFacts:
    """Return what a definition says of a stream."""
    definition, fabric = stream.definition, topology.definition.fabric
    return StreamFacts(
        name=stream.name,
        regions=definition.regions,
        closing=stream.closing,
        lanes=definition.lanes,
        durability=definition.durability,
        retention_days=definition.retention_days,
        express=definition.express,
        owner=fabric.owner or "",
    )


def subscription_facts(
    topology: Topology, subscription: SubscriptionTopology, *, version: str = VERSION
) -> SubscriptionFacts:
    """Return what a definition says of a subscription, whose function runs that version of this library."""
    definition = subscription.definition
    return SubscriptionFacts(
        name=subscription.name,
        owner=topology.definition.fabric.owner or "",
        contact=definition.contact or "",
        handler=definition.handler,
        guarantee=definition.guarantee.value,
        types=definition.types,
        deliver=definition.deliver,
        region=definition.region,
        start=definition.start,
        publishes=definition.publishes,
        reads_max=FORMAT_READ_MAX,
        writes=FORMAT_WRITTEN,
        version=version,
    )


def declared_stream(fabric: str, declaration: Declaration) -> StreamTopology:
    """Return a stream of a fabric, with the subscriptions that are deployed in the Region of this declaration."""
    facts = declaration.stream
    stream = Stream(
        name=facts.name,
        regions=facts.regions,
        durability=facts.durability,
        lanes=facts.lanes,
        retention_days=facts.retention_days,
        express=facts.express,
    )
    subscriptions = (declared_subscription(fabric, stream, own) for own in declaration.rung())
    return StreamTopology(fabric, facts.name, stream, tuple(subscriptions), facts.closing)


def declared_subscription(fabric: str, stream: Stream, facts: SubscriptionFacts) -> SubscriptionTopology:
    """Return a subscription of a stream, in whatever state it is."""
    definition = Subscription(
        name=facts.name,
        stream=stream.name,
        handler=facts.handler,
        guarantee=Guarantee(facts.guarantee),
        types=facts.types,
        deliver=facts.deliver,
        region=facts.region,
        start=facts.start,
        publishes=facts.publishes,
        contact=facts.contact or None,
    )
    return SubscriptionTopology(
        fabric,
        facts.name,
        definition,
        stream.regions,
        retention_seconds=retention_seconds(stream),
        shares_state=stream.durability == "quorum",
        incarnation=facts.incarnation,
    )
