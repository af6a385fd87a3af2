"""Lambda function `<fabric>-<subscription>`: takes batches of doorbells, and delivers to the subscription's handler."""

from eventfabric.runtime import deliver
from eventfabric.runtime.wiring import loadable

__all__ = ["handle"]

handle = loadable(deliver.handle)
