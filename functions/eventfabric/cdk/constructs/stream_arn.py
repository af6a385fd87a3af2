"""The ARN of a table's DynamoDB stream in the stack's Region, looked up when the stack is deployed.

A stream's ARN ends with the time at which it was enabled, which differs from Region to Region, so no template can
contain it.
"""

from pathlib import Path

from aws_cdk import CustomResource, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from eventfabric.cdk.constructs.function import RUNTIME, log_group_of, logging_role
from eventfabric.cdk.constructs.policies import arn_of
from eventfabric.cdk.nag import acknowledge
from eventfabric.definition.functions import FunctionSettings
from eventfabric.deployment.permissions import Resource
from eventfabric.resources import TableTopology

_CODE = Path(__file__).parent.parent / "lookup" / "stream_arn.py"
_TIMEOUT_MINUTES = 5


class StreamArns(Construct):
    """A custom resource that looks up the stream ARNs of these tables; `of` gives that of one table."""

    def __init__(
        self, scope: Construct, id: str, *, name: str, tables: list[TableTopology], settings: FunctionSettings
    ) -> None:
        super().__init__(scope, id)
        stack = Stack.of(self)
        role = logging_role(self, name)
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["dynamodb:DescribeTable"],
                resources=[
                    arn_of(stack, Resource("dynamodb", stack.region, f"table/{table.name}"))
                    for table in tables
                ],
            )
        )
        self._function = lambda_.Function(
            self,
            "Function",
            function_name=name,
            runtime=RUNTIME,
            architecture=lambda_.Architecture.custom(settings.architecture),
            handler="index.handle",
            code=lambda_.Code.from_inline(_CODE.read_text()),
            role=role,
            timeout=Duration.minutes(_TIMEOUT_MINUTES),
            memory_size=256,
            log_group=log_group_of(self, name, days=settings.log_days),
        )
        acknowledge(self._function, {"L1": "The runtime of all functions of the fabric."})

    def of(self, table: TableTopology) -> str:
        """Look up the ARN of a table's stream; returns a token.

        CloudFormation looks again only if a property changes. A table that was recreated, or restored under its name,
        has another stream: then deploy with a new value of the context `streams_again`.
        """
        given = self.node.try_get_context("streams_again")
        again = {} if given is None else {"Again": str(given)}
        lookup = CustomResource(
            self,
            table.name,
            service_token=self._function.function_arn,
            service_timeout=Duration.minutes(_TIMEOUT_MINUTES + 1),
            resource_type="Custom::EventFabricStreamArn",
            properties={"TableName": table.name, "StreamView": table.stream_view, **again},
        )
        return lookup.get_att_string("StreamArn")
