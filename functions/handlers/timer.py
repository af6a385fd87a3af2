"""Lambda function `<fabric>-timer`: doorbells whose time has come, to their subscriptions' queues."""

from eventfabric.runtime.timer import handle

__all__ = ["handle"]
