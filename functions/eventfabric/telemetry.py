"""The closed list of metrics, which is also their documentation, and the sink that takes them."""

from enum import StrEnum
from typing import Protocol


class Metric(StrEnum):
    """Every metric of the fabric. Dimensions: fabric, and stream or subscription."""

    DOORBELLS_RUNG = "DoorbellsRung"
    """Doorbells sent. Unit: Count."""
    DOORBELLS_FAILED = "DoorbellsFailed"
    """Doorbells that could not be sent and come again. Unit: Count."""
    STREAM_RECORDS_IGNORED = "StreamRecordsIgnored"
    """Stream records that are not the log's. Unit: Count."""
    EVENTS_HANDLED = "EventsHandled"
    """Events that a handler handled and a commit covers. Unit: Count."""
    EVENTS_FAILED = "EventsFailed"
    """Attempts that ended in an exception. Unit: Count."""
    EVENTS_DROPPED = "EventsDropped"
    """Events of an at-most-once subscription that were given up unattempted: the time was up. Unit: Count."""
    DOORBELLS_DUPLICATE = "DoorbellsDuplicate"
    """Doorbells whose news was already delivered. Unit: Count."""
    COMMITS_LOST = "CommitsLost"
    """Commits that lost the race for the cursor. Unit: Count."""
    LANES_STOPPED = "LanesStopped"
    """Lane runs that stopped at an event or record that cannot be passed. Unit: Count."""
    LANES_WAITING = "LanesWaiting"
    """Lane runs that met a hole: a record that is not here yet. Unit: Count."""
    DELIVERY_LATENCY = "DeliveryLatency"
    """Append to commit, of each run's oldest event. Unit: Milliseconds."""


class Telemetry(Protocol):
    """Takes metrics."""

    def add(self, metric: Metric, value: float = 1) -> None:
        """Add to a metric."""
        ...


class NoTelemetry:
    """Takes metrics and forgets them."""

    def add(self, metric: Metric, value: float = 1) -> None:
        """Forget."""
