"""The fabric as a producer sees it: connect, publish, and know where an event stands."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, NoReturn, Unpack

from eventfabric import limits
from eventfabric.errors import (
    EventFabricError,
    IndeterminateAppendError,
    SettingError,
)
from eventfabric.model import Batch, Event, EventFields, Record, Region, StreamName
from eventfabric.ports import Clock, Doorbells, Entropy, Ledger, Log, Outbox
from eventfabric.sdk.bundle import Receipt, receipt
from eventfabric.sdk.connecting import check_schemas_of, connected, schema_checks
from eventfabric.sdk.express import Express
from eventfabric.sdk.outbox import OutboxTransaction, check_once, publish_once
from eventfabric.sdk.outgoing import Outgoing
from eventfabric.sdk.publisher import Publisher, WhenFull
from eventfabric.sdk.publishing_again import append_again
from eventfabric.sdk.routes import Routes
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.services.publishing.gates import GatesOf, Gating, gates_of
from eventfabric.services.publishing.outbox import OutboxAppend, WritesOf
from eventfabric.services.publishing.posted_tails import Posting
from eventfabric.stream_topology import StreamTopology
from eventfabric.topology import Topology

if TYPE_CHECKING:
    from boto3 import Session

    from eventfabric.contracts.checks import SchemaChecks
    from eventfabric.rare_ports import Credits


class Fabric:
    """A fabric as seen from the Region that one publishes in; threads may share one.

    Make one per process, with `connect` or `from_definition`.
    """

    def __init__(
        self,
        streams: Topology | DeclaredStreams,
        region: str,
        *,
        log_of: Callable[[StreamTopology, Region], Log],
        clock: Clock,
        entropy: Entropy,
        outbox: Outbox | None = None,
        ledger_of: Callable[[Region], Ledger] | None = None,
        doorbells_of: Callable[[Region], Doorbells] | None = None,
        credits_of: "Callable[[Region], Credits] | None" = None,
        gates_of: GatesOf = gates_of,
        failover: Sequence[str] = (),
        source: str | None = None,
        schemas: "SchemaChecks | None" = None,
        parallel_lanes: int = limits.PUBLISHER_PARALLEL_LANES,
        append_timeout_seconds: float = limits.APPEND_TIMEOUT_SECONDS,
    ) -> None:
        self.region = Region(region)
        self._streams = streams
        self._routes = Routes(
            streams,
            self.region,
            failover,
            log_of=log_of,
            ledger_of=ledger_of,
            clock=clock,
            entropy=entropy,
            append_timeout_seconds=append_timeout_seconds,
            gating=credits_of and Gating(credits_of, gates_of=gates_of, clock=clock, entropy=entropy),
        )
        self._clock = clock
        self._entropy = entropy
        self._outbox = outbox
        self._source = source
        self._schemas = schemas
        self._parallel_lanes = parallel_lanes
        self._append_timeout_seconds = append_timeout_seconds
        self._express = (
            None
            if doorbells_of is None
            else Express(doorbells_of, clock=clock, has_threads=bool(parallel_lanes), refused=self._read_anew)
        )
        self._outgoing: dict[str, Outgoing] = {}

    @classmethod
    def connect(
        cls,
        fabric: str | None = None,
        *,
        region: str | None = None,
        failover: Sequence[str] = (),
        session: "Session | None" = None,
        endpoint_url: str | None = None,
        source: str | None = None,
        schemas: str | PathLike[str] | None = None,
    ) -> "Fabric":
        """Make a fabric by its name. All else is read from its tables, once for each stream and again every minute.

        Args:
            fabric: its name, such as shop, or with its stage, such as shop_dev; the stage may also be that of
                EVENTFABRIC_STAGE. Without it: that of the project's definition file, which is looked for as
                `settings.definition_path` says, as if its path were given to `from_definition`.
            region: the Region to publish in; default: the session's, or the environment's AWS_REGION.
            failover: as in `from_definition`.
            session: as in `from_definition`.
            endpoint_url: as in `from_definition`.
            source: as in `from_definition`.
            schemas: the folder with the schemas of event types; default: none, and with the project's definition file
                the folder `schemas` beside it.

        Raises:
            SettingError: no fabric can have that name, a Region is listed twice, no Region is named anywhere, or the
                folder is none of schemas. If it is that of another fabric, publishing raises it.
            DefinitionError, WrongRegionError: without `fabric`, as `from_definition`.
        """
        from eventfabric.settings import definition_path, fabric_named

        if fabric is None:
            return cls.from_definition(
                definition_path(),
                region=region,
                failover=failover,
                session=session,
                endpoint_url=endpoint_url,
                source=source,
                schemas=schemas,
            )
        checks = schema_checks(schemas)
        return cls._connected(
            fabric_named(fabric), (), region, failover, session, endpoint_url, source, checks
        )

    @classmethod
    def from_definition(
        cls,
        path: str | PathLike[str],
        *,
        region: str | None = None,
        failover: Sequence[str] = (),
        session: "Session | None" = None,
        endpoint_url: str | None = None,
        source: str | None = None,
        schemas: str | PathLike[str] | None = None,
    ) -> "Fabric":
        """Make the fabric of a definition file. Only its name and Regions are taken from there; see `connect`.

        Args:
            path: the definition, such as infra/fabric.toml.
            region: the Region to publish in; default: the session's, or the environment's AWS_REGION.
            failover: Regions to publish in, in this order, while that one gives no reply; by default publishing fails
                then. An event's receipt says where it stands, and the order of a key holds within each Region. Not for
                `once` and transactions, whose other writes are in one Region.
            session: any boto3 session; default: boto3's own.
            endpoint_url: another endpoint than AWS, such as a local fabric's.
            source: the CloudEvents source of events that name none; default "/<fabric>/<stream>".
            schemas: the folder with the schemas of event types, to which events are held; default: the folder `schemas`
                beside the definition, if there is one.

        Raises:
            DefinitionError: the definition is wrong or missing.
            WrongRegionError: the fabric is not in one of the Regions.
            SettingError: a Region is listed twice, or the folder is not that of the schemas of this fabric.
        """
        from eventfabric.settings import definition_at

        topology = Topology(definition_at(path))
        checks = schema_checks(schemas, definition=path, streams=topology.definition.streams)
        return cls._connected(
            topology.fabric, topology.regions, region, failover, session, endpoint_url, source, checks
        )

    @classmethod
    def _connected(
        cls,
        fabric: str,
        regions: Sequence[str],
        region: str | None,
        failover: Sequence[str],
        session: "Session | None",
        endpoint_url: str | None,
        source: str | None,
        schemas: "SchemaChecks | None",
    ) -> "Fabric":
        """Make a fabric by its full name. `regions`: all that it has; empty: not known."""
        region, streams, ports = connected(
            fabric, region, regions=regions, failover=failover, session=session, endpoint_url=endpoint_url
        )
        return cls(
            streams,
            region,
            failover=failover,
            log_of=lambda stream, region: ports.at(region).log_of(stream),
            clock=ports.clock,
            entropy=ports.entropy,
            outbox=ports.outbox,
            ledger_of=lambda region: ports.at(region).ledger,
            doorbells_of=lambda region: ports.at(region).doorbells,
            credits_of=lambda region: ports.at(region).credits,
            source=source,
            schemas=schemas,
        )

    @property
    def name(self) -> str:
        """The fabric's name with its stage, such as shop_dev."""
        return self._streams.fabric

    def publish(
        self,
        stream: str,
        *,
        once: bool = False,
        acks: int = 1,
        **event: Unpack[EventFields],
    ) -> Receipt:
        """Publish one event. When this returns, it is durable and on its way to every subscription.

        Args:
            stream: name of the stream.
            key: events of one key are delivered in order; 1 to 1,024 bytes.
            type: what happened; subscriptions filter by it.
            data: any JSON value, bytes, or an object that encodes to JSON.
            id: default: a new UUIDv7.
            headers: CloudEvents extension attributes.
            time: when it happened; default: now.
            source: who says so; default: the fabric's.
            once: publish at most once in this Region with this source and `id`, which must be given, however often and
                from wherever it is called: the receipt is then that of the first time. Time and headers may differ from
                then; key, type and data may not. Costs a transaction, four times the write units of a small event.
            acks: number of Regions that have the event when this returns: 2 costs a call to another Region, and a write
                there. On a quorum stream several always have it.

        Raises:
            UnknownNameError, WrongRegionError, InvalidEventError, EventTooLargeError: nothing was written.
            InvalidSchemaError, MissingExtraError: the type's schema cannot be used here; nothing was written.
            NotDeclaredError, FormatError: the stream was never deployed, or by a later version; nothing was written.
            NoTransactionsError: with `once`, the stream's durability is "quorum"; nothing was written.
            BackpressureError: nothing was written; subscriptions hold the producers of its lane back.
            ContendedAppendError: nothing was written; try again later. With `once`, ContendedTransactionError.
            OnceConflictError: with `once`, another event of this source and id was published; nothing was written.
            IndeterminateTransactionError: with `once`, it may be written; publish again, once.
            IndeterminateAppendError: it may be written; `publish_again(error)` settles it. One of these is
                UnconfirmedAppendError: it is written, but no second Region has confirmed that it has it.
            SettingError: the stream does not allow these `acks`; nothing was written.
        """
        outgoing = self._stream(stream)
        acks = outgoing.check_acks(acks)
        if once:
            outgoing.stream.check_transactions("once=True")
            check_once(event.get("id"))
            if acks > 1:
                raise SettingError("acks", acks, "1 with once=True: its transaction is of one Region")
        encoded = outgoing.encode(event)
        if once:
            return publish_once(outgoing, self._log_here(outgoing), encoded, self._append_together)
        return receipt(outgoing.append_event(encoded, acks=acks), 0, encoded.ids[0])

    def publish_many(self, stream: str, events: Iterable[Event], *, acks: int = 1) -> list[Receipt]:
        """Publish events, packed into as few records as their lanes allow. Return their receipts in the order given.

        All are checked before one is written, and the error lists what is wrong with any: EndedTypeError or
        EventTooLargeError if that is all, else InvalidEventError. Raises otherwise as `publish`, and
        PublishFailedError with each failure if some could not be appended.
        """
        with self.publisher(stream, linger_ms=60_000, acks=acks) as publisher:
            pending = [publisher.take(event) for event in publisher.encoded(events)]
        return [waiting.result() for waiting in pending]

    def publisher(
        self,
        stream: str,
        *,
        linger_ms: float = limits.PUBLISHER_LINGER_MILLISECONDS,
        events_max: int = limits.RECORD_EVENTS_MAX,
        buffer_bytes_max: int = limits.PUBLISHER_BUFFER_BYTES_MAX,
        acks: int = 1,
        when_full: WhenFull = "wait",
    ) -> Publisher:
        """Make a publisher, which packs events into records; use it as a context manager.

        Args:
            stream: name of the stream.
            linger_ms: how long an event may wait for others of its lane.
            events_max: events in a record, at most 1,000.
            buffer_bytes_max: memory for events that are not appended yet.
            acks: as in `publish`.
            when_full: "wait": `publish` waits for room, and while subscriptions hold the lane back; "raise": it raises
                BufferFullError, or BackpressureError.
        """
        return Publisher(
            self._stream(stream),
            linger_ms=linger_ms,
            events_max=events_max,
            buffer_bytes_max=buffer_bytes_max,
            parallel_lanes=self._parallel_lanes,
            acks=acks,
            when_full=when_full,
        )

    @property
    def regions_away(self) -> frozenset[Region]:
        """Regions that gave no reply when this Fabric last tried to publish in them."""
        return self._routes.health.away

    def flush(self, timeout_seconds: float = limits.EXPRESS_FLUSH_SECONDS) -> bool:
        """Wait until the doorbells of what was published are rung. False if that took longer.

        Only latency depends on it: call it at the end of a Lambda function that publishes, which is frozen as soon as
        it returns.
        """
        return self._express is None or self._express.wait(timeout_seconds)

    def transaction(self) -> OutboxTransaction:
        """Make a transaction of your own DynamoDB writes and events, durable together; use it as a context manager."""
        return OutboxTransaction(self._stream, self._log_here, self._append_together)

    def _log_here(self, outgoing: Outgoing) -> Log:
        return self._routes.log_of(outgoing.stream, self.region)

    def _append_together(self, postings: Sequence[Posting], writes_of: WritesOf) -> OutboxAppend:
        if self._outbox is None:
            raise EventFabricError("this fabric was made without an outbox: use connect or from_definition")
        return OutboxAppend(
            postings,
            writes_of,
            outbox=self._outbox,
            clock=self._clock,
            entropy=self._entropy,
            timeout_seconds=self._append_timeout_seconds,
        )

    def publish_again(self, error: IndeterminateAppendError) -> list[Receipt]:
        """Settle a batch whose outcome is unknown: it then stands in the log once, whether it had been written or not.

        Return the receipts of its events, in their order. Raises as `publish`; SettingError for any other error.
        """
        batch, record = getattr(error, "batch", None), getattr(error, "record", None)
        if not (isinstance(batch, Batch) and isinstance(record, Record)):
            raise SettingError("error", type(error).__name__, "an IndeterminateAppendError")
        return append_again(self._stream(error.stream), record, batch, acks=error.acks)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Fabric cannot be handed to another process: make one there, with Fabric.connect")

    def _stream(self, name: str) -> Outgoing:
        stream = self._open_stream(name)
        outgoing = self._outgoing.get(name)
        if outgoing is None:
            check_schemas_of(self._schemas, name)
        if outgoing is None or not outgoing.goes_by(stream):
            outgoing = self._outgoing[name] = Outgoing(
                stream,
                self.region,
                current=partial(self._open_stream, name),
                route_of=self._routes.of,
                clock=self._clock,
                entropy=self._entropy,
                source=self._source or stream.source,
                express=self._express,
                known=self._routes.known(stream, self.region),
                credits=self._routes.credits(stream, self.region),
                schemas=self._schemas,
            )
        return outgoing

    def _open_stream(self, name: str) -> StreamTopology:
        """Return a stream as it is deployed now, if events may be published here. No call, but once a minute."""
        stream = self._streams.stream(name)
        stream.check_open(self.region)
        return stream

    def _read_anew(self, stream: StreamName) -> None:
        if isinstance(self._streams, DeclaredStreams):
            self._streams.forget(stream)
