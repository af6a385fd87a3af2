"""A Lambda function as the topology declares it, whose role has the permissions that are declared, and no others."""

from collections.abc import Collection, Iterable

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from eventfabric.cdk.constructs.log_group import FUNCTION_LOGS, log_group
from eventfabric.cdk.constructs.policies import arn_of, policy_statement, reasons, wildcard_rule
from eventfabric.cdk.nag import acknowledge
from eventfabric.definition.functions import Vpc
from eventfabric.deployment.permissions import Resource, Statement
from eventfabric.errors import DefinitionError, Problem
from eventfabric.resources import FunctionTopology
from eventfabric.topology import LAMBDA_PYTHON

RUNTIME = lambda_.Runtime(f"python{LAMBDA_PYTHON}", lambda_.RuntimeFamily.PYTHON, supports_inline_code=True)

NO_RESOURCES = "Network interfaces do not exist before Lambda makes them, and X-Ray has no resources."
_INTERFACES = (
    "AssignPrivateIpAddresses",
    "CreateNetworkInterface",
    "DeleteNetworkInterface",
    "DescribeNetworkInterfaces",
    "DescribeSubnets",
    "UnassignPrivateIpAddresses",
)
"""Actions of AWS's own policy for functions in a VPC, AWSLambdaVPCAccessExecutionRole."""


class FabricFunction(Construct):
    """One function of one Region, with a log group of its own that is deleted with it."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        function: FunctionTopology,
        statements: Iterable[Statement],
        *,
        code: lambda_.Code,
        log_key: str | None,
        reserved: int = 0,
        retries: int | None = None,
        event_age_minutes: int | None = None,
        lists: Collection[str] | None = None,
    ) -> None:
        """Declare the function and its role.

        `log_key`: alias of the key for its log group. `reserved`: invocations that are set aside for it, unless its
        settings say. `lists`: the handler's own tables, if its subscription lists them.
        """
        super().__init__(scope, id)
        settings, self.name = function.settings, function.name
        self.role = logging_role(self, function.name)
        if settings.tracing:
            acknowledge(self.role, {"IAM5[Resource::*]": NO_RESOURCES})
        if function.vpc is not None:
            allow_interfaces(self.role, function.name)
        self._lists = lists
        for statement in statements:
            self._allow(statement)
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=function.name,
            runtime=RUNTIME,
            architecture=lambda_.Architecture.custom(settings.architecture),
            handler=function.entry,
            code=code,
            role=self.role,
            environment=function.deployed_environment,
            timeout=Duration.seconds(function.timeout_seconds),
            memory_size=function.memory_megabytes,
            log_group=log_group_of(self, function.name, days=settings.log_days, key=log_key),
            layers=[
                lambda_.LayerVersion.from_layer_version_arn(self, f"Layer{number}", arn)
                for number, arn in enumerate(function.layers)
            ],
            tracing=lambda_.Tracing.ACTIVE if settings.tracing else None,
            reserved_concurrent_executions=settings.reserved_concurrency or reserved or None,
            # SQS and the function may invoke each other so often that Lambda would take it for an endless loop.
            recursive_loop=lambda_.RecursiveLoop.ALLOW
            if function.may_recur
            else lambda_.RecursiveLoop.TERMINATE,
            retry_attempts=retries,
            max_event_age=None if event_age_minutes is None else Duration.minutes(event_age_minutes),
        )
        if function.vpc is not None:
            self._connect(function.vpc)
        acknowledge(
            self.function,
            {"L1": "Python 3.13 is the newest runtime for which every wheel in the zip is tested."},
        )

    def _connect(self, vpc: Vpc) -> None:
        """Have the function run in a VPC. The CDK would look it up in the account, and attach a policy of AWS."""
        resource = self.function.node.default_child
        assert isinstance(resource, lambda_.CfnFunction)
        resource.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
            subnet_ids=list(vpc.subnet_ids), security_group_ids=list(vpc.security_group_ids)
        )

    def grant(self, statement: Statement) -> None:
        """Allow the function something more, such as what your handler does in another service.

        DefinitionError for rights on tables of DynamoDB, if its subscription lists its tables and these are not there:
        tests would refuse what the deployment allows.
        """
        tables = {
            resource.name.split("/")[1]
            for resource in statement.resources
            if resource.service == "dynamodb" and resource.name.startswith("table/")
        }
        if self._lists is not None and not tables <= {*self._lists}:
            granted = f"nothing of {', '.join(sorted(tables - {*self._lists}))}, which the extension grants"
            allowed = "all tables of the handler, once the subscription lists any"
            raise DefinitionError(
                [Problem(f"tables of the subscription of function {self.name}", granted, allowed)]
            )
        self._allow(statement)

    def _allow(self, statement: Statement) -> None:
        stack = Stack.of(self)
        self.role.add_to_policy(policy_statement(stack, statement))
        acknowledge(self.role, reasons(stack, [statement]))


def log_group_of(scope: Construct, function_name: str, *, days: int, key: str | None) -> logs.LogGroup:
    """Make the log group that Lambda writes to. `key`: as for `log_group`."""
    return log_group(scope, f"{FUNCTION_LOGS}{function_name}", days=days, key=key)


def allow_interfaces(role: iam.Role, function_name: str) -> None:
    """Allow Lambda, but not the function's own code, to connect the function to a VPC."""
    stack = Stack.of(role)
    own = arn_of(stack, Resource("lambda", stack.region, f"function:{function_name}"))
    actions = [f"ec2:{action}" for action in _INTERFACES]
    role.add_to_policy(iam.PolicyStatement(actions=actions, resources=["*"]))
    role.add_to_policy(
        iam.PolicyStatement(
            effect=iam.Effect.DENY,
            actions=actions,
            resources=["*"],
            conditions={"ArnEquals": {"lambda:SourceFunctionArn": own}},
        )
    )
    acknowledge(role, {"IAM5[Resource::*]": NO_RESOURCES})


def logging_role(scope: Construct, function_name: str) -> iam.Role:
    """Make a role for Lambda that may write the function's own log.

    Lambda tells no source when it assumes a role, but lets nobody name a role of another account.
    """
    stack = Stack.of(scope)
    role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    log = Resource("logs", stack.region, f"log-group:{FUNCTION_LOGS}{function_name}:*")
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[arn_of(stack, log)]
        )
    )
    acknowledge(role, {wildcard_rule(stack, log): "Lambda gives log streams their names."})
    return role
