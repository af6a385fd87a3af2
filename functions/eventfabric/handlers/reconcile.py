"""Lambda function `<fabric>-reconcile`: runs periodically; finds and repairs what no doorbell will report."""

from eventfabric.runtime.reconcile import handle

__all__ = ["handle"]
