"""Lambda function `<fabric>-reconcile`: finds, once in a while, what no doorbell will tell, and repairs it."""

from eventfabric.runtime.reconcile import handle

__all__ = ["handle"]
