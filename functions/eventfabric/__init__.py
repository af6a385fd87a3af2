"""eventfabric: a serverless event fabric on AWS. Exports the names that users import, without importing boto3.

Each name is imported on first use, so that a cold start of a function pays only for what it uses, and never for the
tools of operators.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from eventfabric.contracts.open_enum import OpenEnum
    from eventfabric.errors import EventFabricError
    from eventfabric.model import Event
    from eventfabric.sdk.asynchronous import AsyncFabric
    from eventfabric.sdk.bundle import Receipt
    from eventfabric.sdk.delivery import Delivery
    from eventfabric.sdk.fabric import Fabric
    from eventfabric.sdk.operations import Operations
    from eventfabric.sdk.publisher import Publisher
    from eventfabric.sdk.step import Step
    from eventfabric.sdk.subscriber import subscriber
    from eventfabric.sdk.upcasters import upcast

__all__ = [
    "AsyncFabric",
    "Delivery",
    "Event",
    "EventFabricError",
    "Fabric",
    "OpenEnum",
    "Operations",
    "Publisher",
    "Receipt",
    "Step",
    "subscriber",
    "upcast",
]

_HOMES: Final = {
    "AsyncFabric": "sdk.asynchronous",
    "Delivery": "sdk.delivery",
    "Event": "model",
    "EventFabricError": "errors",
    "Fabric": "sdk.fabric",
    "OpenEnum": "contracts.open_enum",
    "Operations": "sdk.operations",
    "Publisher": "sdk.publisher",
    "Receipt": "sdk.bundle",
    "Step": "sdk.step",
    "subscriber": "sdk.subscriber",
    "upcast": "sdk.upcasters",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    member = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return member


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
