"""Lambda function `<fabric>-backfill`: a step of a backfill into its Region, as the state machine asks for it."""

from eventfabric.runtime.backfill import handle

__all__ = ["handle"]
