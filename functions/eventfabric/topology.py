"""The only declaration of what a definition becomes: names, keys, environment, bounds of tables, queues and functions.

Infrastructure, local fabric, adapters and tests all read it, so they cannot drift apart. Pure; holds no client.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from eventfabric import limits
from eventfabric.definition.functions import FunctionSettings
from eventfabric.definition.schema import Definition, Stream, Subscription, full_name
from eventfabric.errors import NoTransactionsError, UnknownNameError, WrongRegionError
from eventfabric.resources import (
    ENVIRONMENT_REGION,
    ENVIRONMENT_SUBSCRIPTION,
    FunctionTopology,
    QueueTopology,
    TableTopology,
    TimerQueueTopology,
    megabytes_of_passes,
)

RELAY_ENTRY: Final = "eventfabric.handlers.relay.handle"
DELIVER_ENTRY: Final = "eventfabric.handlers.deliver.handle"
TIMER_ENTRY: Final = "eventfabric.handlers.timer.handle"
BACKFILL_ENTRY: Final = "eventfabric.handlers.backfill.handle"
RECONCILE_ENTRY: Final = "eventfabric.handlers.reconcile.handle"

LAMBDA_PYTHON: Final = "3.13"
"""Runtime of all functions; scripts/lock pins their wheels for it."""
RECONCILE_MINUTES: Final = 5
"""Minutes from one pass of reconciliation to the next."""
RELAY_RECORD_AGE_SECONDS: Final = 3600
"""Age up to which the relay gets a record again for which it could not ring; reconciliation rings for older ones."""


@dataclass(frozen=True)
class SubscriptionTopology:
    """A subscription's queue and function, and the lanes that each Region delivers for it."""

    fabric: str
    name: str
    definition: Subscription
    regions: tuple[str, ...]
    retention_seconds: int | None = None
    """Time for which the stream keeps its records; None: for ever."""
    shares_state: bool = False
    """All Regions see one state at once, as for a stream whose durability is quorum."""

    @cached_property
    def queue(self) -> QueueTopology:
        """Queue of the subscription's doorbells, equal in every Region that delivers for it."""
        return QueueTopology(
            f"{self.fabric}-{self.name}.fifo",
            f"{self.fabric}-{self.name}-dead.fifo",
            visibility_timeout_seconds=limits.VISIBILITY_TIMEOUTS * self.definition.function.timeout_seconds,
        )

    @cached_property
    def timers(self) -> TimerQueueTopology:
        """Queue of timers, which are doorbells that come later. All subscriptions of a Region share it."""
        return TimerQueueTopology.of(self.fabric)

    @property
    def former_timers_name(self) -> str:
        """Queue of the subscription's timers in earlier versions, of which a deployment may leave some."""
        return f"{self.fabric}-{self.name}-timers"

    @property
    def queue_tags(self) -> dict[str, str]:
        """Tags of the subscription's queues by their names; see QUEUE_TAG."""
        of = f"{self.fabric}/{self.definition.stream}"
        return {
            self.queue.name: f"{of}/doorbells",
            self.queue.dead_letter_name: f"{of}/dead",
        }

    @property
    def function_name(self) -> str:
        """Name of the subscription's deliver function."""
        return f"{self.fabric}-{self.name}"

    def owner(self, origin: str) -> str | None:
        """Return the Region that delivers the lanes appended in `origin`, by the definition; None: every Region."""
        match self.definition.deliver:
            case "everywhere":
                return None
            case "one":
                return self.definition.region
            case _:
                return origin

    def home(self, origin: str) -> str | None:
        """Return the Region under which an origin's lanes keep their state, whoever delivers; None: each its own."""
        return origin if self.shares_state and self.owner(origin) is not None else None

    def delivers(self, origin: str, region: str) -> bool:
        """Tell if `region` delivers the lanes appended in `origin`, by the definition."""
        return self.owner(origin) in (None, region) and region in self.regions


@dataclass(frozen=True)
class StreamTopology:
    """A stream's table and its subscriptions."""

    fabric: str
    name: str
    definition: Stream
    subscriptions: tuple[SubscriptionTopology, ...]

    def has_lane(self, origin: str, generation: int, index: int) -> bool:
        """Tell if the stream can have that lane, by its definition."""
        return origin in self.definition.regions and generation == 0 and 0 <= index < self.definition.lanes

    @cached_property
    def table(self) -> TableTopology:
        """Table of the log, with one replica in each of the stream's Regions."""
        return TableTopology(
            name=f"{self.fabric}-{self.name}",
            regions=self.definition.regions,
            sort_key_type="N",
            expiry_attribute=None if self.definition.retention_days is None else "x",
            is_quorum=self.definition.durability == "quorum",
        )

    @cached_property
    def own_ledger(self) -> TableTopology | None:
        """Table with the state of a quorum stream's subscriptions, as consistent as its log; None for other streams."""
        if not self.table.is_quorum:
            return None
        return TableTopology(f"{self.table.name}-ledger", self.table.regions, "S", is_quorum=True)

    @property
    def retention_seconds(self) -> int | None:
        """Time for which records are kept; None: for ever."""
        return _retention_seconds(self.definition)

    @property
    def source(self) -> str:
        """CloudEvents source of events whose producer names none."""
        return f"/{self.fabric}/{self.name}"

    def check_region(self, region: str | None) -> str:
        """Return `region` if the stream is in it, else raise WrongRegionError."""
        if region not in self.definition.regions:
            raise WrongRegionError(f"stream {self.name}", region, self.definition.regions)
        return region

    def check_transactions(self, asked: str) -> None:
        """Raise NoTransactionsError if the log can have no part in a transaction. `asked`: what would need one."""
        if self.table.is_quorum:
            raise NoTransactionsError(self.name, asked)


