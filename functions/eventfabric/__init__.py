"""eventfabric: a serverless event fabric on AWS. The names that users import; importing them imports no boto3."""

from eventfabric.errors import EventFabricError
from eventfabric.model.event import Event
from eventfabric.sdk.delivery import Delivery
from eventfabric.sdk.fabric import Fabric
from eventfabric.sdk.operations import Operations
from eventfabric.sdk.publisher import Publisher, Receipt
from eventfabric.sdk.step import Step
from eventfabric.sdk.subscriber import subscriber

__all__ = [
    "Delivery",
    "Event",
    "EventFabricError",
    "Fabric",
    "Operations",
    "Publisher",
    "Receipt",
    "Step",
    "subscriber",
]
