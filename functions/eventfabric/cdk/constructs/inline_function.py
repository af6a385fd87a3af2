"""A function for custom resources, whose code is one file that stands in the template."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from eventfabric.cdk.constructs.function import RUNTIME, log_group_of, logging_role
from eventfabric.cdk.nag import acknowledge
from eventfabric.definition.functions import FunctionSettings

_CODE: Final = Path(__file__).parent.parent / "lookup"
_TIMEOUT_MINUTES: Final = 5
ANSWERED_IN: Final = Duration.minutes(_TIMEOUT_MINUTES + 1)
"""Time for which CloudFormation should wait for the function's answer."""


class InlineFunction(Construct):
    """The function of a file in the folder `lookup`, with a role that may do what `statements` say, and log."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        file: str,
        statements: Iterable[iam.PolicyStatement],
        *,
        name: str,
        settings: FunctionSettings,
        log_key: str | None,
    ) -> None:
        """`log_key`: alias of the key for its log group."""
        super().__init__(scope, id)
        self.role = logging_role(self, name)
        for statement in statements:
            self.role.add_to_policy(statement)
        function = lambda_.Function(
            self,
            "Function",
            function_name=name,
            runtime=RUNTIME,
            architecture=lambda_.Architecture.custom(settings.architecture),
            handler="index.handle",
            code=lambda_.Code.from_inline((_CODE / file).read_text(encoding="utf-8")),
            role=self.role,
            timeout=Duration.minutes(_TIMEOUT_MINUTES),
            memory_size=256,
            log_group=log_group_of(self, name, days=settings.log_days, key=log_key),
        )
        acknowledge(function, {"L1": "The runtime of all functions of the fabric."})
        self.arn = function.function_arn