class Topology:
    """Everything that a definition becomes."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.fabric = full_name(definition.fabric)
        self.regions = tuple(definition.fabric.regions)

    @cached_property
    def streams(self) -> dict[str, StreamTopology]:
        """All streams by name."""
        return {
            name: StreamTopology(
                self.fabric,
                name,
                stream,
                tuple(s for s in self.subscriptions.values() if s.definition.stream == name),
            )
            for name, stream in self.definition.streams.items()
        }

    @cached_property
    def subscriptions(self) -> dict[str, SubscriptionTopology]:
        """All subscriptions by name."""
        return {
            name: SubscriptionTopology(
                self.fabric,
                name,
                subscription,
                tuple(self.definition.streams[subscription.stream].regions),
                retention_seconds=_retention_seconds(self.definition.streams[subscription.stream]),
                shares_state=subscription.stream in self.streams_without_transactions,
            )
            for name, subscription in self.definition.subscriptions.items()
        }

    @cached_property
    def ledger(self) -> TableTopology:
        """Table with the state of all subscriptions but those of quorum streams. Only steps and decisions expire."""
        return TableTopology(
            f"{self.fabric}-ledger", regions=self.regions, sort_key_type="S", expiry_attribute="expiration"
        )

    def ledger_of(self, stream: str) -> TableTopology:
        """Return the table with the state of a stream's subscriptions. A quorum stream has its own, as consistent."""
        return self.stream(stream).own_ledger or self.ledger

    @property
    def ledgers(self) -> list[TableTopology]:
        """All tables that hold state. The first one also holds what belongs to no subscription."""
        return list(
            {table.name: table for table in [self.ledger, *map(self.ledger_of, self.streams)]}.values()
        )

    @property
    def streams_without_transactions(self) -> frozenset[str]:
        """Streams whose subscriptions keep state in strongly consistent global tables, which have no transactions."""
        return frozenset(n for n, stream in self.definition.streams.items() if stream.durability == "quorum")

    @cached_property
    def own_settings(self) -> FunctionSettings:
        """Settings of the fabric's own functions."""
        return self.definition.functions.of_the_fabric()

    @property
    def architectures(self) -> list[str]:
        """Processors of all functions, those of the fabric's own first. For each there is a zip."""
        every = [self.own_settings, *(own.function for own in self.definition.subscriptions.values())]
        return list(dict.fromkeys(settings.architecture for settings in every))

    def relay_function(self, region: str) -> FunctionTopology:
        """Return the function that a Region's stream tables invoke."""
        return FunctionTopology(
            f"{self.fabric}-relay",
            RELAY_ENTRY,
            {ENVIRONMENT_REGION: region},
            memory_megabytes=limits.FUNCTION_MEMORY_MEGABYTES_SMALL,
            settings=self.own_settings,
        )

    def deliver_function(self, subscription: str, region: str) -> FunctionTopology:
        """Return the function that a subscription's queue invokes in a Region."""
        own = self.subscription(subscription)
        settings = own.definition.function
        fixed = {ENVIRONMENT_REGION: region, ENVIRONMENT_SUBSCRIPTION: subscription}
        return FunctionTopology(
            own.function_name,
            DELIVER_ENTRY,
            {**settings.environment, **fixed},
            timeout_seconds=settings.timeout_seconds,
            memory_megabytes=settings.memory_megabytes,
            may_recur=True,
            settings=settings,
        )

    def timer_function(self, region: str) -> FunctionTopology:
        """Return the function that a Region's timer queues invoke."""
        return FunctionTopology(
            f"{self.fabric}-timer",
            TIMER_ENTRY,
            {ENVIRONMENT_REGION: region},
            memory_megabytes=limits.FUNCTION_MEMORY_MEGABYTES_SMALL,
            may_recur=True,
            settings=self.own_settings,
        )

    def backfill_function(self, region: str) -> FunctionTopology:
        """Return the function that copies what a Region's logs lack, as a state machine asks it to."""
        return FunctionTopology(
            f"{self.fabric}-backfill",
            BACKFILL_ENTRY,
            {ENVIRONMENT_REGION: region},
            timeout_seconds=limits.FUNCTION_TIMEOUT_SECONDS_MAX,
            settings=self.own_settings,
        )

    def reconcile_function(self, region: str) -> FunctionTopology:
        """Return the function that runs reconciliation over a Region's streams, on a schedule."""
        return FunctionTopology(
            f"{self.fabric}-reconcile",
            RECONCILE_ENTRY,
            {ENVIRONMENT_REGION: region},
            timeout_seconds=limits.FUNCTION_TIMEOUT_SECONDS_MAX,
            memory_megabytes=megabytes_of_passes(self.streams_in(region)),
            settings=self.own_settings,
        )

    def functions(self, region: str) -> list[FunctionTopology]:
        """Return all functions of a Region."""
        return [
            self.relay_function(region),
            self.timer_function(region),
            self.reconcile_function(region),
            self.backfill_function(region),
            *(
                self.deliver_function(subscription.name, region)
                for subscription in self.subscriptions_in(region)
            ),
        ]

    def streams_in(self, region: str) -> list[StreamTopology]:
        """Return the streams of a Region."""
        return [stream for stream in self.streams.values() if region in stream.definition.regions]

    def subscriptions_in(self, region: str) -> list[SubscriptionTopology]:
        """Return the subscriptions of a Region's streams: each has queues and a function there, whoever delivers."""
        return [
            subscription for subscription in self.subscriptions.values() if region in subscription.regions
        ]

    @property
    def tables(self) -> list[TableTopology]:
        """Every table: the streams' logs, then the ledgers."""
        return [*(stream.table for stream in self.streams.values()), *self.ledgers]

    @property
    def home(self) -> str:
        """The Region from which tables that span Regions are deployed."""
        return self.regions[0]

    def stack_name(self, kind: str, region: str, *, subscription: str | None = None) -> str:
        """Name a stack of a Region or a subscription. CloudFormation allows no underscore, so the stage is last.

        A name without a stage ends with a Region, whose last part is a digit, and no stage begins with a digit. The
        kind of a subscription's stack has a capital. No name of a definition has one, so no fabric's name contains it.
        """
        fabric = self.definition.fabric
        of = kind if subscription is None else f"{kind.capitalize()}-{subscription}"
        name = f"{fabric.name}-{of}-{region}"
        return name if fabric.stage is None else f"{name}-{fabric.stage}"

    @property
    def key_alias(self) -> str:
        """Name of the key, one in each Region, with which tables and queues are encrypted."""
        return f"alias/{self.fabric}"

    @property
    def relay_dead_name(self) -> str:
        """Queue that says for which stretch of a DynamoDB stream the relay gave up."""
        return f"{self.fabric}-relay-dead"

    @property
    def reconcile_dead_name(self) -> str:
        """Queue that notes which pass of reconciliation could not be started."""
        return f"{self.fabric}-reconcile-dead"

    @property
    def lookup_name(self) -> str:
        """Function that tells a deployment which DynamoDB stream each table has in its Region."""
        return f"{self.fabric}-lookup"

    @property
    def start_name(self) -> str:
        """Function that tells a deployment which functions of its Region cannot start."""
        return f"{self.fabric}-start-lookup"

    @property
    def backfill_machine_name(self) -> str:
        """State machine that drives backfills into a Region."""
        return f"{self.fabric}-backfill"

    @property
    def reconcile_schedule_name(self) -> str:
        """Schedule that starts reconciliation."""
        return f"{self.fabric}-reconcile"

    @cached_property
    def timers(self) -> TimerQueueTopology:
        """Queue of a Region's timers."""
        return TimerQueueTopology.of(self.fabric)

    def stream(self, name: str) -> StreamTopology:
        """Return the stream of that name. UnknownNameError if there is none."""
        try:
            return self.streams[name]
        except KeyError:
            raise UnknownNameError("stream", name, sorted(self.streams)) from None

    def subscription(self, name: str) -> SubscriptionTopology:
        """Return the subscription of that name. UnknownNameError if there is none."""
        try:
            return self.subscriptions[name]
        except KeyError:
            raise UnknownNameError("subscription", name, sorted(self.subscriptions)) from None

    def reached_by(self, subscription: str) -> dict[str, list[str]]:
        """Return the streams into which a subscription publishes, each with its subscriptions. UnknownNameError."""
        return {
            stream: [
                name for name, reader in self.subscriptions.items() if reader.definition.stream == stream
            ]
            for stream in self.subscription(subscription).definition.publishes
        }

    def stream_of_table(self, table: str) -> StreamTopology:
        """Return the stream whose log is that table. UnknownNameError if there is none."""
        for stream in self.streams.values():
            if stream.table.name == table:
                return stream
        raise UnknownNameError("stream table", table, [s.table.name for s in self.streams.values()])


def _retention_seconds(stream: Stream) -> int | None:
    return None if stream.retention_days is None else stream.retention_days * 86_400
