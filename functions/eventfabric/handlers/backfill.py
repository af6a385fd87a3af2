"""Lambda function `<fabric>-backfill`: runs a step of a backfill into its Region when the state machine asks for it."""

from eventfabric.runtime.backfill import handle

__all__ = ["handle"]
