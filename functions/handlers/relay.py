"""Lambda function `<fabric>-relay`: batches of a stream table's DynamoDB stream to doorbells."""

from eventfabric.runtime.relay import handle

__all__ = ["handle"]
