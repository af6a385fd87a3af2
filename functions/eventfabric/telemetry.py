"""The closed list of metrics, which is also their documentation, and the sink that takes them."""

from enum import StrEnum
from typing import Final, Protocol

NAMESPACE: Final = "eventfabric"
"""Under which CloudWatch keeps the metrics. Each has two dimensions: `fabric`, and the one that it names."""


class Dimension(StrEnum):
    """What a metric is told of, beside the fabric. The Region is where the metric is kept."""

    STREAM = "stream"
    SUBSCRIPTION = "subscription"


class Unit(StrEnum):
    """What a metric counts in, as CloudWatch names it."""

    COUNT = "Count"
    MILLISECONDS = "Milliseconds"
    SECONDS = "Seconds"


class Metric(StrEnum):
    """Every metric of the fabric: what was counted, and below how things stood at a pass of reconciliation."""

    DOORBELLS_RUNG = "DoorbellsRung"
    """Doorbells sent. Unit: Count."""
    DOORBELLS_FAILED = "DoorbellsFailed"
    """Doorbells that could not be sent and come again. Unit: Count."""
    STREAM_RECORDS_IGNORED = "StreamRecordsIgnored"
    """Stream records that are not the log's. Unit: Count."""
    MESSAGES_REFUSED = "MessagesRefused"
    """Messages in a subscription's queues that are no doorbell of it. Unit: Count."""
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
    CALLS_DENIED = "CallsDenied"
    """Calls that a permission refuses. Unit: Count."""
    CALLS_WITHOUT_KEY = "CallsWithoutKey"
    """Calls that fail because a KMS key cannot be used: disabled, to be deleted, or its policy. Unit: Count."""
    CALLS_MISSING = "CallsMissing"
    """Calls to a table or a queue that is not there. Unit: Count."""
    CALLS_OVER_QUOTA = "CallsOverQuota"
    """Calls that a quota of the account or of a resource refuses. Unit: Count."""
    DELIVERIES_BLOCKED = "DeliveriesBlocked"
    """All of those, and lanes that stopped: what does not pass by itself, whatever the cause. Unit: Count."""
    LANES_WAITING = "LanesWaiting"
    """Lane runs that met a hole: a record that is not here yet. Unit: Count."""
    DELIVERY_LATENCY = "DeliveryLatency"
    """Append to commit, of each run's oldest event; none is told where the producer's clock was ahead of the
    function's, since nobody knows then. Unit: Milliseconds.
    """
    PASSES_COMPLETED = "PassesCompleted"
    """Passes of reconciliation that came to their end. Unit: Count."""
    FINDINGS_REPAIRED = "FindingsRepaired"
    """What reconciliation found and repaired. Unit: Count."""

    OLDEST_UNDELIVERED = "OldestUndelivered"
    """Age of the oldest event that no cursor has passed, whether it can be delivered or not, by the clock of the Region
    that looks: delay. Events of parked keys are not meant. Unit: Seconds.
    """
    KEYS_RETRYING = "KeysRetrying"
    """Parked keys whose first event is tried again. Unit: Count."""
    KEYS_DEAD = "KeysDead"
    """Parked keys whose first event is a dead letter. Unit: Count."""
    CIRCUIT_OPEN = "CircuitOpen"
    """1 while deliveries stop because what is downstream seems to be down, else 0; told when it changes, too.
    Unit: Count.
    """
    LANES_BEHIND = "LanesBehind"
    """Lanes of a replica that are behind their origin, and moving. Unit: Count."""
    LANES_STALLED = "LanesStalled"
    """Lanes of a replica to which replication brings nothing, though they were behind; they are copied. Unit: Count."""
    CLOCK_AHEAD = "ClockAhead"
    """How far the time of a lane, which a producer's clock gave it, is ahead of the clock here; only told where it is.
    Unit: Seconds.
    """
    OLDEST_ROUND = "OldestRound"
    """How long ago the lane was verified as a whole of which that is the longest; only told where a round is due.
    Unit: Seconds.
    """
    LANES_UNREACHABLE = "LanesUnreachable"
    """Lanes that were compared with nothing: the Region of their origin did not answer. Unit: Count."""
    FINDINGS_ALARMED = "FindingsAlarmed"
    """What reconciliation found that somebody is to look at. Unit: Count."""

    @property
    def dimension(self) -> Dimension:
        """Of what it is told."""
        return Dimension.STREAM if self in _OF_STREAMS else Dimension.SUBSCRIPTION

    @property
    def unit(self) -> Unit:
        """What it counts in."""
        return _UNITS.get(self, Unit.COUNT)


_OF_STREAMS: Final = frozenset(
    {
        Metric.DOORBELLS_RUNG,
        Metric.DOORBELLS_FAILED,
        Metric.STREAM_RECORDS_IGNORED,
        Metric.PASSES_COMPLETED,
        Metric.FINDINGS_REPAIRED,
        Metric.LANES_BEHIND,
        Metric.LANES_STALLED,
        Metric.CLOCK_AHEAD,
        Metric.OLDEST_ROUND,
        Metric.LANES_UNREACHABLE,
        Metric.FINDINGS_ALARMED,
    }
)
_UNITS: Final = {
    Metric.DELIVERY_LATENCY: Unit.MILLISECONDS,
    Metric.OLDEST_UNDELIVERED: Unit.SECONDS,
    Metric.CLOCK_AHEAD: Unit.SECONDS,
    Metric.OLDEST_ROUND: Unit.SECONDS,
}


class LogEvent(StrEnum):
    """Every log event of deliveries. With lane, sequence and error type; never with keys, messages or data."""

    KEY_PARKED = "a key is parked"
    KEY_FREED = "a parked key is free"
    DEAD_LETTER = "an event is a dead letter"
    EVENT_CRASHED = "an attempt was never heard of again"
    EVENTS_SKIPPED = "events expired before they were delivered, and are skipped"
    LATE_UNKNOWN = (
        "not all was looked at that was published meanwhile: an invocation ended, or it cannot be read"
    )
    CALL_REFUSED = "a call is refused for a reason that does not pass by itself"
    FINDING = "reconciliation found something"
    CIRCUIT_OPENED = "deliveries stop: what is downstream seems to be down"
    CIRCUIT_CLOSED = "deliveries go on"


class Telemetry(Protocol):
    """Takes metrics and log events. `of`: the stream or subscription, where a function serves several."""

    def add(self, metric: Metric, value: float = 1, *, of: str | None = None) -> None:
        """Add to a metric that counts; of a duration, one more value."""
        ...

    def gauge(self, metric: Metric, value: float, *, of: str | None = None) -> None:
        """Say how a metric stands now, nought included."""
        ...

    def tell(self, event: LogEvent, **about: object) -> None:
        """Log an event."""
        ...


class NoTelemetry:
    """Takes everything and forgets it."""

    def add(self, metric: Metric, value: float = 1, *, of: str | None = None) -> None:
        """Forget."""

    def gauge(self, metric: Metric, value: float, *, of: str | None = None) -> None:
        """Forget."""

    def tell(self, event: LogEvent, **about: object) -> None:
        """Forget."""
