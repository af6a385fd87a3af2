"""The only declaration of what a definition becomes: names, keys, environment, bounds of tables, queues and functions.

Infrastructure, local fabric, adapters and tests all read it, so they cannot drift apart. Pure; holds no client.
"""

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Final

from eventfabric import limits
from eventfabric.definition.functions import FunctionSettings
from eventfabric.definition.schema import Definition, full_name
from eventfabric.errors import UnknownNameError
from eventfabric.resources import (
    ENVIRONMENT_REGION,
    ENVIRONMENT_SUBSCRIPTION,
    FunctionTopology,
    TableTopology,
    TimerQueueTopology,
    megabytes_of_passes,
)
from eventfabric.stream_topology import (
    Incarnation,
    StreamTopology,
    SubscriptionTopology,
    ledger_table,
    retention_seconds,
)

NO_INCARNATIONS: Final[Mapping[str, Incarnation]] = MappingProxyType({})
RELAY_ENTRY: Final = "eventfabric.handlers.relay.handle"
DELIVER_ENTRY: Final = "eventfabric.handlers.deliver.handle"
TIMER_ENTRY: Final = "eventfabric.handlers.timer.handle"
BACKFILL_ENTRY: Final = "eventfabric.handlers.backfill.handle"
RECONCILE_ENTRY: Final = "eventfabric.handlers.reconcile.handle"
CATALOGUE_ENTRY: Final = "eventfabric.handlers.catalogue.handle"

CATALOGUE_SECONDS_MAX: Final = 300
"""Time that a check or a declaration of a deployment may take."""
CATALOGUE_AGE_MINUTES: Final = 10
"""Age up to which a check or a declaration waits for its function: later, its stack would no longer wait for it."""
LAMBDA_PYTHON: Final = "3.13"
"""Runtime of all functions; scripts/lock pins their wheels for it."""
RECONCILE_MINUTES: Final = 5
"""Minutes from one pass of reconciliation to the next."""
RELAY_RECORD_AGE_SECONDS: Final = 3600
"""Age up to which the relay gets a record again for which it could not ring; reconciliation rings for older ones."""


class Topology:
    """Everything that a definition becomes."""

    def __init__(
        self, definition: Definition, incarnations: Mapping[str, Incarnation] = NO_INCARNATIONS
    ) -> None:
        """`incarnations`: those of subscriptions, by name, as the catalogue has them."""
        self.definition = definition
        self.incarnations = incarnations
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
                tuple(region for region in self.definition.fabric.closing if region in stream.regions),
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
                retention_seconds=retention_seconds(self.definition.streams[subscription.stream]),
                lanes=self.definition.streams[subscription.stream].lanes,
                shares_state=subscription.stream in self.streams_without_transactions,
                incarnations=self.incarnations,
            )
            for name, subscription in self.definition.subscriptions.items()
        }

    @cached_property
    def ledger(self) -> TableTopology:
        """Table with the state of all subscriptions but those of quorum streams. Only steps and decisions expire."""
        return ledger_table(self.fabric, self.regions)

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

    def catalogue_function(self, region: str, *, of_log: bool = False) -> FunctionTopology:
        """Return the function that checks and declares for a deployment: that of a cell, or of the stack of tables."""
        own = self.own_settings
        return FunctionTopology(
            f"{self.fabric}-log-catalogue-lookup" if of_log else f"{self.fabric}-catalogue-lookup",
            CATALOGUE_ENTRY,
            {ENVIRONMENT_REGION: region},
            timeout_seconds=CATALOGUE_SECONDS_MAX,
            settings=FunctionSettings(architecture=own.architecture, log_days=own.log_days),
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

    def first_of(self, stream: StreamTopology) -> str:
        """Return the Region in which a stream is deployed first: the fabric's first Region that the stream has."""
        return next(region for region in self.regions if region in stream.definition.regions)

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
