"""The closed list of metrics, which is also their documentation, and the sink that takes them."""

from enum import StrEnum
from typing import Final, Protocol

NAMESPACE: Final = "eventfabric"
"""CloudWatch namespace of the metrics."""
FABRIC: Final = "fabric"
"""Dimension of every metric: the fabric's name. The Region is the one in which CloudWatch keeps the metric."""


class Dimension(StrEnum):
    """Second dimension of a metric, beside the fabric."""

    NONE = ""
    STREAM = "stream"
    SUBSCRIPTION = "subscription"


class Unit(StrEnum):
    """Unit of a metric, as CloudWatch names it."""

    COUNT = "Count"
    MILLISECONDS = "Milliseconds"
    SECONDS = "Seconds"
    PERCENT = "Percent"


class Metric(StrEnum):
    """Every metric of the fabric: first the counters, then the gauges, which a pass of reconciliation reports.

    A metric is reported only while it is not 0: CloudWatch charges for the hours in which it gets a value.
    """

    DOORBELLS_RUNG = "DoorbellsRung"
    """Doorbells that were sent. Unit: Count."""
    DOORBELLS_FAILED = "DoorbellsFailed"
    """Doorbells that a queue did not take; a timer or reconciliation rings again. Unit: Count."""
    STREAM_RECORDS_IGNORED = "StreamRecordsIgnored"
    """Stream records that do not belong to the log. Unit: Count."""
    EVENTS_DEPRECATED = "EventsDeprecated"
    """Events of deprecated types that were published in the Region. Unit: Count."""
    MESSAGES_REFUSED = "MessagesRefused"
    """Messages in a subscription's queues that are not doorbells of it. Unit: Count."""
    EVENTS_HANDLED = "EventsHandled"
    """Events that a handler handled and a commit covers. Unit: Count."""
    EVENTS_FAILED = "EventsFailed"
    """Attempts that ended in an exception. Unit: Count."""
    EVENTS_DROPPED = "EventsDropped"
    """Events of an at-most-once subscription that were dropped without an attempt: the time was up. Unit: Count."""
    EVENTS_CRASHED = "EventsCrashed"
    """Attempts of a single event that never reported an outcome: the process died, or hung. Unit: Count."""
    KEYS_PARKED = "KeysParked"
    """Keys set aside because their first event failed. Unit: Count."""
    KEYS_FREED = "KeysFreed"
    """Parked keys whose events are all handled or settled. Unit: Count."""
    DEAD_LETTERS = "DeadLetters"
    """Events that became dead letters: they are not tried again automatically. Unit: Count."""
    EVENTS_PUBLISHED = "EventsPublished"
    """Events that handlers published into other streams. Unit: Count."""
    EVENTS_UNPUBLISHED = "EventsUnpublished"
    """Events that handlers of an at-most-once subscription published, and that could not be appended. Unit: Count."""
    EVENTS_NOT_REPUBLISHED = "EventsNotRepublished"
    """Events that handlers published during a replay, which publishes nothing again. Unit: Count."""
    TAILS_LOST = "TailsLost"
    """Places of target lanes that others took first; the commits went on behind them. Unit: Count."""
    CIRCUITS_OPENED = "CircuitsOpened"
    """Times that deliveries stopped because a downstream system seems to be down. Unit: Count."""
    CIRCUITS_CLOSED = "CircuitsClosed"
    """Times that deliveries went on after such a stop. Unit: Count."""
    DOORBELLS_DUPLICATE = "DoorbellsDuplicate"
    """Doorbells for events that were already delivered. Unit: Count."""
    COMMITS_LOST = "CommitsLost"
    """Commits that lost the race for the cursor. Unit: Count."""
    EVENTS_EXPIRED = "EventsExpired"
    """Events that expired before they were delivered, and were skipped as the subscription asks. Unit: Count."""
    EVENTS_LATE = "EventsLate"
    """Events handed out after a later one of their key, of another Region's lane. Unit: Count."""
    COPIES_SETTLED = "CopiesSettled"
    """Batches that may stand in two lanes, and for which the copy to deliver was decided. Unit: Count."""
    LANES_STOPPED = "LanesStopped"
    """Lane runs that stopped at an event or record that cannot be passed. Unit: Count."""
    CALLS_DENIED = "CallsDenied"
    """Calls refused for lack of a permission. Unit: Count."""
    CALLS_WITHOUT_KEY = "CallsWithoutKey"
    """Calls that fail because a KMS key cannot be used: disabled, pending deletion, or by its policy. Unit: Count."""
    CALLS_MISSING = "CallsMissing"
    """Calls to a table or a queue that does not exist. Unit: Count."""
    CALLS_OVER_QUOTA = "CallsOverQuota"
    """Calls refused by a quota of the account or of a resource. Unit: Count."""
    DELIVERIES_BLOCKED = "DeliveriesBlocked"
    """All calls of the four metrics above, and lanes that stopped: whatever does not pass by itself. Unit: Count."""
    CREDITS_RAISED = "CreditsRaised"
    """Grants to producers that were written, one a write unit. Unit: Count."""
    LANES_WAITING = "LanesWaiting"
    """Lane runs that met a hole: a record that is not here yet. Unit: Count."""
    DELIVERY_LATENCY = "DeliveryLatency"
    """Time from append to commit of each run's oldest event. Not reported if the producer's clock was ahead of the
    function's, since nobody knows the latency then. Unit: Milliseconds.
    """
    PASSES_COMPLETED = "PassesCompleted"
    """Passes of reconciliation that ran to their end for every stream of the Region. Unit: Count."""
    FINDINGS_REPAIRED = "FindingsRepaired"
    """Findings that reconciliation repaired. Unit: Count."""

    CONCURRENCY_LIMIT = "ConcurrencyLimit"
    """Events that a function attempts at the same time, with `concurrency = "auto"`. Unit: Count."""
    OLDEST_UNDELIVERED = "OldestUndelivered"
    """Delay of a subscription: age of the oldest event that no cursor has passed, whether it can be delivered or not,
    by the clock of the Region that looks. Events of parked keys do not count. Unit: Seconds.
    """
    LATENCY_BUDGET_USED = "LatencyBudgetUsed"
    """Age of the oldest undelivered event, as a share of the latency that the subscription's objective allows. Reported
    only with an objective, and not while the subscription is paused. Unit: Percent.
    """
    KEYS_FAILING = "KeysFailing"
    """Parked keys whose first event has failed for ten minutes, and will be tried again. Unit: Count."""
    KEYS_DEAD = "KeysDead"
    """Parked keys whose first event is a dead letter. Unit: Count."""
    CIRCUIT_OPEN = "CircuitOpen"
    """1 while deliveries are stopped because a downstream system seems to be down. Also reported when they stop.
    Unit: Count.
    """
    CREDIT_SHORT_SECONDS = "CreditShortSeconds"
    """Time for which producers of some lane have been able to append nothing more until the subscription grants it.
    Unit: Seconds.
    """
    CREDIT_SHORT = "CreditShort"
    """Lanes to which producers can append nothing more until a subscription grants it. Unit: Count."""
    LANES_BEHIND = "LanesBehind"
    """Lanes of a replica that are behind their origin, and moving. Unit: Count."""
    LANES_STALLED = "LanesStalled"
    """Lanes of a replica that are behind and get nothing by replication; reconciliation copies them. Unit: Count."""
    CLOCK_AHEAD = "ClockAhead"
    """Lead of a lane's time, which a producer's clock gave it, over the clock of this Region. Reported only if ahead.
    Unit: Seconds.
    """
    OLDEST_ROUND = "OldestRound"
    """Age of the oldest complete verification among all lanes. Reported only if a round of verification is due.
    Unit: Seconds.
    """
    LANES_UNREACHABLE = "LanesUnreachable"
    """Lanes that were compared with nothing: the Region of their origin did not answer. Unit: Count."""
    LANES_HOT = "LanesHot"
    """Lanes in which so much is published that they come near the bound of a partition. Unit: Count."""
    FINDINGS_ALARMED = "FindingsAlarmed"
    """Findings of reconciliation that somebody must look at. Unit: Count."""

    @property
    def dimension(self) -> Dimension:
        """Dimension of the metric beside the fabric."""
        if self is Metric.PASSES_COMPLETED:
            return Dimension.NONE
        return Dimension.STREAM if self in _OF_STREAMS else Dimension.SUBSCRIPTION

    @property
    def is_summed(self) -> bool:
        """Tell if CloudWatch also keeps the metric for the fabric as a whole, for an alarm or a graph."""
        return self in _SUMMED

    @property
    def is_only_logged(self) -> bool:
        """Tell if the metric is only a field of a log line, where queries find it: no alarm or graph shows it."""
        return self in _ONLY_LOGGED

    @property
    def unit(self) -> Unit:
        """Unit of the metric."""
        return _UNITS.get(self, Unit.COUNT)


