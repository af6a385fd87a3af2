"""A gradual deployment: the alias sends a part of the invocations to the new version first, then all.

CodeDeploy shifts them, and goes back if the new version fails as a function: if it crashes, or runs out of time or
memory. What a handler raises is no such failure. It is tried again, and parked, whichever version runs.
"""

from typing import Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from eventfabric.cdk.nag import acknowledge
from eventfabric.definition.functions import Deployment
from eventfabric.deployment.alarms import alarm_of_new_version

_ROLE: Final = "service-role/AWSCodeDeployRoleForLambdaLimited"


class AliasDeployment(Construct):
    """Has CodeDeploy move an alias, each time that its stack is updated. The first deployment moves it at once."""

    def __init__(
        self, scope: Construct, id: str, *, function: str, alias: lambda_.Alias, deployment: Deployment
    ) -> None:
        super().__init__(scope, id)
        shifts = {
            "canary10": codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES,
            "linear10": codedeploy.LambdaDeploymentConfig.LINEAR_10_PERCENT_EVERY_1_MINUTE,
        }
        declared = alarm_of_new_version(function, alias.alias_name, alias.version.version)
        series, rule = declared.series, declared.rule
        errors = cloudwatch.Metric(
            namespace=series.namespace,
            metric_name=series.name,
            dimensions_map=dict(series.dimensions),
            statistic=rule.statistic,
            period=Duration.seconds(rule.period_seconds),
        )
        alarm = cloudwatch.Alarm(
            self,
            "Alarm",
            alarm_name=declared.name,
            alarm_description=declared.description,
            metric=errors,
            threshold=rule.threshold,
            evaluation_periods=rule.periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        self.group = codedeploy.LambdaDeploymentGroup(
            self,
            "Group",
            alias=alias,
            deployment_config=shifts[deployment],
            alarms=[alarm],
            role=self._role(),
        )

    def _role(self) -> iam.Role:
        stack = Stack.of(self)
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "codedeploy.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": stack.account}}
            ),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(_ROLE)],
        )
        policy = f"arn:<AWS::Partition>:iam::aws:policy/{_ROLE}"
        acknowledge(role, {f"IAM4[Policy::{policy}]": "CodeDeploy needs what AWS says that it needs."})
        return role
