"""Subscriptions that are deployed, and no longer in the definition: removed, or renamed, which begins a new one."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventfabric.topology import Topology


def warnings(arguments: Sequence[str], stage: str | None) -> list[str]:
    """Say what is deployed of the definition that a command of the CDK is about, and is not in it any more.

    Says why if that cannot be found out. A definition that is missing or wrong is left to the CDK's own message.
    """
    from boto3 import Session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

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
    try:
        session: Any = Session(profile_name=given.profile)
        return list(
            strays(
                topology, lambda region: session.client("cloudformation", region_name=region, config=config)
            )
        )
    except (BotoCoreError, ClientError) as error:
        return [f"whether subscriptions are deployed that the definition lacks is not known: {error}"]


def strays(topology: "Topology", client: Callable[[str], Any]) -> Iterator[str]:
    """Yield a sentence for each subscription that has a stack in a Region, and is not in the definition."""
    for region in topology.regions:
        before, _, behind = topology.stack_name("subscription", region, subscription="*").partition("*")
        for page in client(region).get_paginator("describe_stacks").paginate():
            for stack in page["Stacks"]:
                name = stack["StackName"]
                subscription = name.removeprefix(before).removesuffix(behind)
                if name == before + subscription + behind and subscription not in topology.subscriptions:
                    yield (
                        f"subscription {subscription} is deployed in {region} as stack {name}, and not in the "
                        "definition: nobody rings for it any more. Its state is kept under its name; if it was "
                        "renamed, the new one begins anew (docs/deploy.md, Another name for a subscription)"
                    )
