"""Facts of the catalogue from a definition, and back: what somebody without the definition knows of a stream."""

from collections.abc import Iterable
from dataclasses import replace

from eventfabric.definition.guarantee import Guarantee
from eventfabric.definition.schema import Stream, Subscription
from eventfabric.definition.sections import Backpressure, Deprecation, TypeSection, WhilePaused
from eventfabric.formats import OWN_FORMATS, Formats
from eventfabric.model.catalogue import (
    Declaration,
    StreamFacts,
    SubscriptionFacts,
)
from eventfabric.model.deprecation import DeprecatedType
from eventfabric.model.partly_read import readable_of
from eventfabric.stream_topology import (
    FIRST_INCARNATION,
    Incarnation,
    StreamTopology,
    SubscriptionTopology,
    retention_seconds,
)
from eventfabric.topology import Topology
from eventfabric.version import VERSION


def stream_facts(topology: Topology, stream: StreamTopology, formats: Formats = OWN_FORMATS) -> StreamFacts:
    """Return what a definition says of a stream, for which a Region's functions know these formats."""
    definition, fabric = stream.definition, topology.definition.fabric
    return StreamFacts(
        name=stream.name,
        regions=definition.regions,
        closing=stream.closing,
        lanes=definition.lanes,
        durability=definition.durability,
        retention_days=definition.retention_days,
        express=definition.express,
        requires_schemas=definition.schemas == "required",
        deprecated=_deprecated(definition),
        owner=fabric.owner or "",
        reads_max=formats.reads,
        writes=formats.writes,
    )


def _deprecated(stream: Stream) -> tuple[DeprecatedType, ...]:
    """Return the types of a stream whose end its definition announces."""
    return tuple(
        DeprecatedType(
            type=name, since=end.since, sunset=end.sunset or "", use=end.use or "", why=end.why or ""
        )
        for name, section in sorted(stream.types.items())
        if (end := section.deprecated) is not None
    )


def _sections(deprecated: Iterable[DeprecatedType]) -> dict[str, TypeSection]:
    """Return what a definition would say of these types."""
    return {
        own.type: TypeSection(
            deprecated=Deprecation(
                since=own.since, sunset=own.sunset or None, use=own.use or None, why=own.why or None
            )
        )
        for own in deprecated
    }


def subscription_facts(
    topology: Topology,
    subscription: SubscriptionTopology,
    *,
    version: str = VERSION,
    formats: Formats = OWN_FORMATS,
) -> SubscriptionFacts:
    """Return what a definition says of a subscription, whose function runs a version that knows these formats."""
    definition = subscription.definition
    known = definition.backpressure or Backpressure()
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
        backpressure_seconds=0 if definition.backpressure is None else known.seconds,
        backpressure_events_min=known.events_min,
        holds_while_paused=known.while_paused is WhilePaused.HOLD,
        reads_max=formats.reads,
        writes=formats.writes,
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
        schemas="required" if facts.requires_schemas else "optional",
        types=_sections(facts.deprecated),
    )
    subscriptions = (declared_subscription(fabric, stream, own) for own in declaration.rung())
    return StreamTopology(
        fabric, facts.name, stream, tuple(subscriptions), facts.closing, facts.former_regions
    )


def rung_subscriptions(
    stream: StreamTopology, declaration: Declaration | None
) -> tuple[SubscriptionTopology, ...]:
    """Return the subscriptions of a stream for which doorbells are rung in a Region, by what is declared there.

    Those of the definition are, unless they are declared to be gone: a deployment declares a subscription after it has
    been created. So are others that are declared there, as far as this version can read them.
    """
    known = readable_of(declaration.subscriptions) if declaration is not None else {}
    own = [
        _as_declared(subscription, known.get(subscription.name))
        for subscription in stream.subscriptions
        if subscription.name not in known or known[subscription.name].state.is_rung
    ]
    names = {subscription.name for subscription in stream.subscriptions}
    others = [facts for facts in known.values() if facts.name not in names and facts.state.is_rung]
    return (*own, *(declared_subscription(stream.fabric, stream.definition, facts) for facts in others))


def _as_declared(subscription: SubscriptionTopology, facts: SubscriptionFacts | None) -> SubscriptionTopology:
    """Return a subscription in the incarnation, with the types and the backpressure, that are declared."""
    own = replace(subscription, incarnations={subscription.name: incarnation_of(facts)})
    if facts is None:
        return own
    definition = replace(own.definition, types=facts.types, backpressure=facts.backpressure)
    return replace(own, definition=definition)


def incarnation_of(facts: SubscriptionFacts | None) -> Incarnation:
    """Return the incarnation that is declared; the first, if none is."""
    return FIRST_INCARNATION if facts is None else Incarnation(facts.incarnation, facts.since_ms)


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
        backpressure=facts.backpressure,
        contact=facts.contact or None,
    )
    return SubscriptionTopology(
        fabric,
        facts.name,
        definition,
        stream.regions,
        retention_seconds=retention_seconds(stream),
        lanes=stream.lanes,
        shares_state=stream.durability == "quorum",
        incarnations={facts.name: incarnation_of(facts)},
    )
