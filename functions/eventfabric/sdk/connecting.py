"""Connecting a producer by a fabric's name: its Region, its clients, and its streams as they are declared."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from eventfabric.contracts import SCHEMAS_FOLDER
from eventfabric.errors import SettingError, WrongRegionError
from eventfabric.model import Region
from eventfabric.ports import Ports
from eventfabric.sdk.schemas import checks_in
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.settings import region_named

if TYPE_CHECKING:
    from boto3 import Session

    from eventfabric.contracts.checks import SchemaChecks


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


def schema_checks(
    schemas: str | PathLike[str] | None, *, definition: str | PathLike[str] | None = None
) -> "SchemaChecks | None":
    """Return how to hold events to the schemas of a folder, by default that beside a definition.

    None, and nothing is imported, if there is no such folder; SettingError if it was named.
    """
    if schemas is None:
        beside = None if definition is None else Path(definition).parent / SCHEMAS_FOLDER
        return checks_in(beside, is_closed=True)
    checks = checks_in(Path(schemas), is_closed=True)
    if checks is None:
        raise SettingError("schemas", str(schemas), "the folder of the schemas of events")
    return checks
