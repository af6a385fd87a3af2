"""Checks and declarations: what a stack asks of the catalogue's function first, and what it tells it last.

A check refuses a deployment that would lose something, before anything else is touched. A declaration says in the log
what is deployed. It goes with its stack, which then is declared as undeployed. So the function must outlive the stacks
that it serves: a Region's subscriptions are deleted before the cell, whose function it is.
"""

from collections.abc import Collection

from aws_cdk import CustomResource, Duration, RemovalPolicy
from constructs import Construct

from eventfabric.resources import ASKED, CHECK, CHECKED_VERSION, DECLARE
from eventfabric.topology import CATALOGUE_AGE_MINUTES, CATALOGUE_SECONDS_MAX

_ANSWERED_IN = Duration.seconds(60 * CATALOGUE_AGE_MINUTES + CATALOGUE_SECONDS_MAX + 60)


class DeploymentCheck(CustomResource):
    """A refusal of a deployment that would lose something. Whatever depends on it is not touched before."""

    def __init__(self, scope: Construct, id: str, *, catalogue: str, asked: str) -> None:
        """`catalogue`: ARN of the function. `asked`: see deployment/declarations.py."""
        super().__init__(
            scope,
            id,
            service_token=catalogue,
            service_timeout=_ANSWERED_IN,
            resource_type=CHECK,
            properties={ASKED: asked},
            # Nothing has to be undone, and a stack must be deletable when the function is gone.
            removal_policy=RemovalPolicy.RETAIN,
        )
        self.version = self.get_att_string(CHECKED_VERSION)


def check_first(scope: Construct, check: DeploymentCheck, *, needs: Collection[Construct] = ()) -> None:
    """Have a stack touch nothing before its check is answered, apart from what the check itself `needs`.

    Policies count: a deployment that is refused would else take rights from functions and people until it is undone.
    """
    check.node.add_dependency(*needs)
    for child in scope.node.children:
        if child is not check and child not in needs:
            child.node.add_dependency(check)


def declare_last(scope: Construct, *, catalogue: str, asked: str) -> None:
    """Declare what a stack has deployed, once all else in it is there. Arguments as for DeploymentCheck."""
    before = list(scope.node.children)
    declared = CustomResource(
        scope,
        "Declared",
        service_token=catalogue,
        service_timeout=_ANSWERED_IN,
        resource_type=DECLARE,
        properties={ASKED: asked},
    )
    declared.node.add_dependency(*before)


def again_of(scope: Construct) -> str:
    """Return what somebody gives to have stacks ask anew about tables that were restored; see StreamArns."""
    given = scope.node.try_get_context("streams_again")
    return "" if given is None else str(given)
