"""Passes of reconciliation for operators, over all that is declared to be deployed, as the function makes them."""

from dataclasses import replace
from functools import partial

from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.ports import Ports
from eventfabric.services.catalogue.facts import rung_subscriptions
from eventfabric.services.catalogue.lane import newest
from eventfabric.services.delivery.side_by_side import SideBySide
from eventfabric.services.reconciliation.abandoned import AbandonedReader
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.stream_topology import StreamTopology
from eventfabric.telemetry import NoTelemetry


def reconciler_of(
    stream: StreamTopology, region: Region, ports: Ports, side_by_side: SideBySide
) -> Reconciler:
    """Return what makes passes over a stream in a Region. PortError, UndecodableRecordError: nothing is known."""
    known = newest(ports.log_of(stream), DeclarationLane.of(region, StreamName(stream.name)))
    declaration = None if known is None else known.declaration
    deployed = replace(stream, subscriptions=rung_subscriptions(stream, declaration))
    abandoned = AbandonedReader(region, ports, side_by_side)
    return Reconciler(
        deployed,
        region=region,
        ports=ports,
        telemetry=NoTelemetry(),
        side_by_side=side_by_side,
        beside=partial(abandoned.findings, stream, declaration),
    )