_OF_STREAMS: Final = frozenset(
    {
        Metric.DOORBELLS_RUNG,
        Metric.DOORBELLS_FAILED,
        Metric.STREAM_RECORDS_IGNORED,
        Metric.EVENTS_DEPRECATED,
        Metric.FINDINGS_REPAIRED,
        Metric.CREDIT_SHORT,
        Metric.LANES_BEHIND,
        Metric.LANES_STALLED,
        Metric.CLOCK_AHEAD,
        Metric.OLDEST_ROUND,
        Metric.LANES_UNREACHABLE,
        Metric.LANES_HOT,
        Metric.FINDINGS_ALARMED,
    }
)
_SUMMED: Final = frozenset(
    {
        Metric.DOORBELLS_FAILED,
        Metric.MESSAGES_REFUSED,
        Metric.EVENTS_HANDLED,
        Metric.EVENTS_FAILED,
        Metric.DELIVERIES_BLOCKED,
        Metric.DELIVERY_LATENCY,
        Metric.FINDINGS_REPAIRED,
        Metric.OLDEST_UNDELIVERED,
        Metric.KEYS_FAILING,
        Metric.KEYS_DEAD,
        Metric.CIRCUIT_OPEN,
        Metric.CREDIT_SHORT_SECONDS,
        Metric.LANES_STALLED,
        Metric.OLDEST_ROUND,
        Metric.LANES_UNREACHABLE,
        Metric.FINDINGS_ALARMED,
    }
)
_ONLY_LOGGED: Final = frozenset(
    {
        Metric.STREAM_RECORDS_IGNORED,
        Metric.EVENTS_PUBLISHED,
        Metric.TAILS_LOST,
        Metric.CIRCUITS_CLOSED,
        Metric.DOORBELLS_DUPLICATE,
        Metric.COPIES_SETTLED,
        Metric.LANES_WAITING,
        Metric.CREDITS_RAISED,
    }
)
_UNITS: Final = {
    Metric.DELIVERY_LATENCY: Unit.MILLISECONDS,
    Metric.OLDEST_UNDELIVERED: Unit.SECONDS,
    Metric.LATENCY_BUDGET_USED: Unit.PERCENT,
    Metric.CREDIT_SHORT_SECONDS: Unit.SECONDS,
    Metric.CLOCK_AHEAD: Unit.SECONDS,
    Metric.OLDEST_ROUND: Unit.SECONDS,
}


