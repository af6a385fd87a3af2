"""The deployment, for apps of the CDK: the name that users import. Never shipped to Lambda.

It is imported on first use, because the CDK's library takes seconds.
"""

from typing import TYPE_CHECKING, Any

from eventfabric.cdk.node import choose_node
from eventfabric.extras import needing

if TYPE_CHECKING:
    from eventfabric.cdk.fabric import EventFabric

__all__ = ["EventFabric"]


def __getattr__(name: str) -> Any:
    if name != "EventFabric":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    choose_node()
    with needing("infra", "the deployment"):
        from eventfabric.cdk.fabric import EventFabric
    return EventFabric
