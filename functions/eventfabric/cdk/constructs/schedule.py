"""A schedule that invokes a function every few minutes."""

from collections.abc import Iterable

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from eventfabric.cdk.constructs.policies import policy_statement, reasons, service_role
from eventfabric.cdk.nag import acknowledge
from eventfabric.deployment.permissions import Statement

_GROUP = "default"
"""Group of schedules that name none. The source of an invocation, as a policy sees it, is the group."""


class FunctionSchedule(Construct):
    """A schedule of a function. A failed invocation is not repeated, because the next one comes soon.

    What could not be invoked is noted in the queue `dead`, into which `writes` allow to write.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        function: lambda_.IFunction,
        minutes: int,
        dead: sqs.IQueue,
        writes: Iterable[Statement],
    ) -> None:
        super().__init__(scope, id)
        stack, statements = Stack.of(self), list(writes)
        group = f"arn:{stack.partition}:scheduler:{stack.region}:{stack.account}:schedule-group/{_GROUP}"
        role = service_role(self, "scheduler.amazonaws.com", source=group)
        role.add_to_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[function.function_arn])
        )
        for statement in statements:
            role.add_to_policy(policy_statement(stack, statement))
        acknowledge(role, reasons(stack, statements))
        of = scheduler.CfnSchedule
        of(
            self,
            "Schedule",
            name=name,
            schedule_expression=f"rate({minutes} minutes)",
            flexible_time_window=of.FlexibleTimeWindowProperty(mode="OFF"),
            target=of.TargetProperty(
                arn=function.function_arn,
                role_arn=role.role_arn,
                input="{}",
                retry_policy=of.RetryPolicyProperty(
                    maximum_event_age_in_seconds=60 * minutes, maximum_retry_attempts=0
                ),
                dead_letter_config=of.DeadLetterConfigProperty(arn=dead.queue_arn),
            ),
        ).node.add_dependency(role)
