"""Stacks of CloudFormation: what is going on with one."""

from botocore.config import Config

from eventfabric.aws.clients import CONFIG, named_failures, session_for

_PATIENT = Config(retries={"mode": "standard", "total_max_attempts": 8})


def status_of(stack_id: str, *, region: str, endpoint_url: str | None = None) -> str:
    """Return a stack's status, such as UPDATE_ROLLBACK_IN_PROGRESS. PortError: it is not known."""
    client = session_for(endpoint_url).client(
        "cloudformation", region_name=region, endpoint_url=endpoint_url, config=CONFIG.merge(_PATIENT)
    )
    with named_failures("DescribeStacks"):
        [stack] = client.describe_stacks(StackName=stack_id)["Stacks"]
    return str(stack["StackStatus"])
