"""The stacks of a fabric, made from its topology, and the order in which they are deployed."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from eventfabric.cdk.constructs.function import FabricFunction
from eventfabric.cdk.constructs.policies import RolePolicies
from eventfabric.cdk.functions_zip import FunctionsZip
from eventfabric.cdk.stacks.cell import CellStack
from eventfabric.cdk.stacks.keys import KeyStack
from eventfabric.cdk.stacks.log import LogStack, owning_region
from eventfabric.cdk.stacks.subscription import SubscriptionStack
from eventfabric.cdk.stacks.watch import SubscriptionWatchStack, WatchStack
from eventfabric.deployment.alarms import alarms_of_subscription
from eventfabric.deployment.concurrency import shortages
from eventfabric.deployment.people import operator, publisher
from eventfabric.deployment.permissions import Statement
from eventfabric.stream_topology import StreamTopology
from eventfabric.topology import Topology


class FabricStacks:
    """All stacks of a fabric, deployed in this order: the keys of every Region, the logs, the cells, the subscriptions,
    which do not wait for each other, and the watches.

    `codes` has the functions' zip for each architecture that the topology has.
    """

    def __init__(
        self,
        scope: Construct,
        topology: Topology,
        codes: Mapping[str, FunctionsZip],
        *,
        account: str | None = None,
        schemas: Mapping[str, str] | None = None,
    ) -> None:
        """`schemas`: digests of the schemas in the zip, by stream."""
        self._schemas = schemas or {}
        self.scope, self.topology, self._account = scope, topology, account
        self._codes = codes
        self._policies: dict[str, RolePolicies] = {}
        self.keys = {region: KeyStack(scope, topology, env=self.env(region)) for region in topology.regions}
        self.logs = {
            region: LogStack(
                scope, topology, tables=tables, schemas=self._schemas, **self._of_functions(region)
            )
            for region in topology.regions
            if (tables := [table for table in topology.tables if owning_region(topology, table) == region])
        }
        self._declare_cells()
        self._declare_watches()
        self._order()
        self._warn(codes.values())

    def _declare_cells(self) -> None:
        """Declare all that runs: a cell for each Region, and what delivers for each subscription in its Regions."""
        scope, topology = self.scope, self.topology
        self.cells = {
            region: CellStack(scope, topology, schemas=self._schemas, **self._of_functions(region))
            for region in topology.regions
        }
        self.subscriptions = {
            name: {
                region: SubscriptionStack(scope, topology, subscription, **self._of_functions(region))
                for region in subscription.regions
            }
            for name, subscription in topology.subscriptions.items()
        }
        for region, stack in self._each_subscription():
            self.cells[region].functions[stack.function.name] = stack.function

    def _declare_watches(self) -> None:
        """Declare what watches each Region, and each subscription in its Regions."""
        scope, topology, env = self.scope, self.topology, self.env
        self.watches = {region: WatchStack(scope, topology, env=env(region)) for region in topology.regions}
        self.subscription_watches = {
            name: {
                region: SubscriptionWatchStack(scope, topology, subscription, env=env(region))
                for region in subscription.regions
                if alarms_of_subscription(
                    topology, subscription, region
                )  # CloudFormation takes no empty stack
            }
            for name, subscription in topology.subscriptions.items()
        }

    def _of_functions(self, region: str) -> dict[str, Any]:
        """Return the arguments of a stack with functions: the CDK takes each Code for one stack alone."""
        return {
            "codes": {architecture: _asset(code) for architecture, code in self._codes.items()},
            "env": self.env(region),
        }

    def _each_subscription(self) -> Iterator[tuple[str, SubscriptionStack]]:
        for stacks in self.subscriptions.values():
            yield from stacks.items()

    def _order(self) -> None:
        """Have each stack wait for those that it needs."""
        for log, key in product(self.logs.values(), self.keys.values()):
            log.add_stack_dependency(key, "a replica is encrypted with its Region's key")
        for cell, log in product(self.cells.values(), self.logs.values()):
            cell.add_stack_dependency(log, "a cell looks up its Region's streams")
        for region, cell in self.cells.items():
            streams = self.topology.streams_in(region)
            for first in dict.fromkeys([self.topology.home, *map(self.topology.first_of, streams)]):
                if first != region:
                    compared = "what is deployed is compared with what that Region has declared"
                    cell.add_stack_dependency(self.cells[first], compared)
        for region, stack in self._each_subscription():
            stack.add_stack_dependency(self.cells[region], "the cell's functions start it, and ring later")
            watch = self.subscription_watches[stack.subscription].get(region)
            if watch is not None:
                watch.add_stack_dependency(stack, "alarms watch what the subscription has created")
                earlier = "that stack had these alarms in earlier versions"
                watch.add_stack_dependency(self.watches[region], earlier)
        for region, watch_of_region in self.watches.items():
            watch_of_region.add_stack_dependency(self.cells[region], "alarms watch what the cell has created")

    def _warn(self, codes: Iterable[FunctionsZip]) -> None:
        """Show what a deployment may be without, and should not be."""
        warnings = {warning for code in codes for warning in code.warnings.items()}
        shortage = {("concurrency", text) for text in shortages(self.topology.definition)}
        for about, text in sorted(warnings | shortage):
            cdk.Annotations.of(self.cells[self.topology.home]).add_warning_v2(f"eventfabric:{about}", text)

    def env(self, region: str) -> cdk.Environment:
        """Return the environment, account and Region, of a Region's stacks."""
        return cdk.Environment(account=self._account, region=region)

    @property
    def functions(self) -> dict[str, dict[str, FabricFunction]]:
        """The functions by name, such as `shop-billing`, and Region."""
        names = {name: None for cell in self.cells.values() for name in cell.functions}
        return {
            name: {
                region: cell.functions[name] for region, cell in self.cells.items() if name in cell.functions
            }
            for name in names
        }

    def grant_publish(self, role: iam.IRole, *streams: str) -> None:
        """Allow a role to publish to these streams, by default to all. UnknownNameError, SettingError."""
        self._grant(role, streams, publisher)

    def grant_operate(self, role: iam.IRole, *streams: str) -> None:
        """Allow a role what operators of these streams do, by default of all. UnknownNameError, SettingError."""
        self._grant(role, streams, operator)

    def _grant(
        self,
        role: iam.IRole,
        streams: Iterable[str],
        permissions: Callable[[Topology, StreamTopology], list[Statement]],
    ) -> None:
        """Allow a role, of this app or imported into it, what it may do with these streams."""
        policies = self._policies.setdefault(role.node.path, RolePolicies(role, self.topology.fabric))
        for name in streams or self.topology.streams:
            stream = self.topology.stream(name)
            policies.grant(permissions(self.topology, stream))
            log, stack = self.logs[owning_region(self.topology, stream.table)], cdk.Stack.of(role)
            # A stack of another Stage cannot wait for this one: whoever orders the Stages deploys the fabric first.
            if _stage_of(stack) == _stage_of(log):
                stack.add_stack_dependency(log, "a stream is there before its producers and operators")


def _asset(code: FunctionsZip) -> lambda_.AssetCode:
    return lambda_.Code.from_asset(
        str(code.path), asset_hash=code.hash, asset_hash_type=cdk.AssetHashType.CUSTOM
    )


def _stage_of(stack: cdk.Stack) -> str | None:
    stage = cdk.Stage.of(stack)
    return None if stage is None else stage.node.path
