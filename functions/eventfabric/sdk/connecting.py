"""Connecting a producer by a fabric's name: its Region, its clients, and its streams as they are declared."""

from collections.abc import Collection, Sequence
from os import PathLike
from pathlib import Path
from re import fullmatch
from typing import TYPE_CHECKING, Final

from eventfabric.contracts import SCHEMAS_FOLDER
from eventfabric.errors import (
    InvalidSchemaError,
    SettingError,
    WrongRegionError,
)
from eventfabric.model import Region
from eventfabric.ports import Ports
from eventfabric.sdk.schemas import checks_in
from eventfabric.services.catalogue.streams import STREAM_NAME, DeclaredStreams
from eventfabric.settings import region_named

if TYPE_CHECKING:
    from boto3 import Session

    from eventfabric.contracts.checks import SchemaChecks
    from eventfabric.contracts.folder import SchemaFolder

_FOLDER: Final = "the folder of the schemas of events, which has a folder for each stream, called as that is"


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
    schemas: str | PathLike[str] | None,
    *,
    definition: str | PathLike[str] | None = None,
    streams: Collection[str] | None = None,
) -> "SchemaChecks | None":
    """Return how to hold events to the schemas of a folder, by default that beside a definition.

    None, and nothing is imported, if there is no such folder. SettingError: it was named and is not there, or is not
    that of a fabric with these streams; None: they are not known yet, see `check_schemas_of`.
    """
    if schemas is None:
        beside = None if definition is None else Path(definition).parent / SCHEMAS_FOLDER
        return checks_in(beside, is_closed=True)
    try:
        # Path would take an empty text for the current folder.
        checks = checks_in(Path(schemas), is_closed=True) if str(schemas) else None
    except InvalidSchemaError as error:
        raise SettingError("schemas", str(schemas), _FOLDER) from error
    if checks is None:
        raise SettingError("schemas", str(schemas), _FOLDER)
    folder = checks.folder
    own = [name for name in folder.names if fullmatch(STREAM_NAME, name) and folder.may_have_types(name)]
    if folder.names and not own:
        raise SettingError("schemas", str(schemas), _FOLDER)
    if streams is not None:
        _check_names(folder, streams)
    return checks


def check_schemas_of(schemas: "SchemaChecks | None", stream: str) -> None:
    """Raise SettingError if a folder that was named has a stream's name in other case alone: nothing would be checked.

    It need not have anything of the stream, and what else it has need not be declared in this Region, or any more.
    """
    if schemas is not None and stream not in schemas.folder.names:
        _check_case(schemas.folder, {stream})


def _check_names(folder: "SchemaFolder", streams: Collection[str]) -> None:
    """Raise SettingError if a folder is not that of a fabric with these streams. One that is empty may be."""
    _check_case(folder, streams)
    if folder.names and folder.names.isdisjoint(streams):
        raise _is_another(folder, folder.names, streams)


def _check_case(folder: "SchemaFolder", streams: Collection[str]) -> None:
    in_lower_case = {name.lower() for name in streams}
    if in_other_case := {name for name in folder.names - {*streams} if name.lower() in in_lower_case}:
        raise _is_another(folder, in_other_case, streams)


def _is_another(folder: "SchemaFolder", names: Collection[str], streams: Collection[str]) -> SettingError:
    held, known = ", ".join(sorted(names)), ", ".join(sorted(streams))
    allowed = f"{_FOLDER}; a stream: {known:.200}" if streams else _FOLDER
    return SettingError("schemas", f"{folder.path}, which has {held:.100}", allowed)
