"""Schemas of a deployed fabric: registered by its deployment, kept by its producers, and not to be broken."""

import json

from eventfabric.aws.log import AwsLog
from eventfabric.services.catalogue.schema_lane import SchemaReader
from scripts.acceptance.cdk import Cdk, DeploymentFailedError
from scripts.acceptance.fabric import DeployedFabric
from scripts.acceptance.report import Report
from scripts.acceptance.target import AcceptanceError, Person, Target

STREAM, TYPE = "orders", "Placed"
BAD_INPUT = 2


class Schemas:
    """The schema of the type that the test publishes."""

    def __init__(self, target: Target, fabric: DeployedFabric, cdk: Cdk, report: Report) -> None:
        self._target, self._fabric, self._cdk, self._report = target, fabric, cdk, report

    def check_first(self) -> None:
        """Check that the first deployment has registered the schema once, for every Region."""
        for region in self._fabric.regions:
            numbers = self._numbers(region)
            problem = "" if numbers == [1] else f"versions {numbers}"
            self._report.check(f"the schema is registered once, as {region} has it", problem)

    def refuse_event(self, publisher: Person) -> None:
        """Publish what does not fit the schema."""
        event = ("--key", "misfit", "--type", TYPE, "--data", '{"order": 1}')
        where = ("--definition", str(self._fabric.definition), "--region", self._fabric.home)
        problem = ""
        try:
            command = ["eventfabric.cli.main", "publish", STREAM, *event, *where]
            self._fabric.run(command, publisher, codes=(BAD_INPUT,))
        except AcceptanceError as error:
            problem = str(error)
        self._report.check("an event that does not fit its schema is not published", problem)

    def refuse_breaking(self) -> None:
        """Deploy a schema that breaks those who read earlier events."""
        file = self._fabric.definition.parent / "schemas" / STREAM / f"{TYPE}.json"
        before = file.read_text()
        schema = json.loads(before)
        file.write_text(json.dumps({**schema, "required": [*schema["required"], "customer"]}))
        stack = self._fabric.topology.stack_name("cell", self._fabric.home)
        try:
            self._cdk.deploy(stack, exclusively=True)
            answer = "nothing: it was deployed"
        except DeploymentFailedError as error:
            answer = str(error)
        finally:
            file.write_text(before)
        wanted = f"schemas/{STREAM}/{TYPE}.json#/"
        self._report.check(
            "a schema that breaks others is refused by one sentence",
            "" if wanted in answer else answer[-600:],
        )
        numbers = self._numbers(self._fabric.home)
        self._report.check(
            "what was refused is not registered", "" if numbers == [1] else f"versions {numbers}"
        )

    def _numbers(self, region: str) -> list[int]:
        log = AwsLog(self._target.client("dynamodb", region), f"{self._fabric.name}-{STREAM}")
        index = SchemaReader(self._fabric.topology.stream(STREAM), log).index()
        return [version.number for version in index.versions(TYPE)]
