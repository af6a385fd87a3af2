"""The ARN of a table's DynamoDB stream in the stack's Region, looked up when the stack is deployed.

A stream's ARN ends with the time at which it was enabled, which differs from Region to Region, so no template can
contain it.
"""

from aws_cdk import CustomResource, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from eventfabric.cdk.constructs.inline_function import ANSWERED_IN, InlineFunction
from eventfabric.cdk.constructs.policies import arn_of
from eventfabric.definition.functions import FunctionSettings
from eventfabric.deployment.permissions import Resource
from eventfabric.resources import TableTopology


class StreamArns(InlineFunction):
    """A custom resource that looks up the stream ARNs of these tables; `of` gives that of one table."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        tables: list[TableTopology],
        settings: FunctionSettings,
        log_key: str | None,
    ) -> None:
        stack = Stack.of(scope)
        described = [
            arn_of(stack, Resource("dynamodb", stack.region, f"table/{table.name}")) for table in tables
        ]
        statement = iam.PolicyStatement(actions=["dynamodb:DescribeTable"], resources=described)
        super().__init__(
            scope, id, "stream_arn.py", [statement], name=name, settings=settings, log_key=log_key
        )

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
            service_token=self.arn,
            service_timeout=ANSWERED_IN,
            resource_type="Custom::EventFabricStreamArn",
            properties={"TableName": table.name, "StreamView": table.stream_view, **again},
        )
        return lookup.get_att_string("StreamArn")
