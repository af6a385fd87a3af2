"""Connecting a producer by a fabric's name: its Region, its clients, and its streams as they are declared."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from eventfabric.errors import SettingError, WrongRegionError
from eventfabric.model import Region
from eventfabric.ports import Ports
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.settings import region_named

if TYPE_CHECKING:
    from boto3 import Session


def connected(
    fabric: str,
    region: str | None,
    *,
    regions: Sequence[str],
    failover: Sequence[str],
    session: "Session | None",
    endpoint_url: str | None,
) -> tuple[str, DeclaredStreams, Ports]:
    """Return the Region to publish in, the fabric's streams, and the ports of that Region. Nothing is called yet.

    Args:
        fabric: its name with its stage.
        region: default: the session's, else the environment's.
        regions: all that the fabric has; empty: not known.
        failover: as in Fabric.from_definition.
        session: as in Fabric.from_definition.
        endpoint_url: as in Fabric.from_definition.

    Raises:
        WrongRegionError: the fabric is not in that Region.
        SettingError: no Region is named anywhere.
    """
    from eventfabric.aws.clients import Clients  # imports boto3
    from eventfabric.aws.region import aws_ports
    from eventfabric.aws.system import SystemClock

    region = region or (session.region_name if session else None) or region_named()
    if regions and region not in regions:
        raise WrongRegionError(f"fabric {fabric}", region, regions)
    if region is None:
        raise SettingError("region", region, "region=, the Region of a session, or AWS_REGION")
    clients = Clients(region, session=session, endpoint_url=endpoint_url)
    streams = DeclaredStreams(
        fabric,
        [Region(name) for name in (region, *failover)],
        log_of=lambda stream, region: ports.at(region).log_of(stream),
        clock=SystemClock(),
        regions=regions,
    )
    # A client that may turn to another Region need not wait for long.
    ports = aws_ports(streams, clients.of(region) if failover else clients)
    return region, streams, ports
