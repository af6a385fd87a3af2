"""Lambda function `<fabric>-relay`: turns batches of a stream table's DynamoDB stream into doorbells."""

from eventfabric.runtime.relay import handle

__all__ = ["handle"]
