"""Lambda function `<fabric>-<subscription>`: takes batches of doorbells, and delivers to the subscription's handler."""

from eventfabric.runtime.deliver import handle

__all__ = ["handle"]
