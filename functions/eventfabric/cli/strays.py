"""Stacks of subscriptions that are deployed, and no longer declared: the CDK does not know them, so it leaves them."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from eventfabric.topology import Topology

_SECONDS_MAX: Final = 30
"""Time to ask all Regions for their stacks. A deployment must not wait for what is only a warning."""


def warnings(arguments: Sequence[str], stage: str | None) -> list[str]:
    """Say what is deployed of the definition that a command of the CDK is about, and is not in it any more.

    Says why if that cannot be found out. A definition that is missing or wrong is left to the CDK's own message, a
    profile that is missing is not: the CDK would synthesise first, and then name no profile. Raises ProfileNotFound.
    """
    from boto3 import Session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound

    from eventfabric.aws import bounded_http
    from eventfabric.cli.cdk_arguments import parse
    from eventfabric.errors import DefinitionError
    from eventfabric.settings import definition_at, definition_path
    from eventfabric.topology import Topology

    given = parse(arguments)
    try:
        path = given.contexts.get("definition") or definition_path()
        topology = Topology(definition_at(path, stage=stage or given.contexts.get("stage")))
    except (DefinitionError, OSError):
        return []
    config = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2})

    def client(region: str) -> Any:
        made = session.client("cloudformation", region_name=region, config=config)
        bounded_http.bound(made)
        return made

    try:
        session: Any = Session(profile_name=given.profile)
        # All calls together: the time-out of a read begins anew with each byte.
        bounded_http.end_call_within(_SECONDS_MAX)
        return list(strays(topology, client))
    except ProfileNotFound:
        raise
    except (BotoCoreError, ClientError, ValueError) as error:  # ValueError: an address that is none
        return [f"whether subscriptions are deployed that the definition lacks is not known: {error}"]


def strays(topology: "Topology", client: Callable[[str], Any]) -> Iterator[str]:
    """Yield a sentence for each stack of a subscription that the definition does not declare in its Region."""
    from eventfabric.deployment.alarms import alarms_of_subscription

    for region in topology.regions:
        declared = topology.subscriptions_in(region)
        names = {own.name for own in declared}
        watched = {own.name for own in declared if alarms_of_subscription(topology, own, region)}
        deployed = _deployed(client(region))
        for subscription, stack in _named(topology, "subscription", region, deployed):
            if subscription not in names:
                yield (
                    f"subscription {subscription} is deployed in {region} as stack {stack}, and not in the "
                    "definition: nobody rings for it any more. Its state is kept under its name; if it was "
                    "renamed, the new one begins anew (docs/deploy.md, Another name for a subscription)"
                )
        for subscription, stack in _named(topology, "watch", region, deployed):
            if subscription not in watched:
                yield (
                    f"alarms of subscription {subscription} are deployed in {region} as stack {stack}, and not in the "
                    f"definition: aws cloudformation delete-stack --region {region} --stack-name {stack}"
                )


def _deployed(client: Any) -> list[str]:
    pages = client.get_paginator("describe_stacks").paginate()
    return [stack["StackName"] for page in pages for stack in page["Stacks"]]


def _named(topology: "Topology", kind: str, region: str, stacks: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the subscription of each stack that is of this kind in the Region, and the stack's name."""
    before, _, behind = topology.stack_name(kind, region, subscription="*").partition("*")
    for stack in stacks:
        subscription = stack.removeprefix(before).removesuffix(behind)
        if stack == before + subscription + behind:
            yield subscription, stack