class LogEvent(StrEnum):
    """Every log event of deliveries. Each has lane, sequence and error type, and never keys, messages or data."""

    KEY_PARKED = "a key is parked"
    KEY_FREED = "a parked key is free"
    DEAD_LETTER = "an event is a dead letter"
    EVENT_CRASHED = "an attempt was never heard of again"
    EVENTS_SKIPPED = "events expired before they were delivered, and are skipped"
    LATE_UNKNOWN = (
        "not all was looked at that was published meanwhile: an invocation ended, or it cannot be read"
    )
    DOORBELLS_REFUSED = (
        "a queue does not take doorbells: timers ring later, and reconciliation for those left"
    )
    CALL_REFUSED = "a call is refused for a reason that does not pass by itself"
    FINDING = "reconciliation found something"
    CIRCUIT_OPENED = "deliveries stop: what is downstream seems to be down"
    CIRCUIT_CLOSED = "deliveries go on"
    DEPRECATED = "a source publishes events of a deprecated type"


class Telemetry(Protocol):
    """Sink of metrics and log events. `of`: the stream or subscription, if a function serves several."""

    def add(self, metric: Metric, value: float = 1, *, of: str | None = None) -> None:
        """Add to a counter; add one more value to a duration."""
        ...

    def gauge(self, metric: Metric, value: float, *, of: str | None = None) -> None:
        """Report the current value of a gauge. A sink that pays for values drops those that are 0."""
        ...

    def tell(self, event: LogEvent, **about: object) -> None:
        """Log an event."""
        ...


class NoTelemetry:
    """Telemetry that discards everything."""

    def add(self, metric: Metric, value: float = 1, *, of: str | None = None) -> None:
        """Discard the value."""

    def gauge(self, metric: Metric, value: float, *, of: str | None = None) -> None:
        """Discard the value."""

    def tell(self, event: LogEvent, **about: object) -> None:
        """Discard the event."""
