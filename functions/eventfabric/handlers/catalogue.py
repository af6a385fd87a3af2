"""Lambda's entry into checks and declarations of a deployment."""

from eventfabric.runtime.catalogue import handle

__all__ = ["handle"]
