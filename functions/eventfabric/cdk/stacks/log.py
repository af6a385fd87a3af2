"""The tables: the logs of all streams, and the ledgers. All data of a fabric is in this stack and that of the keys."""

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from eventfabric.cdk.constructs.catalogue import DeploymentCheck, again_of, check_first
from eventfabric.cdk.constructs.function import FabricFunction
from eventfabric.cdk.constructs.log_group import log_key_of
from eventfabric.cdk.constructs.policies import policy_statement, reasons
from eventfabric.cdk.constructs.table import FabricTable
from eventfabric.cdk.nag import acknowledge
from eventfabric.cdk.stacks.fabric_stack import FabricStack
from eventfabric.deployment.declarations import asked_of_log, of_log_catalogue
from eventfabric.deployment.people import operator, publisher
from eventfabric.deployment.permissions import Statement
from eventfabric.resources import TableTopology
from eventfabric.topology import CATALOGUE_AGE_MINUTES, Topology


class LogStack(FabricStack):
    """The tables that are deployed from one Region, and the policies for publishers and operators of their streams.

    A global table belongs to one stack in one of its Regions: the home Region if the table is there, else its first.
    """

    def __init__(
        self,
        scope: Construct,
        topology: Topology,
        *,
        tables: list[TableTopology],
        codes: Mapping[str, lambda_.Code],
        env: cdk.Environment,
        schemas: Mapping[str, str] | None = None,
    ) -> None:
        """`schemas`: digests of the schemas in the zip, by stream."""
        description = f"logs and ledgers, from {env.region}."
        super().__init__(scope, "log", topology, env=env, description=description, holds_data=True)
        allowed, needed = self._check(topology, tables, codes, schemas)
        for table in tables:
            FabricTable(self, table.name, table, fabric=topology.fabric, key_alias=topology.key_alias)
        for stream in topology.streams.values():
            if stream.table in tables:
                name = stream.table.name
                self._policy(f"{name}-publisher", publisher(topology, stream))
                self._policy(f"{name}-operator", operator(topology, stream))
        check_first(self, allowed, needs=[needed])

    def _check(
        self,
        topology: Topology,
        tables: list[TableTopology],
        codes: Mapping[str, lambda_.Code],
        schemas: Mapping[str, str] | None,
    ) -> tuple[DeploymentCheck, FabricFunction]:
        """Have tables and schemas checked before any change. Return the check, and the function that answers it."""
        function = topology.catalogue_function(self.region, of_log=True)
        catalogue = FabricFunction(
            self,
            "Catalogue",
            function,
            of_log_catalogue(topology, tables, self.region),
            code=codes[function.settings.architecture],
            log_key=log_key_of(topology),
            event_age_minutes=CATALOGUE_AGE_MINUTES,
        )
        asked = asked_of_log(topology, tables, again=again_of(self), schemas=schemas)
        check = DeploymentCheck(self, "Allowed", catalogue=catalogue.function.function_arn, asked=asked)
        return check, catalogue

    def _policy(self, name: str, statements: list[Statement]) -> None:
        """Make the managed policy that users attach to their roles."""
        policy = iam.ManagedPolicy(
            self,
            name,
            managed_policy_name=name,
            statements=[policy_statement(self, statement) for statement in statements],
        )
        acknowledge(policy, reasons(self, statements))


def owning_region(topology: Topology, table: TableTopology) -> str:
    """Choose the Region whose log stack contains the table."""
    return topology.home if topology.home in table.regions else table.regions[0]
