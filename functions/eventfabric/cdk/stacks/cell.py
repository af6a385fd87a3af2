"""A cell: everything that one Region needs to relay, retry, reconcile and backfill; the same in every Region.

It holds no data. Its resources find tables, keys and queues by name, so that no cell refers to another stack. What
delivers for a subscription is in a stack of its own, so a cell does not grow with their number.
"""

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from eventfabric import limits
from eventfabric.cdk.constructs.backfill import BackfillMachine
from eventfabric.cdk.constructs.catalogue import (
    DeploymentCheck,
    again_of,
    check_first,
    declare_last,
)
from eventfabric.cdk.constructs.function import FabricFunction
from eventfabric.cdk.constructs.log_group import log_key_of
from eventfabric.cdk.constructs.queue import DoorbellQueue, FailureQueue, map_queue
from eventfabric.cdk.constructs.schedule import FunctionSchedule
from eventfabric.cdk.constructs.start import StartCheck, Starter
from eventfabric.cdk.constructs.stream_arn import StreamArns
from eventfabric.cdk.stacks.fabric_stack import FabricStack
from eventfabric.deployment.concurrency import reserve_of
from eventfabric.deployment.declarations import asked_of_cell, of_catalogue
from eventfabric.deployment.permissions import of_function, of_schedule
from eventfabric.resources import FunctionTopology
from eventfabric.topology import (
    CATALOGUE_AGE_MINUTES,
    RECONCILE_MINUTES,
    RELAY_RECORD_AGE_SECONDS,
    Topology,
)


class CellStack(FabricStack):
    """The cell of one Region. `functions` has the Region's functions by name, so that extensions can grant them more.

    Those of subscriptions are there, too: the stack of a subscription adds its own.
    """

    def __init__(
        self,
        scope: Construct,
        topology: Topology,
        *,
        codes: Mapping[str, lambda_.Code],
        env: cdk.Environment,
        schemas: Mapping[str, str] | None = None,
    ) -> None:
        assert env.region is not None
        super().__init__(scope, "cell", topology, env=env, description=f"the cell of {env.region}.")
        self.topology, self._home = topology, env.region
        self._codes, self._log_key = codes, log_key_of(topology)
        self._key = kms.Alias.from_alias_name(self, "Key", topology.key_alias)
        self.functions: dict[str, FabricFunction] = {}
        self._reserve = reserve_of(topology.definition, env.region)
        declared = topology.catalogue_function(env.region)
        made = FabricFunction(
            self,
            "Catalogue",
            declared,
            of_catalogue(topology, env.region),
            code=codes[declared.settings.architecture],
            log_key=self._log_key,
            reserved=self._reserve.catalogue,
            event_age_minutes=CATALOGUE_AGE_MINUTES,
        )
        catalogue = made.function.function_arn
        asked = asked_of_cell(topology, env.region, again=again_of(self), schemas=schemas)
        allowed = DeploymentCheck(self, "Allowed", catalogue=catalogue, asked=asked)
        starter = Starter(self, "Start", topology=topology, region=env.region)
        self._start = StartCheck(self, "Check", starter=starter.arn)
        self._timers()
        self._relay()
        self._start.check()
        self._upkeep()
        check_first(self, allowed, needs=[made])
        declare_last(self, catalogue=catalogue, asked=asked)

    def _function(
        self,
        id: str,
        function: FunctionTopology,
        *,
        reserved: int = 0,
        retries: int | None = None,
        event_age_minutes: int | None = None,
    ) -> FabricFunction:
        made = FabricFunction(
            self,
            id,
            function,
            of_function(self.topology, function),
            code=self._codes[function.settings.architecture],
            log_key=self._log_key,
            reserved=reserved,
            retries=retries,
            event_age_minutes=event_age_minutes,
        )
        self.functions[function.name] = made
        return made

    def _timers(self) -> None:
        """Connect the timers of all subscriptions to the timer function."""
        declared = self.topology.timer_function(self._home)
        timer = self._start.live(self._function("Timer", declared, reserved=self._reserve.timer))
        if self.topology.subscriptions_in(self._home):
            queue = self.topology.timers
            map_queue(
                DoorbellQueue(self, "Timers", queue, key=self._key),
                timer.function_arn,
                batch_max=queue.batch_max,
                invocations_max=limits.TIMER_CONCURRENCY,
            )

    def _relay(self) -> None:
        """Connect the DynamoDB stream of each stream's table to the relay."""
        failed = FailureQueue(self, "RelayDead", self.topology.relay_dead_name, key=self._key)
        function = self.topology.relay_function(self._home)
        relay = self._start.live(self._function("Relay", function, reserved=self._reserve.relay))
        tables = [stream.table for stream in self.topology.streams_in(self._home)]
        arns = StreamArns(
            self,
            "StreamArns",
            name=self.topology.lookup_name,
            tables=tables,
            settings=self.topology.own_settings,
            log_key=self._log_key,
        )
        mappings = Construct(self, "RelayMappings")
        for table in tables:
            lambda_.CfnEventSourceMapping(
                Construct(mappings, table.name),
                "Mapping",
                function_name=relay.function_arn,
                event_source_arn=arns.of(table),
                starting_position="TRIM_HORIZON",  # LATEST would miss what is published during the deployment
                batch_size=limits.RELAY_BATCH_MAX,
                bisect_batch_on_function_error=True,
                function_response_types=["ReportBatchItemFailures"],
                maximum_record_age_in_seconds=RELAY_RECORD_AGE_SECONDS,
                maximum_retry_attempts=-1,
                destination_config=lambda_.CfnEventSourceMapping.DestinationConfigProperty(
                    on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(
                        destination=failed.queue.queue_arn
                    )
                ),
                # Only inserts matter: records never change, and nothing has to be rung when they expire.
                filter_criteria=lambda_.CfnEventSourceMapping.FilterCriteriaProperty(
                    filters=[lambda_.CfnEventSourceMapping.FilterProperty(pattern='{"eventName":["INSERT"]}')]
                ),
            )

    def _upkeep(self) -> None:
        """Declare reconciliation, which runs on a schedule, and backfills, which run on demand."""
        # No retries: the next pass comes soon and finds what a failed one left; a delayed pass would be in its way.
        reconcile = self._function(
            "Reconcile",
            self.topology.reconcile_function(self._home),
            reserved=self._reserve.reconcile,
            retries=0,
            event_age_minutes=RECONCILE_MINUTES,
        )
        FunctionSchedule(
            self,
            "ReconcileSchedule",
            name=self.topology.reconcile_schedule_name,
            function=reconcile.function,
            minutes=RECONCILE_MINUTES,
            dead=FailureQueue(self, "ReconcileDead", self.topology.reconcile_dead_name, key=self._key).queue,
            writes=of_schedule(self.topology, self._home),
        )
        backfill = self._function("Backfill", self.topology.backfill_function(self._home))
        BackfillMachine(
            self,
            "BackfillMachine",
            name=self.topology.backfill_machine_name,
            function=backfill.function,
            log_days=self.topology.own_settings.log_days,
            log_key=self._log_key,
        )
