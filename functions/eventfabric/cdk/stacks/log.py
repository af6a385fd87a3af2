"""The tables: the logs of all streams, and the ledgers. All data of a fabric is in this stack and that of the keys."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from eventfabric.cdk.constructs.policies import in_policies, policy_statement, reasons
from eventfabric.cdk.constructs.table import FabricTable
from eventfabric.cdk.nag import acknowledge
from eventfabric.cdk.stacks.fabric_stack import FabricStack
from eventfabric.deployment.permissions import Statement, operator, publisher
from eventfabric.resources import TableTopology
from eventfabric.topology import Topology


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
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, "log", topology, env=env, description=f"logs and ledgers, from {env.region}.")
        for table in tables:
            FabricTable(self, table.name, table, fabric=topology.fabric, key_alias=topology.key_alias)
        for stream in topology.streams.values():
            if stream.table in tables:
                name = stream.table.name
                self._policies(f"{name}-publisher", publisher(topology, stream))
                self._policies(f"{name}-operator", operator(topology, stream))

    def _policies(self, name: str, statements: list[Statement]) -> None:
        """Make the managed policy, or several if one is too long, that users attach to their roles."""
        for number, group in enumerate(in_policies(statements), 1):
            suffix = "" if number == 1 else f"-{number}"
            policy = iam.ManagedPolicy(
                self,
                name + suffix,
                managed_policy_name=name + suffix,
                statements=[policy_statement(self, statement) for statement in group],
            )
            acknowledge(policy, reasons(self, group))


def owning_region(topology: Topology, table: TableTopology) -> str:
    """Choose the Region whose log stack contains the table."""
    return topology.home if topology.home in table.regions else table.regions[0]
