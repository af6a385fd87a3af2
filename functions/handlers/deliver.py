"""Lambda function `<fabric>-<subscription>`: batches of doorbells to the subscription's handler."""

from eventfabric.runtime.deliver import handle

__all__ = ["handle"]
