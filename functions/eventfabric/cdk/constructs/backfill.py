"""The state machine that drives backfills into a Region."""

import json

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from eventfabric.cdk.constructs.log_group import MACHINE_LOGS, log_group
from eventfabric.cdk.constructs.policies import arn_of, service_role, wildcard_rule
from eventfabric.cdk.nag import acknowledge
from eventfabric.deployment.permissions import Resource
from eventfabric.deployment.state_machine import backfill_state_machine

_DELIVER_LOGS = (
    "CreateLogDelivery",
    "DeleteLogDelivery",
    "DescribeLogGroups",
    "DescribeResourcePolicies",
    "GetLogDelivery",
    "ListLogDeliveries",
    "PutResourcePolicy",
    "UpdateLogDelivery",
)
_TRACE = ("GetSamplingRules", "GetSamplingTargets", "PutTelemetryRecords", "PutTraceSegments")


class BackfillMachine(Construct):
    """The state machine of `eventfabric.deployment.state_machine`, for the backfill function of the stack's Region."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        function: lambda_.IFunction,
        log_days: int,
        log_key: str | None,
    ) -> None:
        """`log_key`: alias of the key for its log group."""
        super().__init__(scope, id)
        stack = Stack.of(self)
        runs = Resource("states", stack.region, f"execution:{name}:*")
        maps = Resource("states", stack.region, f"execution:{name}/*")
        role = service_role(self, "states.amazonaws.com")
        policy = iam.Policy(
            self,
            "Policy",
            roles=[role],
            statements=[
                _allow(["lambda:InvokeFunction"], function.function_arn),
                # A distributed map starts executions of its own state machine.
                _allow(
                    ["states:StartExecution"],
                    arn_of(stack, Resource("states", stack.region, f"stateMachine:{name}")),
                ),
                # ARNs of executions contain the machine's name; those that a map starts have the map's name behind it.
                _allow(
                    ["states:DescribeExecution", "states:StopExecution"],
                    arn_of(stack, runs),
                    arn_of(stack, maps),
                ),
                _allow(["states:RedriveExecution"], arn_of(stack, maps)),
                _allow([f"logs:{action}" for action in _DELIVER_LOGS], "*"),
                _allow([f"xray:{action}" for action in _TRACE], "*"),
            ],
        )
        log = log_group(self, f"{MACHINE_LOGS}{name}", days=log_days, key=log_key)
        self.machine = sfn.CfnStateMachine(
            self,
            "Machine",
            state_machine_name=name,
            role_arn=role.role_arn,
            # Not `to_json_string`, which removes every null: here a null means that a result is not kept.
            definition_string=json.dumps(
                backfill_state_machine(function.function_arn, partition=stack.partition)
            ),
            logging_configuration=_all_into(log),
            tracing_configuration=sfn.CfnStateMachine.TracingConfigurationProperty(enabled=True),
        )
        self.machine.node.add_dependency(policy)
        acknowledge(
            policy,
            {
                "IAM5[Resource::*]": "Log deliveries and X-Ray have no resources that a policy could name.",
                **{
                    wildcard_rule(
                        stack, machine_arn
                    ): "Executions get names when they start; the machine's name is fixed."
                    for machine_arn in (runs, maps)
                },
            },
        )


def _all_into(log: logs.ILogGroup) -> sfn.CfnStateMachine.LoggingConfigurationProperty:
    """Log every step, without what it is about."""
    of = sfn.CfnStateMachine
    group = of.CloudWatchLogsLogGroupProperty(log_group_arn=log.log_group_arn)
    destination = of.LogDestinationProperty(cloud_watch_logs_log_group=group)
    return of.LoggingConfigurationProperty(
        destinations=[destination], include_execution_data=False, level="ALL"
    )


def _allow(actions: list[str], *resources: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=actions, resources=list(resources))
