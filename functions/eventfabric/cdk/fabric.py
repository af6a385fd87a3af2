"""The stacks of a fabric, made from its topology, and the order in which they are deployed."""

from collections.abc import Mapping
from itertools import product

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_

from eventfabric.cdk.stacks.cell import CellStack
from eventfabric.cdk.stacks.keys import KeyStack
from eventfabric.cdk.stacks.log import LogStack, owning_region
from eventfabric.cdk.stacks.watch import WatchStack
from eventfabric.topology import Topology


class FabricStacks:
    """All stacks of a fabric, deployed in this order: the keys of every Region, the logs, the cells, the watches."""

    def __init__(
        self,
        app: cdk.App,
        topology: Topology,
        *,
        code_path: str,
        code_hash: str,
        account: str | None = None,
        signing_configs: Mapping[str, str] | None = None,
    ) -> None:
        self.app, self.topology, self._account = app, topology, account
        name, env = topology.fabric, self.env
        self.keys = {
            region: KeyStack(app, f"{name}-keys-{region}", topology, env=env(region))
            for region in topology.regions
        }
        self.logs = {
            region: LogStack(app, f"{name}-log-{region}", topology, tables=tables, env=env(region))
            for region in topology.regions
            if (tables := [table for table in topology.tables if owning_region(topology, table) == region])
        }
        self.cells = {
            region: CellStack(
                app,
                f"{name}-cell-{region}",
                topology,
                code=lambda_.Code.from_asset(
                    code_path, asset_hash=code_hash, asset_hash_type=cdk.AssetHashType.CUSTOM
                ),
                env=env(region),
                signing_config_arn=(signing_configs or {}).get(region),
            )
            for region in topology.regions
        }
        self.watches = {
            region: WatchStack(app, f"{name}-watch-{region}", topology, env=env(region))
            for region in topology.regions
        }
        self._order()
        cdk.Tags.of(app).add("eventfabric", name)

    def _order(self) -> None:
        """Have each stack wait for those that it needs."""
        for log, key in product(self.logs.values(), self.keys.values()):
            log.add_stack_dependency(key, "a replica is encrypted with its Region's key")
        for cell, log in product(self.cells.values(), self.logs.values()):
            cell.add_stack_dependency(log, "a cell looks up its Region's streams")
        for region, watch in self.watches.items():
            watch.add_stack_dependency(self.cells[region], "alarms watch what the cell has created")

    def env(self, region: str) -> cdk.Environment:
        """The environment, account and Region, of a Region's stacks."""
        return cdk.Environment(account=self._account, region=region)
