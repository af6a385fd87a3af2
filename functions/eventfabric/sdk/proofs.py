"""Choosing what is proven: the streams, subscriptions and lanes of which provers are made."""

from eventfabric.errors import SettingError
from eventfabric.model import Lane, Region
from eventfabric.ports import Ports
from eventfabric.services.proof.prove import Prover
from eventfabric.stream_topology import StreamTopology
from eventfabric.topology import Topology


def provers_of(
    topology: Topology,
    region: Region,
    ports: Ports,
    subscription: str | None,
    *,
    stream: str | None,
    lane: str | None,
) -> list[Prover]:
    """Return the provers of a Region, one a stream. Arguments and errors as Operations.provers."""
    only = None if lane is None else _lane(lane)
    if subscription is not None:
        stream = _stream_name_of(topology, subscription, stream)
    return [
        Prover(
            own,
            [chosen for chosen in own.subscriptions if subscription in (None, chosen.name)],
            ports,
            lane=only,
        )
        for own in _streams(topology, region, stream)
    ]


def _stream_name_of(topology: Topology, subscription: str, stream: str | None) -> str:
    """Return the name of a subscription's stream. SettingError if `stream` names another."""
    name = topology.subscription(subscription).definition.stream
    if stream not in (None, name):
        raise SettingError("stream", stream, f"{name}, which {subscription} is of")
    return name


def _streams(topology: Topology, region: Region, only: str | None) -> list[StreamTopology]:
    """Return that stream, or all of the Region if None. UnknownNameError, WrongRegionError."""
    if only is None:
        return topology.streams_in(region)
    stream = topology.stream(only)
    stream.check_region(region)
    return [stream]


def _lane(text: str) -> Lane:
    try:
        return Lane.parse(text)
    except ValueError:
        raise SettingError("lane", text, "<origin>/<generation>.<index>, such as us-east-1/0.17") from None
