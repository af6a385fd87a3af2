"""The depot's CDK app: the stack that it always had, and the fabric that it embeds."""

from pathlib import Path

from eventfabric.cdk import EventFabric  # before the CDK, which then runs on the Node that came along

# isort: split
import aws_cdk as cdk

from depot import Depot

REGION = "eu-central-1"
DEFINITION = Path(__file__).parents[1] / "fabric.toml"


class Production(cdk.Stage):
    """All that is deployed together."""

    def __init__(self, app: cdk.App) -> None:
        super().__init__(app, "Production")
        self.depot = Depot(self, "Depot", env=cdk.Environment(region=REGION))
        self.fabric = EventFabric(self, definition=DEFINITION)
        # The scanner, whose image has the library in it, publishes what it sees.
        self.fabric.grant_publish(self.depot.scanner_role, "parcels")
        # The handler of `stock` counts in the depot's table.
        for function in self.fabric.functions["depot-stock"].values():
            function.function.add_environment("STOCK_TABLE", self.depot.stock.table_name)
            self.depot.stock.grant(function.function, "dynamodb:UpdateItem")


if __name__ == "__main__":
    app = cdk.App()
    Production(app)
    app.synth()
