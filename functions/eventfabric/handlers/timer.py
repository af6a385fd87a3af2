"""Lambda function `<fabric>-timer`: passes doorbells that are due on to their subscriptions' queues."""

from eventfabric.runtime.timer import handle

__all__ = ["handle"]
