"""The local fabric, on moto. Never shipped to Lambda."""

from eventfabric.local.clock import LocalClock, RunningClock
from eventfabric.local.fabric import LocalFabric
from eventfabric.local.replicator import Replication

__all__ = ["LocalClock", "LocalFabric", "Replication", "RunningClock"]
