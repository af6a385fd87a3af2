"""The options by which a command finds its fabric, and the connection that they give."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

if TYPE_CHECKING:
    from boto3 import Session

    from eventfabric.aws.clients import Clients
    from eventfabric.aws.dead_queues import DeadQueues
    from eventfabric.model.function_figures import FunctionFigures
    from eventfabric.ports import Log, Ports
    from eventfabric.sdk.fabric import Fabric
    from eventfabric.sdk.operations import Operations
    from eventfabric.services.catalogue.incarnations import DeclaredTopology
    from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
    from eventfabric.topology import Topology

Definition = Annotated[
    Path | None,
    typer.Option(
        "--definition",
        help="Definition file. Default: the project's (EVENTFABRIC_DEFINITION, infra/fabric.toml, ...).",
    ),
]
RegionName = Annotated[
    str | None,
    typer.Option(
        "--region", help="Region. Default: AWS_REGION or the profile's Region, else the fabric's first."
    ),
]
Profile = Annotated[str | None, typer.Option("--profile", help="Profile of your AWS configuration.")]
Endpoint = Annotated[
    str | None, typer.Option("--endpoint-url", help="Endpoint to use instead of AWS, such as a local fabric.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True)
class Access:
    """Options that say how to reach the fabric, in any of its Regions."""

    definition: Path | None
    profile: str | None
    endpoint_url: str | None

    @classmethod
    def of(
        cls, definition: Definition = None, profile: Profile = None, endpoint_url: Endpoint = None
    ) -> "Access":
        """Make it from the options. Raises typer.BadParameter."""
        _check_endpoint(endpoint_url)
        return cls(definition, profile, endpoint_url)

    def to(self, region: str | None) -> "Connection":
        """Connect to a Region; None: the one that the environment names. DefinitionError, WrongRegionError."""
        import boto3

        from eventfabric.errors import WrongRegionError
        from eventfabric.settings import definition_at, definition_path, region_named
        from eventfabric.topology import Topology

        path = self.definition or definition_path()
        topology = Topology(definition_at(path))
        if region is None:
            configured = boto3.Session(profile_name=self.profile).region_name
            region = region_named() or configured or topology.regions[0]
        if region not in topology.regions:
            raise WrongRegionError(f"fabric {topology.fabric}", region, topology.regions)
        return Connection(topology, region, path, self.profile, self.endpoint_url)


@dataclass(frozen=True)
class Connection:
    """A connection to one Region of a fabric."""

    topology: "Topology"
    region: str
    path: Path
    profile: str | None
    endpoint_url: str | None

    @classmethod
    def of(
        cls,
        definition: Definition = None,
        region: RegionName = None,
        profile: Profile = None,
        endpoint_url: Endpoint = None,
    ) -> "Connection":
        """Connect as the options say. Raises DefinitionError, WrongRegionError."""
        return Access.of(definition, profile, endpoint_url).to(region)

    def fabric(self) -> "Fabric":
        """The SDK, connected to the Region."""
        from eventfabric.sdk.fabric import Fabric

        return Fabric.from_definition(
            self.path, region=self.region, session=self._session, endpoint_url=self.endpoint_url
        )

    @contextmanager
    def naming_streams(self, stream: str) -> Iterator[None]:
        """Name the streams that there are, where the definition does not know the one that a Region lacks."""
        from eventfabric.errors import UnknownStreamError

        try:
            yield
        except UnknownStreamError:
            self.topology.stream(stream)
            raise

    def ports(self) -> "Ports":
        """The ports of the Region. Its logs raise FormatError where this version is too old for a stream."""
        from eventfabric.services.catalogue.formats import format_checked

        return format_checked(self.unchecked_ports())

    def unchecked_ports(self) -> "Ports":
        """The ports of the Region, for whoever only says what is declared."""
        from eventfabric.aws.region import aws_ports

        return aws_ports(self.topology, self._clients)

    def operations(self) -> "Operations":
        """The operations of operators in the Region."""
        from eventfabric.aws.clients import CONNECTIONS
        from eventfabric.runtime.threads import Threads
        from eventfabric.sdk.connecting import schema_checks
        from eventfabric.sdk.operations import Operations

        return Operations(
            self.declared,
            self.region,
            self.ports(),
            side_by_side=Threads(CONNECTIONS),
            schemas=schema_checks(None, definition=self.path),
        )

    @cached_property
    def declared(self) -> "DeclaredTopology":
        """The fabric as the Region declares it, which is read when it is needed."""
        from eventfabric.model import Region
        from eventfabric.services.catalogue.incarnations import as_declared

        return as_declared(self.topology, Region(self.region), self.ports())

    def log_in_table(self, name: str) -> "Log":
        """A table of the Region, read as the log of a stream."""
        from eventfabric.aws.log import AwsLog

        return AwsLog(self._clients.dynamodb, name)

    def dead_queues(self) -> "DeadQueues":
        """The dead-letter queues of the Region."""
        from eventfabric.aws.dead_queues import DeadQueues

        ports = self.ports()
        return DeadQueues(self._clients.sqs, ports.doorbells, ports.clock)

    def function_figures(self, subscription: str) -> "FunctionFigures":
        """Return what CloudWatch has of a subscription's function; nothing from a local fabric. PortError."""
        from eventfabric.aws.function_figures import figures_of
        from eventfabric.model.function_figures import FunctionFigures

        if self.endpoint_url is not None:
            return FunctionFigures()
        function = self.topology.deliver_function(subscription, self.region).name
        return figures_of(
            self._session,
            self.region,
            fabric=self.topology.fabric,
            function=function,
            subscription=subscription,
        )

    @cached_property
    def _session(self) -> "Session":
        from eventfabric.aws.clients import session_for

        return session_for(self.endpoint_url, profile=self.profile)

    @cached_property
    def _clients(self) -> "Clients":
        from eventfabric.aws.clients import Clients

        return Clients(self.region, session=self._session, endpoint_url=self.endpoint_url)

    def stream(self, name: str | None) -> "StreamTopology":
        """Find the stream of that name, or the only one. UnknownNameError, WrongRegionError, typer.BadParameter."""
        streams = self.topology.streams
        if name is None:
            if len(streams) > 1:
                raise typer.BadParameter(f"allowed: --stream with one of {', '.join(sorted(streams))}")
            name = next(iter(streams))
        stream = self.topology.stream(name)
        stream.check_region(self.region)
        return stream

    def streams(self, only: str | None) -> "list[StreamTopology]":
        """Return that stream, or all of the Region if None. Raises UnknownNameError, WrongRegionError."""
        if only is not None:
            return [self.stream(only)]
        return self.topology.streams_in(self.region)

    def streams_as_declared(self, only: str | None, *, retired: bool) -> "list[StreamTopology]":
        """Return streams as `streams` does, also with subscriptions that are declared beside the definition.

        `retired`: with those of the definition that are retired, too. One of which the declaration cannot be read is
        left out, with a complaint.
        """
        from eventfabric.model.catalogue import State

        return [
            replace(
                stream,
                subscriptions=tuple(
                    own
                    for own in self.declared.subscriptions_of(stream)
                    if _is_read(own) and (retired or self.declared.state_of(own) is not State.RETIRED)
                ),
            )
            for stream in self.streams(only)
        ]

    def subscriptions(self, only: str | None = None) -> "list[SubscriptionTopology]":
        """Return that subscription, or all of the Region if None. Raises UnknownNameError, WrongRegionError."""
        if only is None:
            return self.topology.subscriptions_in(self.region)
        subscription = self.topology.subscription(only)
        self.topology.stream(subscription.definition.stream).check_region(self.region)
        return [subscription]


def _is_read(subscription: "SubscriptionTopology") -> bool:
    """Tell if it is known where the state of a subscription is. Complain if its declaration cannot be read."""
    from eventfabric.cli.output import left_out
    from eventfabric.errors import UndecodableRecordError

    try:
        return bool(subscription.state_name)
    except UndecodableRecordError as error:
        left_out(error)
        return False


def _check_endpoint(url: str | None) -> None:
    """Refuse a URL that botocore would refuse later, with a ValueError that nobody catches."""
    if url is None:
        return
    from botocore.utils import is_valid_endpoint_url, is_valid_ipv6_endpoint_url

    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.port != 0
        valid = valid and (is_valid_endpoint_url(url) or is_valid_ipv6_endpoint_url(url))
    except ValueError:  # the port is not a number, or a bracket is missing
        valid = False
    if not valid:
        raise typer.BadParameter(f"--endpoint-url {url!r}: allowed: http://host:port")
