"""Passes of reconciliation for operators, over all that is declared to be deployed, as the function makes them."""

from contextlib import suppress
from dataclasses import replace
from functools import partial

from eventfabric.errors import UndecodableRecordError
from eventfabric.model import Region
from eventfabric.ports import Ports
from eventfabric.services.catalogue.facts import rung_subscriptions
from eventfabric.services.catalogue.incarnations import known_declaration
from eventfabric.services.delivery.side_by_side import SideBySide
from eventfabric.services.reconciliation.abandoned import AbandonedReader
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.stream_topology import StreamTopology
from eventfabric.telemetry import NoTelemetry


def reconciler_of(
    stream: StreamTopology, region: Region, ports: Ports, side_by_side: SideBySide
) -> Reconciler:
    """Return what makes passes over a stream in a Region. PortError: nothing is known.

    If what is declared cannot be read, the passes go by what was before, or else by the definition, and say so.
    """
    known, declaration = known_declaration(stream, region, ports), None
    with suppress(UndecodableRecordError):
        newest = known.now()
        declaration = None if newest is None else newest.declaration
    deployed = replace(
        stream,
        subscriptions=rung_subscriptions(stream, declaration),
        former=() if declaration is None else declaration.stream.former_regions,
    )
    abandoned = AbandonedReader(region, ports, side_by_side)
    return Reconciler(
        deployed,
        region=region,
        ports=ports,
        telemetry=NoTelemetry(),
        side_by_side=side_by_side,
        beside=partial(abandoned.findings, stream, declaration, known.unreadable),
    )
