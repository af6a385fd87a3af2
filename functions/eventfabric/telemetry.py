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
    EVENTS_CRASHED = "EventsCrashed"
    """Attempts of a single event of which nothing was heard: the process died, or hung. Unit: Count."""
    KEYS_PARKED = "KeysParked"
    """Keys set aside because their first event failed. Unit: Count."""
    KEYS_FREED = "KeysFreed"
    """Parked keys whose events are all handled or settled. Unit: Count."""
    DEAD_LETTERS = "DeadLetters"
    """Events that will not be tried again by themselves. Unit: Count."""
    CIRCUITS_OPENED = "CircuitsOpened"
    """Times that deliveries stopped because what is downstream seems to be down. Unit: Count."""
    CIRCUITS_CLOSED = "CircuitsClosed"
    """Times that they went on. Unit: Count."""
    DOORBELLS_DUPLICATE = "DoorbellsDuplicate"
    """Doorbells whose news was already delivered. Unit: Count."""
    COMMITS_LOST = "CommitsLost"
    """Commits that lost the race for the cursor. Unit: Count."""
    EVENTS_EXPIRED = "EventsExpired"
    """Events that expired before they were delivered, and were skipped as the subscription asks. Unit: Count."""
    EVENTS_LATE = "EventsLate"
    """Events of whose key a later one, of another Region's lane, was handed out before. Unit: Count."""
    COPIES_SETTLED = "CopiesSettled"
    """Batches that may stand in two lanes, of which it was decided which copy is delivered. Unit: Count."""
    LANES_STOPPED = "LanesStopped"
    """Lane runs that stopped at an event or record that cannot be passed. Unit: Count."""
    LANES_WAITING = "LanesWaiting"
    """Lane runs that met a hole: a record that is not here yet. Unit: Count."""
    LANES_BEHIND = "LanesBehind"
    """Lanes of a replica that were behind their origin at a pass, and moving. Unit: Count."""
    FINDINGS_REPAIRED = "FindingsRepaired"
    """What reconciliation found and repaired. Unit: Count."""
    FINDINGS_ALARMED = "FindingsAlarmed"
    """What reconciliation found that somebody is to look at. Unit: Count."""
    DELIVERY_LATENCY = "DeliveryLatency"
    """Append to commit, of each run's oldest event. Unit: Milliseconds."""


class LogEvent(StrEnum):
    """Every log event of deliveries. With lane, sequence and error type; never with keys, messages or data."""

    KEY_PARKED = "a key is parked"
    KEY_FREED = "a parked key is free"
    DEAD_LETTER = "an event is a dead letter"
    EVENT_CRASHED = "an attempt was never heard of again"
    EVENTS_SKIPPED = "events expired before they were delivered, and are skipped"
    LATE_UNKNOWN = "more was published meanwhile than is looked at to see which events are late"
    FINDING = "reconciliation found something"
    CIRCUIT_OPENED = "deliveries stop: what is downstream seems to be down"
    CIRCUIT_CLOSED = "deliveries go on"


class Telemetry(Protocol):
    """Takes metrics and log events."""

    def add(self, metric: Metric, value: float = 1) -> None:
        """Add to a metric."""
        ...

    def tell(self, event: LogEvent, **about: object) -> None:
        """Log an event."""
        ...


class NoTelemetry:
    """Takes everything and forgets it."""

    def add(self, metric: Metric, value: float = 1) -> None:
        """Forget."""

    def tell(self, event: LogEvent, **about: object) -> None:
        """Forget."""
