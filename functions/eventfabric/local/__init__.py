"""The local fabric, on moto, under the name that users import. Never shipped to Lambda."""

from eventfabric.extras import needing

with needing("local", "the local fabric"):
    from eventfabric.testing.local.clock import LocalClock, RunningClock
    from eventfabric.testing.local.fabric import LocalFabric
    from eventfabric.testing.local.replicator import Replication

__all__ = ["LocalClock", "LocalFabric", "Replication", "RunningClock"]
