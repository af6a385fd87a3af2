"""Lambda function `<fabric>-relay`: turns batches of a stream table's DynamoDB stream into doorbells."""

from eventfabric.runtime import relay
from eventfabric.runtime.wiring import loadable

__all__ = ["handle"]

handle = loadable(relay.handle)
