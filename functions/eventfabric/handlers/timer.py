"""Lambda function `<fabric>-timer`: passes doorbells that are due on to their subscriptions' queues."""

from eventfabric.runtime import timer
from eventfabric.runtime.wiring import loadable

__all__ = ["handle"]

handle = loadable(timer.handle)
